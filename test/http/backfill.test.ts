// Backfills over HTTP: who may start one, what it answers, how it is followed, and that a flag stops it.
import { createHash, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { callAs, tokenOf } from '../support/job-doors.ts';
import { openStack, type TestStack } from '../support/stack.ts';

const path = '/api/jobs/backfill';
const window = { startDate: '2026-01-01', endDate: '2026-01-31' };
let stack: TestStack;
let service: string;
beforeAll(async () => {
  stack = await openStack();
  service = await tokenOf(stack, 'service');
  await stack.database.query(`select set_product('default', 'paynow', 'gold', 100, null, 'test')`);
});
afterAll(() => stack?.close());

const backfill = (body: unknown) => callAs(stack, service, path, body);
const follow = (rest = '') => callAs(stack, service, `/api/admin/dataMigrations${rest}`, undefined, 'GET');

async function event(type: string, payload: object): Promise<void> {
  const text = JSON.stringify(payload);
  await stack.database.query(
    `select record_provider_event('default', 'paynow', null, $1, $2, $3, $4, '2026-01-15T00:00:00Z')`,
    [randomUUID(), type, text, createHash('sha256').update(text).digest()],
  );
}

async function points(uid: string): Promise<string> {
  const { rows } = await stack.database.query(
    'select balance_real_available from wallet_balances where player_id = $1',
    [uid],
  );
  return rows[0]?.balance_real_available ?? 'none';
}

test('the door wants a valid token of a service, POST, and a window', async () => {
  expect((await callAs(stack, undefined, path, window)).status).toBe(401);
  expect((await callAs(stack, await tokenOf(stack, 'player'), path, window)).status).toBe(403);
  expect((await callAs(stack, service, path, undefined, 'GET')).status).toBe(405);
  const wrong: unknown[] = [
    '{',
    [],
    {},
    { startDate: '2026-01-01' },
    { startDate: '2026-1-1', endDate: '2026-01-31' },
    { startDate: '2026-01-31', endDate: '2026-01-01' },
    { ...window, type: 'everything' },
    { ...window, maxEvents: 0 },
    { ...window, dryRun: 'yes' },
  ];
  for (const body of wrong) expect([body, (await backfill(body)).status]).toEqual([body, 400]);
});

describe('a replay', () => {
  test('is planned by a dry run that writes nothing, moves money once, and can be followed', async () => {
    const [uid, orderId] = [randomUUID(), randomUUID()];
    await event('ON_ORDER_COMPLETED', { uid, orderId, productId: 'gold', quantity: 2 });
    await event('ON_ORDER_COMPLETED', { uid, orderId: 'x', productId: 'unknown' });
    const dry = await backfill({ ...window, dryRun: true });
    expect(dry.body).toMatchObject({
      success: true,
      type: 'webhook_replay',
      dry_run: true,
      results: { migrationId: null, processed: 0, errors: 1, total: 2 },
    });
    expect(dry.body.plan).toHaveLength(2);
    expect((await follow()).body.migrations).toEqual([]);
    expect(await points(uid)).toBe('none');
    const real = await backfill(window);
    const { migrationId } = real.body.results;
    expect(real.body).toMatchObject({ success: true, results: { processed: 1, errors: 1, total: 2 } });
    expect(await points(uid)).toBe('200');
    expect((await follow()).body.migrations).toMatchObject([
      { id: migrationId, processedCount: '1', errorCount: '1' },
    ]);
    const { items } = (await follow(`/${migrationId}`)).body.migration;
    expect(items.map(({ status }: { status: string }) => status).sort()).toEqual(['done', 'failed']);
    await backfill(window);
    expect(await points(uid)).toBe('200');
    expect(stack.logs.some((line) => line.message === 'backfill_processed_events')).toBe(true);
    expect(stack.logs.some((line) => line.message === 'backfill_error_rate' && line.percent === 50)).toBe(
      true,
    );
  });

  test('that failed goes on by the schedule once its cause is gone', async () => {
    await stack.database.query(`select set_product('default', 'paynow', 'unknown', 5, null, 'test')`);
    await stack.database.query('update data_migration_items set next_attempt_at = now()');
    await stack.functions.invoke(stack.functionName('backfill'), {});
    const { migrations } = (await follow()).body;
    for (const one of migrations) expect(one).toMatchObject({ status: 'completed', errorCount: '0' });
  });

  test('does nothing while its flag is off', async () => {
    const flag = (value: boolean) => stack.admin('PUT', '/flags/backfill_enabled', { value });
    await flag(false);
    const before = (await follow()).body.migrations.length;
    for (const dryRun of [true, false]) {
      const { status, body } = await backfill({ ...window, dryRun });
      expect([status, body.code]).toEqual([503, 'disabled']);
    }
    expect((await follow()).body.migrations).toHaveLength(before);
    await flag(true);
    expect((await backfill(window)).status).toBe(200);
  });
});

test('a backfill is shown to services and platform admins only, and one that does not exist is 404', async () => {
  expect((await follow('/webhook_replay_1')).status).toBe(404);
  const player = await tokenOf(stack, 'player');
  expect((await callAs(stack, player, '/api/admin/dataMigrations', undefined, 'GET')).status).toBe(403);
  expect((await callAs(stack, undefined, '/api/admin/dataMigrations', undefined, 'GET')).status).toBe(401);
  expect((await stack.admin('GET', '/dataMigrations')).status).toBe(200);
});

test('the balances of the system before are taken over by a dry run and its hash', async () => {
  const uid = randomUUID();
  await stack.database.query(
    `insert into legacy_balances (tenant_id, player_id, currency, available, held) values ('old', $1, 'USD', 9, 1)`,
    [uid],
  );
  const door = (body: object) =>
    callAs(stack, service, '/api/jobs/backfill-wallets', { tenantId: 'old', ...body });
  const dry = await door({ dryRun: true });
  expect(dry.body).toMatchObject({ dry_run: true, summary: { scanned: '1', created: '1' } });
  expect(await points(uid)).toBe('none');
  const real = await door({ hash: dry.body.summary.hash });
  expect(real.body).toMatchObject({ status: 'completed', summary: { scanned: 1, created: 1, errors: 0 } });
  expect(await points(uid)).toBe('9');
  expect((await door({ force: true })).status).toBe(409);
  expect((await door({ batchSize: 0 })).status).toBe(400);
});
