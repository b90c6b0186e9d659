// Guarantee 4: a hard limit of N admits exactly N, whatever the concurrency; on many connections, with overlapping batches.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ingest, openDatabase, outcomes, type TestDatabase, v3 } from '../support/database.ts';
import { overlappingBatches, random } from '../support/random.ts';

const seeds = Number(process.env.SEEDS ?? 20);
const connections = 32;
const limit = 1_000n;

let database: TestDatabase;
beforeAll(async () => {
  database = await openDatabase();
});
afterAll(() => database.close());

test(`with ${seeds} seeds, 5,000 keys of two sites on ${connections} connections leave exactly 1,000 billable = usage = outbox`, async () => {
  const clients = await Promise.all(Array.from({ length: connections }, () => database.connect()));
  for (let seed = 1; seed <= seeds; seed++) {
    const source = random(seed);
    const sites = [await database.site(limit), await database.site(limit)];
    const keys = Array.from({ length: 5_000 }, (_, i) => v3(`key-${i}`));
    const work = source.shuffle(
      sites.flatMap((site) => overlappingBatches(keys, 0.2, 50, source).map((events) => ({ site, events }))),
    );
    const admitted = new Map(sites.map((site) => [site, 0]));
    await Promise.all(
      clients.map(async (client) => {
        for (let item = work.pop(); item; item = work.pop()) {
          const row = await ingest(client, item.site, item.events);
          admitted.set(item.site, (admitted.get(item.site) ?? 0) + Number(row.admitted));
        }
      }),
    );
    for (const site of sites) {
      expect({ seed, ...(await sides(site)), told: admitted.get(site) }).toEqual({
        seed,
        billable: 1000,
        usage: 1000,
        outbox: 1000,
        told: 1000,
      });
    }
  }
  const { rows } = await database.superuser.query(
    'select deadlocks::int from pg_stat_database where datname = current_database()',
  );
  expect(rows).toEqual([{ deadlocks: 0 }]);
}, 240_000);

test('200 concurrent identical requests bill once', async () => {
  const site = await database.site(limit);
  const clients = await Promise.all(Array.from({ length: 20 }, () => database.connect()));
  const told = await Promise.all(
    clients.map(async (client) => {
      const answers: string[] = [];
      for (let i = 0; i < 10; i++) answers.push(...(await outcomes(client, site, [v3('the-same')])));
      return answers;
    }),
  );
  expect(told.flat().sort()).toEqual(['accepted', ...Array.from({ length: 199 }, () => 'duplicate')]);
  expect(await sides(site)).toEqual({ billable: 1, usage: 1, outbox: 1 });
});

test('a writer that holds the site too long makes the others fail within the lock timeout, and nothing is written', async () => {
  const site = await database.site(limit);
  const holder = await database.connect();
  await holder.query('begin');
  await holder.query('select lock_site($1)', [site]);
  const started = performance.now();
  await expect(outcomes(database.superuser, site, [v3('late')])).rejects.toMatchObject({ code: '55P03' });
  expect(performance.now() - started).toBeLessThan(8_000);
  await holder.query('rollback');
  expect(await outcomes(database.superuser, site, [v3('late')])).toEqual(['accepted']);
});

async function sides(site: string) {
  const { rows } = await database.superuser.query(
    `select (select count(*)::int from ingest_idempotency where site_id = $1 and billable) billable,
            (select event_count::int from site_usage_monthly where site_id = $1) usage,
            (select count(*)::int from ingest_fallback_buffer where site_id = $1) outbox`,
    [site],
  );
  return rows[0];
}
