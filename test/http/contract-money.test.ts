// The contract of money as it is kept: each operation of the running stack answers, refuses and replays as docs/openapi.json says.
import { createHash, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DemoUser } from '../../local/issuer.ts';
import { operations } from '../../shared/contract.ts';
import { operation } from '../support/conforms.ts';
import { type Ask, caller } from '../support/contract-caller.ts';
import { key } from '../support/money-doors.ts';
import { type Answer, openStack, type TestStack } from '../support/stack.ts';

const unknown_id = '0d000000-0000-4000-8000-0000000000ff';
let stack: TestStack;
let ask: ReturnType<typeof caller>['ask'];
let unseen: ReturnType<typeof caller>['unseen'];
beforeAll(async () => {
  stack = await openStack();
  ({ ask, unseen } = caller(stack));
});
afterAll(() => stack.close());

const user = (): DemoUser => ({ name: 'Test', role: 'test', id: randomUUID(), groups: [] });
const finance = (id: string, more: Ask = {}) => ask(id, { as: 'finance', ...more });
const admin = (id: string, more: Ask = {}) => ask(id, { as: 'platform-admin', ...more });
const code = async (answer: Promise<Answer>) => (await answer).body.code;
/** The codes of the answers, one after the other; undefined where it was done. */
async function codes(...calls: (() => Promise<Answer>)[]): Promise<(string | undefined)[]> {
  const found: (string | undefined)[] = [];
  for (const call of calls) found.push(await code(call()));
  return found;
}

const payment = (amount_minor: unknown, more: object = {}) => ({ amount_minor, method: 'test', ...more });
const pay = (as: DemoUser, body: unknown, headers: Record<string, string> = key()) =>
  ask('deposit', { as, body, headers });
const take = (as: DemoUser, body: unknown, headers: Record<string, string> = key()) =>
  ask('withdraw', { as, body, headers });

/** A registered player; verified and approved unless said otherwise. */
async function player({ approved = true } = {}): Promise<DemoUser> {
  const as = user();
  await ask('registerPlayer', { as });
  if (!approved) return as;
  const path = { id: as.id };
  await finance('verifyPlayer', { path, body: { email_verified: true, sms_verified: true } });
  await finance('decideKyc', { path, body: { decision: 'approved', reason: 'seen' } });
  return as;
}

/** A requested withdrawal of 1000 of 1500. */
async function requested(): Promise<{ as: DemoUser; path: { id: string } }> {
  const as = await player();
  await pay(as, payment('1500'));
  const { body } = await take(as, payment('1000', { address: 'IBAN' }));
  return { as, path: { id: body.tx_id } };
}
async function approved() {
  const made = await requested();
  const body = { action: 'approve', reason: 'checked' };
  expect((await finance('reviewWithdrawal', { path: made.path, body })).body.changed).toBe(true);
  return made;
}

describe('to a player the contract is kept', () => {
  test('from registration to the identity, and for who is not registered', async () => {
    const [as, stranger] = [user(), user()];
    expect((await ask('registerPlayer', { as, body: { tenant_id: 'default' } })).body.player.kyc_status).toBe(
      'none',
    );
    expect((await ask('submitKyc', { as })).body.player.kyc_status).toBe('pending');
    expect((await ask('readBalance', { as, query: { currency: 'EUR' } })).body.total_real).toBe('0');
    expect((await ask('readBalance', { as, query: { currency: 'NONE' } })).body.exponent).toBeNull();
    expect(
      await codes(
        () => ask('registerPlayer', { as, body: { tenant_id: 'other' } }),
        () => ask('registerPlayer', { as, body: '{' }),
        () => ask('registerPlayer', { as, body: { tenant_id: '' } }),
        () => ask('submitKyc', { as: stranger }),
        () => ask('readBalance', { as: stranger }),
        () => ask('readBalance', { as, query: { currency: 'usd' } }),
        () => pay(stranger, payment('1')),
        () => take(stranger, payment('1')),
      ),
    ).toEqual([
      ...['PLAYER_OF_OTHER_TENANT', 'invalid_json', 'invalid_request', 'PLAYER_NOT_FOUND'],
      ...['PLAYER_NOT_FOUND', 'invalid_request', 'PLAYER_NOT_FOUND', 'PLAYER_NOT_FOUND'],
    ]);
  });

  test('by a deposit: done, replayed, pending, failed and refused', async () => {
    const [as, fresh] = [await player(), await player({ approved: false })];
    const [once, twice] = [key(), key()];
    const first = await pay(as, payment('1500'), once);
    expect(first.body.transaction.state).toBe('completed');
    const again = await pay(as, payment('1500'), once);
    expect([again.headers.get('idempotency-replayed'), again.body.tx_id]).toEqual(['true', first.body.tx_id]);
    expect((await pay(as, payment('1', { method: 'card' }))).body.transaction.status).toBe('pending');
    const fail = { ...key(), 'x-mock-outcome': 'fail' };
    expect((await pay(as, payment(7), fail)).body.transaction.error_code).not.toBeNull();
    expect(await code(pay(as, payment('1', { currency: 'NONE' }), twice))).toBe('CURRENCY_UNKNOWN');
    const refusedAgain = await pay(as, payment('1', { currency: 'NONE' }), twice);
    expect([refusedAgain.body.code, refusedAgain.headers.get('idempotency-replayed')]).toEqual([
      'CURRENCY_UNKNOWN',
      'true',
    ]);
    const verified = { email_verified: true, sms_verified: true };
    expect(
      await codes(
        () => pay(as, payment('2'), once),
        () => pay(as, payment('1'), twice),
        () => pay(fresh, payment('1')),
        () => finance('verifyPlayer', { path: { id: fresh.id }, body: verified }),
        () => pay(fresh, payment('10001')),
        () => pay(as, payment('100000001')),
        () => pay(as, payment('1', { method: 'cash' })),
        () => pay(as, payment('1'), {}),
        () => pay(as, payment('0')),
        () => pay(as, payment('1', { method: 'x\u0000' })),
        () => pay(as, payment('1', { method: 'x'.repeat(300_000) })),
      ),
    ).toEqual([
      ...['IDEMPOTENCY_KEY_REUSE_CONFLICT', 'IDEMPOTENCY_KEY_REUSE_CONFLICT', 'AUTH_UNVERIFIED'],
      ...[undefined, 'KYC_DEPOSIT_LIMIT', 'LIMIT_EXCEEDED', 'PAYMENT_METHOD_NOT_ALLOWED'],
      ...['IDEMPOTENCY_KEY_REQUIRED', 'invalid_request', 'text_invalid', 'payload_too_large'],
    ]);
  });

  test('by a deposit that no balance could hold', async () => {
    const as = user();
    const query = { tenant_id: 'rich' };
    const most = { player_id: as.id, delta_minor: '9223372036854775807', reason: 'a test' };
    await ask('registerPlayer', { as, body: query });
    const path = { id: as.id };
    await admin('verifyPlayer', { path, query, body: { email_verified: true, sms_verified: true } });
    await admin('adjustBalance', { query, body: most, headers: key() });
    const { status, body } = await pay(as, payment('1'));
    expect([status, body.code, body.movement]).toEqual([422, 'BALANCE_OUT_OF_RANGE', undefined]);
  });

  test('by a withdrawal: done, replayed and refused, and in the list of both', async () => {
    const [as, fresh] = [await player(), await player({ approved: false })];
    const once = key();
    await pay(as, payment('1500'));
    const first = await take(as, payment('1000'), once);
    expect(first.body.balance).toMatchObject({ available_real: '500', held_real: '1000' });
    expect((await take(as, payment('1000'), once)).headers.get('idempotency-replayed')).toBe('true');
    expect(
      await codes(
        () => take(as, payment('1'), once),
        () => take(as, payment('501')),
        () => take(as, payment('1', { currency: 'NONE' })),
        () => take(as, payment('1', { method: 'cash' })),
        () => take(fresh, payment('1')),
        () => take(as, payment('100000001')),
        () => take(as, payment('1'), {}),
        () => take(as, '[]'),
      ),
    ).toEqual([
      ...['IDEMPOTENCY_CONFLICT', 'INSUFFICIENT_FUNDS', 'CURRENCY_UNKNOWN', 'WITHDRAW_METHOD_NOT_ALLOWED'],
      ...['KYC_REQUIRED_FOR_WITHDRAWAL', 'LIMIT_EXCEEDED', 'IDEMPOTENCY_KEY_REQUIRED', 'invalid_request'],
    ]);
    const { body } = await ask('listTransactions', { as, query: { limit: '10', page: '1' } });
    expect(body.items.map(({ type }: { type: string }) => type)).toEqual(['withdrawal', 'deposit']);
    expect(await code(ask('listTransactions', { as, query: { page: '0' } }))).toBe('invalid_request');
  });

  test('by taking a withdrawal back, once', async () => {
    const { as, path } = await requested();
    const cancel = (id = path.id) => ask('cancelWithdrawal', { as, path: { id } });
    expect((await cancel()).body).toMatchObject({ changed: true, balance: { available_real: '1500' } });
    expect((await cancel()).body.changed).toBe(false);
    const reviewed = await approved();
    const late = ask('cancelWithdrawal', reviewed);
    expect(await code(late)).toBe('ILLEGAL_TRANSACTION_STATE_TRANSITION');
    expect(await code(cancel(unknown_id))).toBe('TX_NOT_FOUND');
  });

  test('who is too fast', async () => {
    const as = await player();
    const query = { tenant_id: 'default' };
    await pay(as, payment('10'));
    await admin('setMoneyPolicy', { query, body: { withdrawals_per_minute: 1 } });
    await take(as, payment('1'));
    const late = await take(as, payment('1'));
    expect([late.body.code, late.headers.get('retry-after')]).toEqual(['VELOCITY_LIMIT_EXCEEDED', '60']);
    expect((await admin('setMoneyPolicy', { query })).body.policy.withdrawals_per_minute).toBe(300);
    expect(await code(finance('setMoneyPolicy', { body: {} }))).toBe('forbidden');
    expect(await code(admin('setMoneyPolicy', { body: { colour: 1 } }))).toBe('invalid_request');
  });
});

describe('to finance the contract is kept', () => {
  test('by a review and a payment by hand', async () => {
    const { as, path } = await requested();
    const review = (body: unknown, headers = {}) => finance('reviewWithdrawal', { path, body, headers });
    const once = key();
    const approve = { action: 'approve', reason: 'checked' };
    const self = { ...as, groups: ['finance'] };
    expect(
      await codes(
        () => review({ action: 'perhaps', reason: 'x' }),
        () => review({ action: 'approve' }),
        () => ask('reviewWithdrawal', { as: self, path, body: approve }),
        () => review(approve, once),
        () => review({ ...approve, action: 'reject' }, once),
        () => finance('markWithdrawalPaid', { path, body: {} }),
        () => finance('markWithdrawalPaid', { path, body: { reason: 'by wire' } }),
        () => finance('reviewWithdrawal', { path: { id: unknown_id }, body: approve }),
        () => finance('reviewWithdrawal', { path: { id: 'x' }, body: approve }),
      ),
    ).toEqual([
      ...['INVALID_ACTION', 'REASON_REQUIRED', 'FOUR_EYES', undefined, 'IDEMPOTENCY_CONFLICT'],
      ...['REASON_REQUIRED', undefined, 'TX_NOT_FOUND', 'TX_NOT_FOUND'],
    ]);
    expect((await review(approve, once)).headers.get('idempotency-replayed')).toBe('true');
    const late = await review(approve);
    expect([late.body.code, late.body.from_state]).toEqual(['ILLEGAL_TRANSACTION_STATE_TRANSITION', 'paid']);
    const { body } = await finance('readWithdrawal', { path });
    expect(body.payout_attempts).toMatchObject([{ provider: 'manual', status: 'succeeded' }]);
    expect(await code(finance('readWithdrawal', { path: { id: unknown_id } }))).toBe('TX_NOT_FOUND');
  });

  test('by a payout: paid, replayed, failed, rechecked and tried again', async () => {
    const [paid, failed, asked] = [await approved(), await approved(), await requested()];
    const payOut = (path: { id: string }, headers: Record<string, string>) =>
      finance('payOut', { path, headers });
    const once = key();
    expect((await payOut(paid.path, once)).body.transaction.state).toBe('paid');
    expect((await payOut(paid.path, once)).headers.get('idempotency-replayed')).toBe('true');
    const fail = { ...key(), 'x-mock-outcome': 'fail' };
    expect((await payOut(failed.path, fail)).body.payout_attempt.status).toBe('failed');
    const early = await finance('retryPayout', { path: failed.path, body: { reason: 'again' } });
    expect([early.body.code, early.headers.get('retry-after')]).toEqual([
      'PAYMENT_COOLDOWN_ACTIVE',
      String(early.body.retry_after_s),
    ]);
    expect((await finance('recheckPayout', { path: failed.path, headers: key() })).status).toBe(200);
    expect(
      await codes(
        () => payOut(asked.path, key()),
        () => payOut(asked.path, {}),
        () => finance('recheckPayout', { path: asked.path, headers: key() }),
        () => finance('retryPayout', { path: failed.path }),
        () => finance('retryPayoutByAction', { path: asked.path, body: { reason: 'again' } }),
      ),
    ).toEqual([
      ...['INVALID_STATE_TRANSITION', 'IDEMPOTENCY_KEY_REQUIRED', 'INVALID_STATE_TRANSITION'],
      ...['REASON_REQUIRED', 'INVALID_STATE_TRANSITION'],
    ]);
    await admin('setMoneyPolicy', { body: { payout_cooldown_s: 0, payout_retries: 1 } });
    const again = { path: failed.path, body: { reason: 'again' } };
    expect(
      (await finance('retryPayout', { ...again, headers: { ...key(), 'x-mock-outcome': 'fail' } })).status,
    ).toBe(200);
    expect(await code(finance('retryPayout', { ...again, headers: key() }))).toBe(
      'PAYMENT_RETRY_LIMIT_EXCEEDED',
    );
    await admin('setMoneyPolicy', { body: { payout_cooldown_s: 0 } });
    const last = await finance('retryPayoutByAction', { ...again, headers: key() });
    expect(last.body.transaction.state).toBe('paid');
    await admin('setMoneyPolicy');
  });

  test('by pages of withdrawals, and by their export', async () => {
    await requested();
    await requested();
    const page = await finance('listWithdrawals', { query: { limit: '1', state: 'requested' } });
    const cursor = page.body.next_cursor;
    expect((await finance('listWithdrawals', { query: { limit: '1', cursor } })).body.items).toHaveLength(1);
    expect((await finance('exportWithdrawals', { query: { state: 'requested' } })).body).toMatch(/^tx_id,/);
    for (const id of ['listWithdrawals', 'exportWithdrawals']) {
      expect(await code(finance(id, { query: { state: 'gone' } }))).toBe('invalid_request');
      expect(await code(finance(id, { query: { tenant_id: 'other' } }))).toBe('forbidden');
    }
  });

  test('for players: identity, wallets, corrections, limits and imported balances', async () => {
    const as = await player({ approved: false });
    const path = { id: as.id };
    const none = { id: unknown_id };
    const once = key();
    const adjust = (body: object, headers: Record<string, string> = key()) =>
      finance('adjustBalance', { body: { player_id: as.id, ...body }, headers });
    expect((await adjust({ delta_minor: '50', reason: 'gift' }, once)).body.balance.available_real).toBe(
      '50',
    );
    expect((await adjust({ delta_minor: '50', reason: 'gift' }, once)).body.idempotent_replay).toBe(true);
    const rows = [{ player_id: as.id, currency: 'EUR', available: '5' }];
    expect((await admin('importLegacyBalances', { body: { rows } })).body.imported).toBe('1');
    expect((await finance('readPlayer', { path })).body.wallets).toHaveLength(2);
    expect((await finance('readMoneyPolicy')).body.policy.tenant_id).toBe('default');
    expect(
      await codes(
        () => adjust({ delta_minor: '-51', reason: 'theft' }),
        () => adjust({ delta_minor: '1' }),
        () => adjust({ delta_minor: '1', reason: 'x', currency: 'NONE' }),
        () => adjust({ delta_minor: '9223372036854775807', reason: 'x' }),
        () => adjust({ delta_minor: '2', reason: 'x' }, once),
        () => adjust({ delta_minor: '2', reason: 'x', player_id: unknown_id }),
        () => adjust({ delta_minor: '0', reason: 'x' }),
        () => adjust({ delta_minor: '1', reason: 'x' }, {}),
        () => finance('decideKyc', { path, body: { decision: 'rejected' } }),
        () => finance('decideKyc', { path: none, body: { decision: 'approved' } }),
        () => finance('verifyPlayer', { path: none, body: {} }),
        () => finance('readPlayer', { path: none }),
        () => admin('importLegacyBalances', { body: { rows: [{ ...rows[0], currency: 'NONE' }] } }),
        () => admin('importLegacyBalances', { body: { rows: [rows[0], rows[0]] } }),
        () => ask('readMoneyPolicy', { as: 'player' }),
      ),
    ).toEqual([
      ...['INSUFFICIENT_FUNDS', 'REASON_REQUIRED', 'CURRENCY_UNKNOWN', 'BALANCE_OUT_OF_RANGE'],
      ...['IDEMPOTENCY_CONFLICT', 'PLAYER_NOT_FOUND', 'invalid_request', 'IDEMPOTENCY_KEY_REQUIRED'],
      ...['REASON_REQUIRED', 'PLAYER_NOT_FOUND', 'PLAYER_NOT_FOUND', 'PLAYER_NOT_FOUND'],
      ...['invalid_request', 'invalid_request', 'forbidden'],
    ]);
  });
});

describe('in assurance the contract is kept', () => {
  const service = (id: string, more: Ask = {}) => ask(id, { as: 'service', ...more });
  const window = { startDate: '2026-01-01', endDate: '2026-01-31' };

  test('by a run over all wallets, and by the doctor', async () => {
    expect((await service('reconcileWallets')).body).toMatchObject({ ok: true, remaining: false });
    expect(await code(service('reconcileWallets', { body: { date: '2999-01-01' } }))).toBe('invalid_request');
    expect((await finance('examineMoney')).body.healthy).toBe(true);
    expect(await code(service('examineMoney'))).toBe('forbidden');
  });

  test('by backfills of events and of wallets, and what is told of them', async () => {
    await stack.database.query(`select set_product('default', 'paynow', 'gold', 100, null, 'test')`);
    for (const productId of ['gold', 'unknown']) {
      const order = { uid: randomUUID(), orderId: randomUUID(), productId, quantity: 2 };
      const text = JSON.stringify(order);
      await stack.database.query(
        `select record_provider_event('default', 'paynow', null, $1, 'ON_ORDER_COMPLETED', $2, $3, '2026-01-15T00:00:00Z')`,
        [randomUUID(), text, createHash('sha256').update(text).digest()],
      );
    }
    const dry = await service('backfillEvents', { body: { ...window, dryRun: true } });
    expect(dry.body.plan).toHaveLength(2);
    const { migrationId } = (await service('backfillEvents', { body: window })).body.results;
    expect(await code(service('backfillEvents', { body: {} }))).toBe('invalid_request');
    const planned = (await service('backfillWallets', { body: { dryRun: true } })).body.summary;
    expect(Number(planned.scanned)).toBeGreaterThanOrEqual(0);
    expect((await service('backfillWallets', { body: { hash: planned.hash } })).body.status).toBe(
      'completed',
    );
    expect(
      await codes(
        () => service('backfillWallets', { body: { force: true } }),
        () => service('backfillWallets', { body: { migrationId: 'none' } }),
        () => service('backfillWallets', { body: '{' }),
        () => service('readMigration', { path: { id: 'none' } }),
        () => service('listMigrations', { query: { cursor: 'x' } }),
      ),
    ).toEqual([
      ...['conflict', 'migration_not_found', 'invalid_json', 'migration_not_found', 'invalid_request'],
    ]);
    expect((await service('listMigrations', { query: { limit: '1' } })).body.next_cursor).toBeDefined();
    const { body } = await service('readMigration', { path: { id: migrationId } });
    expect(body.migration.items.map(({ status }: { status: string }) => status).sort()).toEqual([
      'done',
      'failed',
    ]);
  });

  test('by flags, and by the jobs that they switch off', async () => {
    const path = { flag: 'backfill_enabled' };
    const set = (body: unknown) => admin('setFlag', { path, body });
    expect((await set({ value: true, percent: 50 })).body.flag.rollout_percent).toBe(50);
    expect((await set({ value: false, tenant_id: 'here' })).body.flag.overrides).toEqual({ here: false });
    await set({ value: null, tenant_id: 'here' });
    await set({ value: false });
    expect(await code(service('backfillEvents', { body: window }))).toBe('disabled');
    await set({ value: true });
    expect((await admin('readFlag', { path })).body.flag.history.length).toBeGreaterThan(4);
    expect((await admin('listFlags')).body.flags.length).toBeGreaterThan(5);
    expect(
      await codes(
        () => set({ value: null }),
        () => admin('readFlag', { path: { flag: 'none' } }),
        () => admin('setFlag', { path: { flag: 'none' }, body: { value: true } }),
        () => finance('listFlags'),
      ),
    ).toEqual(['invalid_request', 'not_found', 'not_found', 'forbidden']);
  });
});

test('each operation of money has been seen to be done and to be refused', () => {
  const tags = ['money', 'finance', 'assurance'];
  expect(unseen(operations.filter(({ tag }) => tags.includes(tag)))).toEqual([]);
});

test('when the ledger is away each says so, and a job says that it failed', async () => {
  await stack.postgres.stop();
  expect(await code(ask('readBalance', { as: 'player' }))).toBe('ledger_unavailable');
  expect(operation('reconcileWallets').replies.map(({ status }) => status)).toContain(503);
  const { body } = await ask('reconcileWallets', { as: 'service' });
  expect(body).toMatchObject({ success: false, error: 'Reconciliation failed', code: 'ledger_unavailable' });
});
