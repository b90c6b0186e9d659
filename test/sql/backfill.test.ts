// Backfills on the real ledger: every event has one effect whatever comes twice, dry runs write nothing, and what fails is tried again.
import { createHash, randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openDatabase, type TestDatabase } from '../support/database.ts';
import { violations } from '../support/money.ts';
import { plant, type Row } from '../support/reconciliation.ts';

let database: TestDatabase;
let jobs: pg.Client;
let day = 0;
beforeAll(async () => {
  database = await openDatabase();
  jobs = await database.as('kernel_jobs');
  for (const [product, points] of [
    ['gold', '100'],
    ['silver', '7'],
  ])
    await jobs.query(`select set_product('default', 'paynow', $1, $2, null, 'test')`, [product, points]);
});
beforeEach(() => {
  day += 1; // each test has a day of its own
});
afterAll(async () => {
  expect(await violations(database.superuser)).toEqual([]);
  await database.close();
});

const today = () => `2026-01-${String(day).padStart(2, '0')}`;

async function event(type: string, payload: object, { id = randomUUID() as string, at = '12:00:00Z' } = {}) {
  const text = JSON.stringify(payload);
  const hash = createHash('sha256').update(text).digest();
  const { rows } = await jobs.query(
    `select * from record_provider_event('default', 'paynow', null, $1, $2, $3, $4, $5)`,
    [id, type, text, hash, `${today()}T${at}`],
  );
  return rows[0];
}

async function plan(type = 'webhook_replay', limit = 1000): Promise<Row> {
  const { rows } = await jobs.query('select plan_backfill($1, $2, $2, $3) plan', [type, today(), limit]);
  return rows[0].plan;
}

async function backfill({ type = 'webhook_replay', limit = 1000, client = jobs } = {}): Promise<Row> {
  const { rows } = await client.query(`select begin_backfill($1, $2, $2, $3, 'test') run`, [
    type,
    today(),
    limit,
  ]);
  return finish(rows[0].run.id, client);
}

async function finish(id: string, client = jobs): Promise<Row> {
  for (;;) {
    const { rows } = await client.query('select backfill_step($1) run', [id]);
    if (rows[0].run.idle) return rows[0].run;
  }
}

async function items(run: Row): Promise<Row[]> {
  const { rows } = await jobs.query('select read_migration($1, null, 200) run', [run.id]);
  return rows[0].run.items;
}

async function points(uid: string): Promise<string> {
  const { rows } = await database.superuser.query(
    `select balance_real_available from wallet_balances where player_id = $1 and currency = 'POINTS'`,
    [uid],
  );
  return rows[0]?.balance_real_available ?? 'none';
}

const purchase = (uid: string, orderId: string, ...lines: [string, number][]) => ({
  orderId,
  customer: { metadata: { uid } },
  lines: lines.map(([productId, quantity]) => ({ productId, quantity })),
});

describe('a purchase', () => {
  test('credits points times quantity, once a line, whichever of its two events comes first', async () => {
    const [uid, orderId] = [randomUUID(), randomUUID()];
    await event(
      'ON_DELIVERY_ITEM_ADDED',
      { uid, orderId, productId: 'silver', quantity: 3 },
      { at: '01:00:00Z' },
    );
    await event('ON_ORDER_COMPLETED', purchase(uid, orderId, ['gold', 2], ['silver', 3]));
    await event(
      'ON_DELIVERY_ITEM_ADDED',
      { uid, orderId, productId: 'gold', quantity: 2 },
      { at: '23:59:59Z' },
    );
    expect(await backfill()).toMatchObject({
      status: 'completed',
      processedCount: '3',
      errorCount: '0',
      totalCount: '3',
    });
    expect(await points(uid)).toBe('221');
  });

  test('replayed a second time, or applied by two at once, moves nothing more', async () => {
    const [uid, orderId] = [randomUUID(), randomUUID()];
    await event('ON_ORDER_COMPLETED', purchase(uid, orderId, ['gold', 1]));
    await event('ON_DELIVERY_ITEM_ADDED', { uid, orderId, productId: 'gold', quantity: 1 });
    const other = await database.as('kernel_jobs');
    await Promise.all([backfill(), backfill({ client: other })]);
    expect(await points(uid)).toBe('100');
    expect(await backfill()).toMatchObject({ status: 'completed', totalCount: '0' });
    await plant(
      database.superuser,
      `update provider_events set processed_at = null, status = 'received' where occurred_at::date = '${today()}'`,
    );
    expect(await backfill()).toMatchObject({ processedCount: '2', errorCount: '0' });
    expect(await points(uid)).toBe('100');
  });
});

describe('a refund or chargeback', () => {
  async function bought(...lines: [string, number][]) {
    const [uid, orderId] = [randomUUID(), randomUUID()];
    await event('ON_ORDER_COMPLETED', purchase(uid, orderId, ...lines), { at: '00:00:00Z' });
    await backfill();
    return { uid, orderId };
  }

  test('takes back every line of an order, and both together take it back once', async () => {
    const { uid, orderId } = await bought(['gold', 2], ['silver', 1]);
    await event('ON_REFUND', { orderId });
    await event('ON_CHARGEBACK', { orderId });
    expect(await backfill({ type: 'reversal_backfill' })).toMatchObject({
      status: 'completed',
      processedCount: '2',
    });
    expect(await points(uid)).toBe('0');
    expect(await backfill({ type: 'reversal_backfill' })).toMatchObject({ totalCount: '0' });
  });

  test('takes back a part: of a line, of a quantity, of the whole order, and never more than the original', async () => {
    const { uid, orderId } = await bought(['gold', 2], ['silver', 2]);
    await event('ON_REFUND', { orderId, lines: [{ productId: 'silver', quantity: 1 }] }, { at: '01:00:00Z' });
    await event('ON_REFUND', { orderId, productId: 'gold', amount_minor: '30' }, { at: '02:00:00Z' });
    await event('ON_REFUND', { orderId, amount_minor: '171' }, { at: '03:00:00Z' });
    expect(await backfill()).toMatchObject({ processedCount: '3', errorCount: '0' });
    expect(await points(uid)).toBe('6');
    await event('ON_REFUND', { orderId, amount_minor: '7' }, { at: '04:00:00Z' });
    expect(await plan()).toMatchObject({
      errors: '1',
      plan: [{ error: `The reversals would exceed the original of order: ${orderId}` }],
    });
    await plant(
      database.superuser,
      `update provider_events set processed_at = null, status = 'received' where occurred_at::date = '${today()}' and event_id <> ''`,
    );
    await backfill();
    expect(await points(uid)).toBe('6');
  });

  test('takes a balance below zero, or is held with an open event where that is not allowed', async () => {
    const { uid, orderId } = await bought(['gold', 1]);
    const spend = (amount: string, key: string) =>
      database.superuser.query(`select debit_wallet('default', 'test', $1, $2)`, [
        key,
        { owner_id: uid, currency: 'POINTS', amount_minor: amount },
      ]);
    await spend('60', randomUUID());
    await database.superuser.query(`select set_flag('allow_negative_balance', false, null, null, 'test')`);
    await event('ON_CHARGEBACK', { orderId });
    const held = await backfill();
    expect(held).toMatchObject({ processedCount: '1', status: 'completed', held: true });
    expect(await items(held)).toMatchObject([{ status: 'held', result: { outcome: 'held' } }]);
    expect(await points(uid)).toBe('0');
    expect(await backfill()).toMatchObject({ totalCount: '1', held: true });
    await database.superuser.query(`select set_flag('allow_negative_balance', true, null, null, 'test')`);
    expect(await backfill()).toMatchObject({ totalCount: '1', held: false });
    expect(await points(uid)).toBe('-60');
  });
});

describe('a backfill', () => {
  test('that is dry says what it would do and cannot write', async () => {
    const [uid, orderId] = [randomUUID(), randomUUID()];
    await event('ON_ORDER_COMPLETED', purchase(uid, orderId, ['gold', 1]), { id: 'dry' });
    await event('ON_SUBSCRIPTION_EXPIRED', {}, { at: '13:00:00Z' });
    const writer = await database.as('kernel_jobs');
    await writer.query('begin read only');
    const { rows } = await writer.query(`select plan_backfill('webhook_replay', $1, $1, 10) plan`, [today()]);
    expect(rows[0].plan).toMatchObject({
      total: '2',
      errors: '0',
      plan: [
        {
          event_id: 'dry',
          action: 'credit',
          steps: [{ owner_id: uid, amount_minor: '100', currency: 'POINTS' }],
        },
        { type: 'ON_SUBSCRIPTION_EXPIRED', action: 'ignore' },
      ],
    });
    await writer.query('rollback');
    expect(await points(uid)).toBe('none');
    expect(await backfill()).toMatchObject({ processedCount: '2' });
    expect(await points(uid)).toBe('100');
  });

  test('takes whole days in UTC, the oldest events first, and no more than it is told', async () => {
    const [uid, orderId] = [randomUUID(), randomUUID()];
    await event('ON_ORDER_COMPLETED', purchase(uid, orderId, ['gold', 1]), {
      at: '23:59:59.999Z',
      id: `late-${day}`,
    });
    await event('ON_ORDER_COMPLETED', purchase(uid, `${orderId}-2`, ['gold', 1]), {
      at: '00:00:00Z',
      id: `early-${day}`,
    });
    const run = await backfill({ limit: 1 });
    expect((await items(run)).map(({ item }) => item)).toEqual([`early-${day}`]);
    expect((await plan()).plan.map((one: Row) => one.event_id)).toEqual([`late-${day}`]);
    expect(run.id).toMatch(/^webhook_replay_\d{13}$/);
  });

  test('goes on from its checkpoint after its worker was killed, and nothing happens twice', async () => {
    const uid = randomUUID();
    for (let i = 0; i < 5; i += 1)
      await event('ON_ORDER_COMPLETED', purchase(uid, randomUUID(), ['gold', 1]), { at: `0${i}:00:00Z` });
    const dying = await database.as('kernel_jobs');
    const { rows } = await dying.query(`select begin_backfill('webhook_replay', $1, $1, 10, 'test') run`, [
      today(),
    ]);
    const { id } = rows[0].run;
    await dying.query('select backfill_step($1)', [id]);
    const {
      rows: [{ pid }],
    } = await dying.query('select pg_backend_pid() pid');
    await dying.query('begin');
    await dying.query('select backfill_step($1)', [id]);
    await database.superuser.query('select pg_terminate_backend($1)', [pid]);
    expect(await points(uid)).toBe('100');
    expect(await finish(id)).toMatchObject({
      status: 'completed',
      processedCount: '5',
      checkpoint: { nth: '5' },
    });
    expect(await points(uid)).toBe('500');
  });

  test('tries a failed event again later and later, calls it dead after five attempts, and replays it when asked', async () => {
    const [uid, orderId] = [randomUUID(), randomUUID()];
    await event('ON_ORDER_COMPLETED', purchase(uid, orderId, ['platinum', 1]));
    await event('ON_ORDER_COMPLETED', { orderId, lines: [{ productId: 'gold' }] });
    await event('ON_REFUND', { orderId: 'unknown' });
    const run = await backfill();
    expect(run).toMatchObject({ status: 'running', processedCount: '0', errorCount: '3' });
    expect((await items(run)).map(({ error }) => error).sort()).toEqual([
      'Missing uid or productId in the event.',
      'Original purchase entry not found for order: unknown',
      'Product not found: platinum',
    ]);
    for (let i = 0; i < 4; i += 1) {
      expect(await finish(run.id)).toMatchObject({ status: 'running' });
      await database.superuser.query(
        'update data_migration_items set next_attempt_at = now() where migration_id = $1',
        [run.id],
      );
    }
    expect(await finish(run.id)).toMatchObject({
      status: 'failed',
      errorCount: '3',
      error: '3 of 3 events are dead.',
    });
    expect((await items(run)).map(({ status, attempts }) => [status, attempts])).toEqual(
      Array(3).fill(['dead', 5]),
    );
    await jobs.query(`select set_product('default', 'paynow', 'platinum', 1000, null, 'test')`);
    await backfill();
    expect(await points(uid)).toBe('1000');
  });

  test('does nothing while its flag is off', async () => {
    await database.superuser.query(`select set_flag('backfill_enabled', false, null, null, 'test')`);
    for (const call of ['plan_backfill($1, $2, $2, 1)', `begin_backfill($1, $2, $2, 1, 'test')`])
      await expect(jobs.query(`select ${call}`, ['webhook_replay', today()])).rejects.toMatchObject({
        code: 'RK050',
      });
    await database.superuser.query(`select set_flag('backfill_enabled', true, null, null, 'test')`);
  });

  test.each([
    ['an unknown type', 'everything', '2026-01-01', '2026-01-02', 10],
    ['an end before its start', 'webhook_replay', '2026-01-02', '2026-01-01', 10],
    ['no events allowed', 'webhook_replay', '2026-01-01', '2026-01-01', 0],
  ])('with %s is refused', async (_name, ...values) => {
    await expect(jobs.query(`select begin_backfill($1, $2, $3, $4, 'test')`, values)).rejects.toMatchObject({
      code: 'RK015',
    });
  });
});
