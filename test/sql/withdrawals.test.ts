// Withdrawals: what a player may ask for, which balance decides, who may review, and how a rollout goes and comes back.
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDatabase, type TestDatabase } from '../support/database.ts';
import { violations } from '../support/money.ts';
import {
  act,
  approve,
  ask,
  deposit,
  findings,
  ledgerOf,
  legacyOf,
  newPlayer,
  outcome,
  payment,
  reject,
  reviewer,
  setFlag,
  tenant,
  withdraw,
} from '../support/withdrawals.ts';

let database: TestDatabase;
let money: pg.Client;
let root: pg.Client;
beforeAll(async () => {
  database = await openDatabase();
  root = database.superuser;
  money = await database.as('kernel_money');
  await ask(root, `apply_stage_defaults('dev')`);
});
afterAll(async () => {
  expect(await violations(root)).toEqual([]);
  await database.close();
});

async function funded(amount: string): Promise<string> {
  const player = await newPlayer(money);
  expect(await deposit(money, player, amount)).toMatchObject({ transaction: { state: 'completed' } });
  return player;
}

const importLegacy = (player: string, available: string, of = tenant) =>
  ask(
    money,
    'import_legacy_balances($1, $2, $3)',
    of,
    'import',
    JSON.stringify([{ player_id: player, available }]),
  );

describe('a deposit', () => {
  test('credits once, however often it is asked for and settled', async () => {
    const player = await newPlayer(money);
    for (let i = 0; i < 3; i++)
      expect(await deposit(money, player, '500', { key: 'one' })).toMatchObject({
        transaction: { state: 'completed', balance_after: '500' },
        balance: { available_real: '500', held_real: '0', total_real: '500' },
      });
    expect(await ledgerOf(root, player)).toEqual(['500', '0']);
    const other = await ask(money, 'begin_deposit($1, $2, $3)', player, 'one', payment('501', 'test'));
    expect(other).toMatchObject({ code: 'IDEMPOTENCY_CONFLICT' });
    expect(other.tx_id).toBeTruthy();
  });

  test('that the provider refuses moves nothing and is final; one it does not answer stays pending until asked again', async () => {
    const player = await newPlayer(money);
    expect(await deposit(money, player, '5', { outcome: 'fail' })).toMatchObject({
      transaction: { state: 'failed', error_code: 'PSP_CAPTURE_FAILED' },
    });
    expect(await ledgerOf(root, player)).toBeNull();
    expect(await deposit(money, player, '5', { key: 'slow', outcome: 'timeout' })).toMatchObject({
      transaction: { state: 'pending_provider' },
    });
    expect(await deposit(money, player, '5', { key: 'slow' })).toMatchObject({
      transaction: { state: 'completed' },
    });
    expect(await ledgerOf(root, player)).toEqual(['5', '0']);
  });

  test.each([false, true])(
    'that died before it was settled ends by its repetition (captured: %s)',
    async (captured) => {
      const player = await newPlayer(money);
      const begun = await ask(money, 'begin_deposit($1, $2, $3)', player, 'died', payment('5', 'test'));
      if (captured)
        await ask(
          money,
          'mockpsp($1, $2, $3, null)',
          'capture_deposit',
          `tx_${begun.tx_id}`,
          begun.transaction,
        );
      expect(await ledgerOf(root, player)).toBeNull();
      const answer = await deposit(money, player, '5', { key: 'died' });
      expect(answer).toMatchObject({ tx_id: begun.tx_id, transaction: { state: 'completed' } });
      expect(await ledgerOf(root, player)).toEqual(['5', '0']);
    },
  );

  test('captured after a try had failed is credited, once', async () => {
    const player = await newPlayer(money);
    const { tx_id } = await deposit(money, player, '5', { outcome: 'fail' });
    const late = { provider_event_id: `late:${tx_id}` };
    for (let n = 0; n < 2; n += 1)
      await ask(money, 'settle_deposit($1, $2, $3, $4)', tenant, tx_id, 'CAPTURED', late);
    expect(await findings(root, player)).toEqual([]);
    expect(await ledgerOf(root, player)).toEqual(['5', '0']);
  });

  test('needs a player who is verified, a method that is allowed, and room in the limits', async () => {
    const stranger = randomUUID();
    expect(await deposit(money, stranger, '1')).toMatchObject({ code: 'PLAYER_NOT_FOUND' });
    await ask(money, 'register_player($1, $2)', stranger, tenant);
    expect(await deposit(money, stranger, '1')).toMatchObject({ code: 'AUTH_UNVERIFIED' });
    await ask(money, 'change_player($1, $2, $3, $4)', tenant, reviewer, stranger, {
      email_verified: true,
      sms_verified: true,
    });
    expect(await deposit(money, stranger, '10000')).toMatchObject({ outcome: 'done' });
    expect(await deposit(money, stranger, '1')).toMatchObject({ code: 'KYC_DEPOSIT_LIMIT' });
    const player = await newPlayer(money);
    expect(await deposit(money, player, '100000001')).toMatchObject({ code: 'LIMIT_EXCEEDED' });
    const coins = ask(money, 'begin_deposit($1, $2, $3)', player, 'c', payment('1', 'coins'));
    expect(await coins).toMatchObject({ code: 'PAYMENT_METHOD_NOT_ALLOWED' });
    await setFlag(root, 'allow_test_payment_methods', false);
    expect(await deposit(money, player, '1')).toMatchObject({ code: 'PAYMENT_METHOD_NOT_ALLOWED' });
    await setFlag(root, 'allow_test_payment_methods', null);
  });
});

describe('a request', () => {
  test('sets the money aside, keeps the flags it saw, and its replay holds nothing more', async () => {
    const player = await funded('100');
    const first = await withdraw(money, player, '80', 'key');
    expect(first).toMatchObject({
      transaction: {
        state: 'requested',
        status: 'pending',
        balance_after: '100',
        flags: { ledger_enforce_balance: false, ledger_shadow_write: true, decided_by: 'ledger' },
      },
      balance: { available_real: '20', held_real: '80', total_real: '100' },
    });
    expect(await withdraw(money, player, '80', 'key')).toEqual({ ...first, replayed: true });
    expect(await withdraw(money, player, '81', 'key')).toMatchObject({
      code: 'IDEMPOTENCY_CONFLICT',
      tx_id: first.tx_id,
    });
    expect(await ledgerOf(root, player)).toEqual(['20', '80']);
  });

  test.each([2, 50])('of %i for 80 at once from a balance of 100 exactly one succeeds', async (count) => {
    const player = await funded('100');
    const clients = await Promise.all(Array.from({ length: count }, () => database.as('kernel_money')));
    const answers = await Promise.all(clients.map((client) => withdraw(client, player, '80')));
    expect(answers.filter(({ outcome }) => outcome === 'done')).toHaveLength(1);
    expect(answers.filter(({ code }) => code === 'INSUFFICIENT_FUNDS')).toHaveLength(count - 1);
    expect(await ledgerOf(root, player)).toEqual(['20', '80']);
    for (const client of clients) await client.end();
  });

  test('is refused before an identity is approved, by a method that is not allowed, and beyond the daily limit', async () => {
    const player = await funded('100');
    expect(await withdraw(money, player, '1', 'cash', 'cash')).toMatchObject({
      code: 'WITHDRAW_METHOD_NOT_ALLOWED',
    });
    expect(await withdraw(money, player, '100000001')).toMatchObject({ code: 'LIMIT_EXCEEDED' });
    await ask(money, 'change_player($1, $2, $3, $4)', tenant, reviewer, player, {
      kyc_status: 'rejected',
      reason: 'the document is expired',
    });
    expect(await withdraw(money, player, '1')).toMatchObject({ code: 'KYC_REQUIRED_FOR_WITHDRAWAL' });
  });

  test('made too fast is refused, and not pinned to its key', async () => {
    const of = 'slow';
    const player = await newPlayer(money, of);
    await deposit(money, player, '100');
    await ask(money, 'set_money_policy($1, $2, $3)', of, { withdrawals_per_minute: 1 }, 'test');
    await withdraw(money, player, '1');
    expect(await withdraw(money, player, '1', 'again')).toMatchObject({ code: 'VELOCITY_LIMIT_EXCEEDED' });
    await ask(money, 'set_money_policy($1, $2, $3)', of, {}, 'test');
    expect(await withdraw(money, player, '1', 'again')).toMatchObject({ outcome: 'done' });
  });
});

describe('a review', () => {
  test('rejects once and gives the money back; approves once, and an approval stays', async () => {
    const player = await funded('100');
    const { tx_id: bad } = await withdraw(money, player, '30');
    const { tx_id: good } = await withdraw(money, player, '40');
    expect(await reject(money, bad)).toMatchObject({ changed: true, transaction: { state: 'rejected' } });
    expect(await reject(money, bad)).toMatchObject({ changed: false });
    expect(await approve(money, bad)).toMatchObject({
      code: 'ILLEGAL_TRANSACTION_STATE_TRANSITION',
      from_state: 'rejected',
      to_state: 'approved',
    });
    expect(await approve(money, good)).toMatchObject({
      changed: true,
      transaction: { balance_after: '100' },
    });
    expect(await approve(money, good)).toMatchObject({ changed: false });
    expect(await reject(money, good)).toMatchObject({ code: 'ILLEGAL_TRANSACTION_STATE_TRANSITION' });
    expect(await ledgerOf(root, player)).toEqual(['60', '40']);
  });

  test('needs a reason, another person, a known action and the same tenant', async () => {
    const player = await funded('100');
    const { tx_id } = await withdraw(money, player, '30');
    const review = (body: object, more = {}) => act(money, 'review', tx_id, body, more);
    for (const reason of [undefined, '', '  '])
      expect(await review({ action: 'approve', reason })).toMatchObject({ code: 'REASON_REQUIRED' });
    expect(await review({ action: 'bless', reason: 'x' })).toMatchObject({ code: 'INVALID_ACTION' });
    const body = { action: 'approve', reason: 'mine' };
    expect(await review(body, { actor: player })).toMatchObject({ code: 'FOUR_EYES' });
    expect(await review(body, { of: 'other' })).toMatchObject({ code: 'TX_NOT_FOUND' });
    expect(await outcome(root, tx_id)).toEqual(['requested', 0]);
  });

  test('is kept in the audit log with the balances before and after it', async () => {
    const player = await funded('100');
    const { tx_id } = await withdraw(money, player, '30');
    await reject(money, tx_id);
    const { rows } = await root.query(
      'select action, payload from audit_log where resource_id = $1 order by id',
      [tx_id],
    );
    expect(rows.map(({ action }) => action)).toEqual(['FIN_WITHDRAW_REQUESTED', 'FIN_WITHDRAW_REJECTED']);
    expect(rows[0].payload.after).toMatchObject({ available_real: '70', held_real: '30' });
    expect(rows[1].payload).toMatchObject({
      before: { available_real: '70', held_real: '30' },
      after: { available_real: '100', held_real: '0' },
      reason: 'not theirs',
    });
  });
});

describe('the rollout from a legacy balance', () => {
  test('goes from shadow to enforced and back, and both balances have moved alike all the way', async () => {
    const player = await newPlayer(money);
    await importLegacy(player, '1000');
    await deposit(money, player, '200');
    // shadow: the legacy row decides, the ledger is written beside it and the difference is found
    const shadow = await withdraw(money, player, '700');
    expect(shadow.transaction.flags).toMatchObject({ decided_by: 'legacy' });
    expect(shadow.balance).toMatchObject({ source: 'legacy', available_real: '500', held_real: '700' });
    expect([await legacyOf(root, player), await ledgerOf(root, player)]).toEqual([
      ['500', '700'],
      ['-500', '700'],
    ]);
    expect(await findings(root, player)).toEqual(['ledger_balance_mismatch']);
    expect(await withdraw(money, player, '501')).toMatchObject({ code: 'INSUFFICIENT_FUNDS' });
    // compare and repair: what was there before the ledger is booked as such
    await ask(money, 'credit_wallet($1, $2, $3, $4)', tenant, 'backfill', `opening:${player}`, {
      owner_id: player,
      currency: 'USD',
      amount_minor: '1000',
      kind: 'opening_balance',
    });
    // enforce, for this tenant
    await setFlag(root, 'ledger_enforce_balance', true);
    const enforced = await withdraw(money, player, '400');
    expect(enforced.transaction.flags).toMatchObject({ decided_by: 'ledger', ledger_enforce_balance: true });
    expect(await withdraw(money, player, '101')).toMatchObject({ code: 'INSUFFICIENT_FUNDS' });
    // back: a request of before the switch is paid, one of after it rejected, and the legacy row decides again
    await setFlag(root, 'ledger_enforce_balance', null);
    await approve(money, shadow.tx_id);
    await act(money, 'mark_paid', shadow.tx_id, { reason: 'by hand' });
    await reject(money, enforced.tx_id);
    expect([await legacyOf(root, player), await ledgerOf(root, player)]).toEqual([
      ['500', '0'],
      ['500', '0'],
    ]);
    expect((await withdraw(money, player, '500')).transaction.flags).toMatchObject({ decided_by: 'legacy' });
  });

  test('enforced refuses a player whose wallet is missing, and says so in a finding', async () => {
    const player = await newPlayer(money, 'strict');
    await importLegacy(player, '1000', 'strict');
    await setFlag(root, 'ledger_enforce_balance', true, 'strict');
    expect(await withdraw(money, player, '1')).toMatchObject({ code: 'INSUFFICIENT_FUNDS' });
    expect((await findings(root, player)).sort()).toEqual(['ledger_balance_mismatch', 'wallet_missing']);
  });

  test('without shadow writes leaves the ledger alone, from request to payment', async () => {
    const of = 'unshadowed';
    await setFlag(root, 'ledger_shadow_write', false, of);
    const player = await newPlayer(money, of);
    await importLegacy(player, '100', of);
    await deposit(money, player, '10');
    const { tx_id } = await withdraw(money, player, '60');
    await act(money, 'review', tx_id, { action: 'approve', reason: 'x' }, { of });
    await act(money, 'mark_paid', tx_id, { reason: 'x' }, { of });
    expect([await legacyOf(root, player), await ledgerOf(root, player)]).toEqual([['50', '0'], null]);
    expect(await outcome(root, tx_id)).toEqual(['paid', 0]);
  });
});

test('a player reads own rows only, finance those of its tenant, and nobody who is not signed in any', async () => {
  const [player, other] = [await funded('100'), await newPlayer(money, 'elsewhere')];
  const { tx_id } = await withdraw(money, player, '30');
  await act(money, 'review', tx_id, { action: 'approve', reason: 'x' });
  await act(money, 'payout', tx_id);
  const seen = async (role: 'kernel_money' | 'authenticated', user: string, staff: string) => {
    const client = await database.as(role);
    await client.query(
      `select set_config('app.user_id', $1, false), set_config('app.staff_tenant', $2, false)`,
      [user, staff],
    );
    const counts: number[] = [];
    for (const [table, by] of [
      ['withdrawals', 'id'],
      ['payout_attempts', 'withdraw_tx_id'],
      ['players', 'id'],
    ] as const) {
      const id = table === 'players' ? player : tx_id;
      counts.push(
        (await client.query(`select count(*)::int n from ${table} where ${by} = $1`, [id])).rows[0].n,
      );
    }
    return counts;
  };
  for (const role of ['kernel_money', 'authenticated'] as const) {
    expect(await seen(role, player, '')).toEqual([1, 0, 1]);
    expect(await seen(role, '', tenant)).toEqual([1, 1, 1]);
    for (const stranger of ['', other]) expect(await seen(role, stranger, 'elsewhere')).toEqual([0, 0, 0]);
  }
});

test('a withdrawal changes along its state machine only, and is never deleted, even by its owner', async () => {
  const player = await funded('100');
  const { tx_id } = await withdraw(money, player, '30');
  const by = (sql: string) => root.query(`${sql} where id = '${tx_id}'`);
  await expect(by(`update withdrawals set state = 'paid'`)).rejects.toMatchObject({ code: 'RK043' });
  await expect(by('update withdrawals set amount = 1')).rejects.toMatchObject({ code: 'RK011' });
  await expect(by('delete from withdrawals')).rejects.toMatchObject({ code: 'RK011' });
});
