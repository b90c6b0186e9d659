// What must be true when a test with crashes is over: all is delivered, nothing acknowledged is lost, nothing doubled; and its figures.
import pg from 'pg';
import { expect } from 'vitest';
import type { Load, Site } from './load.ts';
import { table, writeSection } from './sections.ts';

export async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

/** Lets recover move everything, whatever its messages would do minutes later. */
export async function drain(database: pg.Client, url: string, cronSecret: string): Promise<void> {
  for (let round = 0; round < 100; round += 1) {
    const { rows } = await database.query(
      `with due as (update ingest_fallback_buffer set next_attempt_at = clock_timestamp() returning 1)
       select count(*)::int left_over from due`,
    );
    if (rows[0].left_over === 0) return;
    const headers = { authorization: `Bearer ${cronSecret}` };
    const response = await fetch(`${url}/api/cron/recover`, { method: 'POST', headers });
    expect(response.status).toBe(200);
    await response.arrayBuffer();
  }
  throw new Error('The outbox was not empty after 100 calls of recover.');
}

export interface Books {
  lost: number;
  doubled: number;
}

/** @throws AssertionError unless ledger, usage, outbox and events agree with each other and with what was acknowledged. */
export async function checkBooks(database: pg.Client, { id }: Site, load: Load): Promise<Books> {
  const { rows } = await database.query(
    `select (select count(*)::int from ingest_idempotency where site_id = $1) ledger,
            (select count(distinct idempotency_key)::int from ingest_idempotency where site_id = $1) keys,
            (select count(*)::int from ingest_idempotency where site_id = $1 and billable) billable,
            (select sum(event_count)::int from site_usage_monthly where site_id = $1) usage,
            (select count(*)::int from ingest_fallback_buffer) outbox`,
    [id],
  );
  const { rows: delivered } = await database.query<{ i: string }>(
    `select e.payload ->> 'i' i from events e join ingest_idempotency l on l.id = e.id and l.site_id = e.site_id
      where e.site_id = $1`,
    [id],
  );
  const ids = new Set(delivered.map(({ i }) => i));
  const { rows: events } = await database.query('select count(*)::int n from events where site_id = $1', [
    id,
  ]);
  const lost = [...load.acknowledged].filter((one) => !ids.has(one));
  const foreign = [...ids].filter((one) => !load.acknowledged.has(one) && !load.in_doubt.has(one));
  expect({ lost, foreign, doubled: delivered.length - ids.size }).toEqual({
    lost: [],
    foreign: [],
    doubled: 0,
  });
  const n = ids.size; // all that was acknowledged, and of what stayed in doubt the part that was committed
  expect(rows[0]).toEqual({ ledger: n, keys: n, billable: n, usage: n, outbox: 0 });
  expect(events[0].n).toBe(n);
  return { lost: lost.length, doubled: delivered.length - ids.size };
}

/** Prints the figures, and keeps them when they are the proof's. */
export function report(
  section: { name: string; title: string; what: string },
  load: Load,
  { lost, doubled }: Books,
  recovered_ms: number[],
): void {
  const { name, title, what } = section;
  const sorted = recovered_ms.toSorted((a, b) => a - b).map(Math.round);
  const median = sorted[Math.floor(sorted.length / 2)] ?? 0;
  const figures = {
    kills: recovered_ms.length,
    'events acknowledged': load.acknowledged.size,
    'once in doubt': load.in_doubt.size,
    'of them committed': load.committed_in_doubt,
    lost,
    doubled,
    'recovery p50 (ms)': median,
    'recovery max (ms)': sorted.at(-1) ?? 0,
  };
  const printed = Object.entries(figures).map(([what, n]) => `${what} ${n}`);
  process.stdout.write(`${title}: ${printed.join(', ')}\n`);
  writeSection(
    name,
    title,
    `${what} Recovery is from the kill to the first answer 200 of a request that began after it.\n\n${table(Object.keys(figures), [Object.values(figures)])}\n`,
  );
}
