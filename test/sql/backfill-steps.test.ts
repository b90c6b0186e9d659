// Many events of a backfill in one commit: each ends as it does alone, with its result and attempts, and a payment has its own commit.
import { createHash, randomUUID } from 'node:crypto';
import fc from 'fast-check';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openDatabase, type TestDatabase } from '../support/database.ts';
import { violations } from '../support/money.ts';
import type { Row } from '../support/reconciliation.ts';

const runs = Number(process.env.RUNS ?? 6);
let database: TestDatabase;
let jobs: pg.Client;
let days = 0;
beforeAll(async () => {
  database = await openDatabase();
  jobs = await database.as('kernel_jobs');
  await jobs.query(`select set_product('default', 'paynow', 'gold', 100, null, 'test')`);
});
afterAll(async () => {
  if (database) expect(await violations(database.superuser)).toEqual([]);
  await database?.close();
});

const stories = [
  'purchase',
  'twice',
  'refund',
  'too much',
  'unknown product',
  'no player',
  'nothing',
] as const;
type Story = (typeof stories)[number];

/** What a story's events are; each has a player and an order of its own. */
function eventsOf(story: Story): [type: string, payload: object][] {
  const [uid, orderId] = [randomUUID(), randomUUID()];
  const bought: [string, object] = ['ON_ORDER_COMPLETED', { uid, orderId, productId: 'gold' }];
  switch (story) {
    case 'twice':
      return [bought, ['ON_DELIVERY_ITEM_ADDED', { uid, orderId, productId: 'gold' }]];
    case 'refund':
      return [bought, ['ON_REFUND', { orderId }]];
    case 'too much':
      return [bought, ['ON_REFUND', { orderId, points: '101' }]];
    case 'unknown product':
      return [['ON_ORDER_COMPLETED', { uid, orderId, productId: 'lead' }]];
    case 'no player':
      return [['ON_ORDER_COMPLETED', { orderId, productId: 'gold' }]];
    case 'nothing':
      return [['ON_SUBSCRIPTION_EXPIRED', {}]];
    default:
      return [bought];
  }
}

const nextDay = () => new Date(Date.UTC(2020, 0, ++days)).toISOString().slice(0, 10);

/** A backfill of a day of its own with these stories. */
async function begin(told: Story[]): Promise<string> {
  const day = nextDay();
  const events = told.flatMap(eventsOf);
  for (const [n, [type, payload]] of events.entries()) {
    const text = JSON.stringify(payload);
    await jobs.query(`select record_provider_event('default', 'paynow', null, $1, $2, $3, $4, $5)`, [
      ...[randomUUID(), type, text, createHash('sha256').update(text).digest()],
      new Date(Date.parse(day) + n * 1_000),
    ]);
  }
  const sql = `select begin_backfill('webhook_replay', $1, $1, 1000, 'test') ->> 'id' id`;
  return (await jobs.query(sql, [day])).rows[0].id;
}

async function workOn(id: string, call: string, values: unknown[] = []): Promise<Row> {
  for (;;) {
    const { rows } = await jobs.query(`select ${call} run`, [id, ...values]);
    if (rows[0].run.idle) return rows[0].run;
  }
}

/** What became of the run and of each of its items, without what differs between any two runs. */
async function stateOf(id: string): Promise<unknown> {
  const { rows } = await jobs.query('select read_migration($1, null, 200) run', [id]);
  const { status, processedCount, errorCount, checkpoint, error, items } = rows[0].run;
  const each = items.map((item: Row) => [
    item.nth,
    item.status,
    item.attempts,
    item.result?.outcome,
    item.error?.split(': ')[0],
  ]);
  return { status, processedCount, errorCount, last: checkpoint?.nth, error, each };
}

const hurry = (id: string) =>
  database.superuser.query(
    `update data_migration_items set next_attempt_at = clock_timestamp() where migration_id = $1 and status = 'failed'`,
    [id],
  );

test(`events in one commit end as each does alone, until the last is dead (${runs} runs)`, async () => {
  const told = fc.array(fc.constantFrom(...stories), { minLength: 1, maxLength: 8 });
  const property = fc.asyncProperty(told, fc.integer({ min: 1, max: 9 }), async (given, at_once) => {
    const [alone, together] = [await begin(given), await begin(given)];
    for (let round = 0; round < 5; round++) {
      await workOn(alone, 'backfill_step($1)');
      await workOn(together, 'backfill_steps($1, $2)', [at_once]);
      expect(await stateOf(together)).toEqual(await stateOf(alone));
      for (const id of [alone, together]) await hurry(id);
    }
    expect(await stateOf(together)).toMatchObject({ status: expect.stringMatching(/^(completed|failed)$/) });
  });
  await fc.assert(property, { numRuns: runs, examples: [[[...stories], 50]] });
}, 60_000);

test('a payment is alone in its commit, whatever stands before and after it', async () => {
  const id = await begin(['purchase', 'purchase', 'purchase']);
  const { rows: found } = await jobs.query(`select read_migration($1, null, 10) -> 'items' items`, [id]);
  expect(found[0].items).toHaveLength(3);
  const tx = randomUUID();
  await database.superuser.query(`set session_replication_role = replica`);
  await database.superuser.query(
    `update provider_events set kind = 'deposit_captured', tx_id = $2 where id = (select item::uuid from data_migration_items where migration_id = $1 and nth = 2)`,
    [id, tx],
  );
  await database.superuser.query(`reset session_replication_role`);
  const applied: [string, string][] = [];
  for (let idle = false; !idle; ) {
    const { rows } = await jobs.query('select backfill_steps($1, 50) run', [id]);
    applied.push([rows[0].run.checkpoint.nth, rows[0].run.processedCount]);
    idle = rows[0].run.idle;
  }
  expect(applied).toEqual([
    ['1', '1'],
    ['2', '2'],
    ['3', '3'],
  ]);
});
