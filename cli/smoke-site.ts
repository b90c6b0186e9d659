// The throw-away site of a smoke: made for one run, sent events to, read, and shut again.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, type Api, exchange } from './api.ts';
import { Failure } from './command.ts';
import type { Site } from './site.ts';
import { sitePath } from './site.ts';
import type { Usage } from './usage.ts';

const ORIGIN = 'https://smoke.invalid';
const DELIVERY_MAX_MS = 60_000;
const POLL_MS = 500;
export const RATE_LIMIT = 3;

export type SmokeSite = {
  id: string;
  public_id: string;
  /** One event by API key, whose rate limit is far away, or by the site's origin, whose is near. */
  send: (event: string, by: 'key' | 'origin') => Promise<Answer>;
  setPlan: (plan: object) => Promise<void>;
  usage: () => Promise<Usage>;
  /** The usage once everything that was admitted has been delivered, or the last one seen before patience ends. */
  delivered: () => Promise<Usage>;
  close: () => Promise<void>;
};

export async function createSmokeSite(url: string, api: Api): Promise<SmokeSite> {
  const run = randomUUID();
  const site = await api.send<Site & { api_key?: string; key_id?: string }>('POST', '/api/admin/sites', {
    name: `Smoke ${new Date().toISOString()}`,
    public_id: `smoke_${run.replaceAll('-', '')}`,
    origins: [ORIGIN],
    rate_limit: RATE_LIMIT,
    plan: { monthly_limit: '1000', soft_limit_enabled: false, plan_tier: 'smoke' },
    api_key: true,
  });
  const path = sitePath(site.id);
  const setPlan = async (plan: object): Promise<void> => {
    await api.send('PUT', `${path}/plan`, plan);
  };
  const usage = () => api.get<Usage>(`${path}/usage`);
  return {
    id: site.id,
    public_id: site.public_id,
    send(event, by) {
      const headers: Record<string, string> =
        by === 'key' ? { authorization: `Bearer ${site.api_key}` } : { origin: ORIGIN };
      const body = { s: site.public_id, i: `${run}-${event}`, url: `${ORIGIN}/`, ec: 'smoke', ea: 'event' };
      return exchange(url, 'POST', '/api/sync', headers, body);
    },
    setPlan,
    usage,
    async delivered() {
      for (const end = Date.now() + DELIVERY_MAX_MS; ; await sleep(POLL_MS)) {
        const seen = await usage();
        const waits = seen.outbox.waiting !== '0' || seen.events.delivered !== seen.ledger.billable;
        if (!waits || Date.now() > end) return seen;
      }
    },
    /** A site is never deleted: with a limit of 0 and no key it can cost nobody anything. */
    async close() {
      await setPlan({ monthly_limit: '0', soft_limit_enabled: false });
      if (!site.key_id) throw new Failure('The site came without an API key.');
      await api.send('DELETE', `${path}/keys/${site.key_id}`);
    },
  };
}
