// Guarantee 1, second half: what was admitted is delivered exactly once, however often and by whomever it is moved.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openDatabase, type TestDatabase, v3 } from '../support/database.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await openDatabase();
});
afterAll(() => database.close());

test('deliver moves the rows of its batches to events and nothing else', async () => {
  const { site, batches } = await admit(2);
  expect(await moved('select moved from deliver($1)', JSON.stringify([batches[0]]))).toBe('3');
  expect(await delivered(site)).toEqual({ delivered: 3, waiting: 3 });
});

test('the same message twice delivers once', async () => {
  const { site, batches } = await admit(1);
  expect(await moved('select moved from deliver($1)', JSON.stringify(batches))).toBe('3');
  expect(await moved('select moved from deliver($1)', JSON.stringify(batches))).toBe('0');
  expect(await delivered(site)).toEqual({ delivered: 3, waiting: 0 });
});

test('an event already in events leaves the outbox and is not written twice', async () => {
  const { site, batches } = await admit(1);
  await database.superuser.query(
    'insert into events (id, site_id, received_at, payload) select id, site_id, created_at, payload from ingest_fallback_buffer where site_id = $1',
    [site],
  );
  await moved('select moved from deliver($1)', JSON.stringify(batches));
  expect(await delivered(site)).toEqual({ delivered: 3, waiting: 0 });
});

test('two movers at once share the rows and deliver each once', async () => {
  const { site, batches } = await admit(30);
  const clients = await Promise.all(Array.from({ length: 8 }, () => database.connect()));
  const counts = await Promise.all(
    clients.map((client) =>
      client
        .query('select moved::int from deliver($1)', [JSON.stringify(batches)])
        .then(({ rows }) => rows[0].moved),
    ),
  );
  expect(counts.reduce((sum, count) => sum + count, 0)).toBe(90);
  expect(await delivered(site)).toEqual({ delivered: 90, waiting: 0 });
});

test('recover moves only rows that are due', async () => {
  const { site } = await admit(1);
  expect(await moved('select moved from recover(10)')).toBe('0');
  await database.superuser.query(
    `update ingest_fallback_buffer set next_attempt_at = now() - interval '1 second' where site_id = $1`,
    [site],
  );
  expect(await moved('select moved from recover(2)')).toBe('2');
  expect(await moved('select moved from recover(10)')).toBe('1');
  expect(await delivered(site)).toEqual({ delivered: 3, waiting: 0 });
});

test('a delivered event carries its payload, its request and its client', async () => {
  const { site, batches } = await admit(1);
  await moved('select moved from deliver($1)', JSON.stringify(batches));
  const { rows } = await database.superuser.query(
    'select payload, request_id, client_ip, user_agent from events where site_id = $1 order by id limit 1',
    [site],
  );
  expect(rows[0]).toEqual({
    payload: v3('0-0').payload,
    request_id: 'request',
    client_ip: '192.0.2.1',
    user_agent: 'agent',
  });
});

async function admit(count: number) {
  const site = await database.site(1_000n);
  const batches = Array.from({ length: count }, () => randomUUID() as string);
  for (const [i, batch] of batches.entries()) {
    const events = [0, 1, 2].map((j) => v3(`${i}-${j}`));
    await database.superuser.query(`select from ingest($1, $2, $3, 'request', '192.0.2.1', 'agent')`, [
      site,
      batch,
      JSON.stringify(events),
    ]);
  }
  return { site, batches };
}

async function moved(sql: string, ...values: string[]): Promise<string> {
  return (await database.superuser.query(sql, values)).rows[0].moved;
}

async function delivered(site: string) {
  const { rows } = await database.superuser.query(
    `select (select count(*)::int from events where site_id = $1) delivered, (select count(*)::int from ingest_fallback_buffer where site_id = $1) waiting`,
    [site],
  );
  return rows[0];
}
