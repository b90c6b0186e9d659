// What a client, the scheduler and an auditor do in the fault tests: post, recover, drain, and read the state that is left.
import { SendMessageCommand } from '@aws-sdk/client-sqs';
import { expect } from 'vitest';
import type { Answer } from '../support/stack.ts';
import type { Rig } from './rig.ts';
import { queueAway, type Told } from './seams.ts';

export interface Site {
  id: string;
  public_id: string;
}

/** A site of its own for each case: nothing of it is cached, and its state is compared alone. */
export async function newSite({ stack }: Rig, limit: number, rate_limit?: number): Promise<Site> {
  const { body } = await stack.admin('POST', '/sites', {
    name: 'Faults',
    origins: ['https://example.com'],
    plan: { monthly_limit: String(limit) },
    ...(rate_limit && { rate_limit }),
  });
  return body;
}

export async function raiseLimit({ stack }: Rig, { id }: Site, limit: number): Promise<void> {
  expect(await stack.admin('PUT', `/sites/${id}/plan`, { monthly_limit: String(limit) })).toMatchObject({
    status: 200,
  });
}

/** The body of one event, or of several. */
export function bodyOf(site: Site, ids: string[]): object {
  const events = ids.map((i) => ({ s: site.public_id, i, url: 'https://example.com/' }));
  return events.length === 1 ? (events[0] as object) : { events };
}

/** What the client knows from an answer of ingest; each is checked to be complete. */
export function toldBy(answer: Answer): Told {
  const { status, headers, body } = answer;
  if (status === 200) {
    expect(body.ok).toBe(true);
    if (body.status === 'degraded') {
      expect(headers.get('x-opsmantik-degraded')).toBe('qstash_publish_failed, queue_publish_failed');
      expect(headers.get('x-opsmantik-fallback')).toBe('true');
    }
    expect(headers.get('x-opsmantik-dedup')).toBe(body.status === 'duplicate' ? '1' : '0');
    return body.status;
  }
  expect(status).toBe(500);
  if (body.status === undefined) return 'no answer';
  expect(body).toMatchObject({ ok: false, status: 'billing_gate_closed' });
  expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
  return body.status;
}

/** The client's own retry: the same ids until a 200. */
export async function retry({ stack }: Rig, body: object): Promise<Answer> {
  for (let attempt = 0; attempt < 5; attempt++) {
    const answer = await stack.sync(body);
    if (answer.status === 200) return answer;
  }
  throw new Error('The client gave up after 5 retries.');
}

/** One run of recover over HTTP. */
export async function recover({ stack }: Rig): Promise<Answer> {
  const id = stack.resource('AWS::SecretsManager::Secret', 'CronSecret').ref.split(':').at(-1) ?? '';
  const headers = { authorization: `Bearer ${stack.state.secret(id)}` };
  const response = await fetch(`${stack.url}/api/cron/recover`, { method: 'POST', headers });
  return { status: response.status, headers: response.headers, body: await response.json() };
}

/** Makes every waiting row due, as time would, so that the next recover takes it. */
export async function makeDue({ stack }: Rig): Promise<void> {
  await stack.database.query(
    `update ingest_fallback_buffer set next_attempt_at = clock_timestamp()
      where id in (select id from ingest_fallback_buffer where status <> 'FAILED' for update skip locked)`,
  );
}

export interface State {
  /** Each ledger row as "event state billable reason version", the event as it was delivered. */
  ledger: string[];
  usage: string[];
  outbox: number;
  events: string[];
  conflicts: number;
  counter: number;
}

/** Everything that the ledger, the outbox and the counter hold of a site, ids and times aside. */
export async function stateOf({ stack }: Rig, { id }: Site): Promise<State> {
  const { rows } = await stack.database.query(
    `select (select coalesce(array_agg(concat_ws(' ', e.payload ->> 'i', l.billing_state, l.billable, l.billing_reason, l.idempotency_version)
               order by e.payload ->> 'i' collate "C", l.id), '{}') from ingest_idempotency l left join events e on e.id = l.id where l.site_id = $1) ledger,
            (select coalesce(array_agg(concat_ws(' ', event_count, overage_count)), '{}') from site_usage_monthly where site_id = $1) usage,
            (select count(*)::int from ingest_fallback_buffer where site_id = $1) outbox,
            (select coalesce(array_agg(payload ->> 'i' order by payload ->> 'i' collate "C"), '{}') from events where site_id = $1) events,
            (select count(*)::int from ingest_conflicts where site_id = $1) conflicts`,
    [id],
  );
  const { counter } = await stack.counts(id);
  return { ...rows[0], counter };
}

export async function admitted({ stack }: Rig, { id }: Site): Promise<number> {
  const { rows } = await stack.database.query(
    `select count(*)::int from ingest_idempotency where site_id = $1 and billing_state <> 'REJECTED_QUOTA'`,
    [id],
  );
  return rows[0].count;
}

/** Posts while no message gets to the queue, so that the events wait in the outbox; returns their batch. */
export async function strand(rig: Rig, site: Site, ids: string[]): Promise<string> {
  await rig.arm([queueAway(functionOf(rig, 'ingest'))]);
  expect(toldBy(await rig.stack.sync(bodyOf(site, ids)))).toBe('degraded');
  await rig.heal();
  const { rows } = await rig.stack.database.query(
    'select distinct batch_id from ingest_fallback_buffer where site_id = $1',
    [site.id],
  );
  return rows[0].batch_id;
}

/** Sends the message of a batch, perhaps again. */
export async function sendMessage({ queue }: Rig, batch_id: string): Promise<void> {
  const MessageBody = JSON.stringify({ batch_id });
  await queue.client.send(new SendMessageCommand({ QueueUrl: queue.url, MessageBody }));
}

/** How many failed publishes are noted. */
export async function notes({ stack }: Rig, { public_id }: Site): Promise<number> {
  const { rows } = await stack.database.query(
    'select count(*)::int from ingest_publish_failures where site_public_id = $1',
    [public_id],
  );
  return rows[0].count;
}

export function functionOf({ stack }: Rig, caller: string): string {
  return caller === 'event source' ? 'operator' : stack.functionName(caller);
}
