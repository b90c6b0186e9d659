// Load that survives crashes: clients send events with ids, repeat what was not answered, and remember what was acknowledged.
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { proving } from './sections.ts';

export const kills = proving ? 20 : 1;
export const newSite = {
  name: 'Under load',
  origins: ['https://example.com'],
  rate_limit: 1_000_000,
  plan: { monthly_limit: '100000000' },
};

const clients = 6;
const batch_size = 20;
const retry_ms = 50;
const answer_ms = 15_000;
/** How long a client goes on for its last request, so that nothing stays in doubt. */
const last_ms = 30_000;

export interface Site {
  id: string;
  public_id: string;
}

export interface Load {
  /** Ids that a 2xx answer named. */
  acknowledged: Set<string>;
  /** Ids whose request was once not answered, or answered 5xx: the client could not know. */
  in_doubt: Set<string>;
  /** Of those, the ones that the repetition found in the ledger already. */
  committed_in_doubt: number;
  /** How long a client rests after what was acknowledged; may be changed while it runs. */
  rest_ms: number;
  /** Answers so far, and those of them that were 5xx. */
  answered: Answered;
  /** Resolves when a request that began after that moment is acknowledged. */
  acknowledgedSince(moment: number): Promise<void>;
  /** @throws Error when a client met an answer that no crash explains. */
  stop(): Promise<void>;
}

interface Answered {
  calls: number;
  failed: number;
}

interface Result {
  id: string;
  status: string;
}

/** Half of the clients send single events, the others batches. */
export function startLoad(url: string, site: Site, { rest_ms = 0 } = {}): Load {
  const waiting: { since: number; resolve: () => void }[] = [];
  let stopped = Number.POSITIVE_INFINITY;
  const load: Load = {
    acknowledged: new Set(),
    in_doubt: new Set(),
    committed_in_doubt: 0,
    rest_ms,
    answered: { calls: 0, failed: 0 },
    acknowledgedSince: (since) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      waiting.push({ since, resolve });
      return Promise.race([promise, running.then(() => undefined)]);
    },
    async stop() {
      stopped = performance.now();
      await running;
    },
  };

  const acknowledge = (results: Result[], began: number) => {
    for (const { id, status } of results) {
      expect(['queued', 'duplicate']).toContain(status);
      if (status === 'duplicate') {
        expect(load.acknowledged).not.toContain(id);
        load.committed_in_doubt += 1;
      }
      load.acknowledged.add(id);
    }
    for (const one of waiting) if (began >= one.since) one.resolve();
  };
  const client = async (number: number) => {
    for (let n = 0; performance.now() < stopped; n += 1) {
      const size = number % 2 === 0 ? 1 : batch_size;
      const ids = Array.from({ length: size }, (_, m) => `${number}-${n}-${m}`);
      for (;;) {
        const began = performance.now();
        const results = await post(url, site, ids, load.answered);
        if (results) {
          acknowledge(results, began);
          if (load.rest_ms > 0) await sleep(load.rest_ms);
          break;
        }
        for (const id of ids) load.in_doubt.add(id);
        if (performance.now() > stopped + last_ms) return;
        await sleep(retry_ms);
      }
    }
  };
  const running = Promise.all(Array.from({ length: clients }, (_, number) => client(number)));
  running.catch(() => undefined); // stop tells
  return load;
}

/** Nothing when the outcome is not known. */
async function post(
  url: string,
  site: Site,
  ids: string[],
  answered: Answered,
): Promise<Result[] | undefined> {
  const events = ids.map((i) => ({ s: site.public_id, i, url: 'https://example.com/' }));
  const [first] = events;
  try {
    const response = await fetch(`${url}/api/sync`, {
      method: 'POST',
      headers: { origin: 'https://example.com', 'content-type': 'application/json' },
      body: JSON.stringify(events.length === 1 ? first : { events }),
      signal: AbortSignal.timeout(answer_ms),
    });
    const text = await response.text();
    answered.calls += 1;
    if (response.status >= 500) {
      answered.failed += 1;
      return undefined;
    }
    const body = JSON.parse(text) as { status: string; results?: Result[] };
    if (response.status !== 200) throw new RangeError(`${response.status} ${text}`);
    const degraded = body.status === 'degraded' ? 'queued' : body.status;
    return body.results ?? [{ id: first?.i ?? '', status: degraded }];
  } catch (error) {
    if (error instanceof RangeError) throw error;
    return undefined;
  }
}
