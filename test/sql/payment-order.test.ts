// Events of a payment provider that come too early, too late or unasked: each has its effect once, when its time has come.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDatabase, type TestDatabase } from '../support/database.ts';
import { violations } from '../support/money.ts';
import {
  available,
  captured,
  type Doors,
  depositState,
  dueNow,
  findingsAbout,
  openDoors,
  processDue,
  requested,
  told,
  waiting,
} from '../support/payment-provider.ts';
import {
  act,
  approve,
  ask,
  deposit,
  findings,
  ledgerOf,
  outcome,
  pay,
  reject,
  setFlag,
  tenant,
} from '../support/withdrawals.ts';

let database: TestDatabase;
let doors: Doors;
beforeAll(async () => {
  database = await openDatabase();
  doors = await openDoors(database);
});
afterAll(async () => {
  expect(await violations(doors.root)).toEqual([]);
  await database.close();
});

describe('an event that comes too early', () => {
  test('as a refund is applied in the commit of its capture, and only once', async () => {
    const { player, payment } = await waiting(doors);
    const refund = told(payment, 'refund', { amount_minor: '30', ref: randomUUID() });
    expect(await doors.take(refund)).toMatchObject({
      status: 'held',
      result: { waits_for: 'deposit_captured' },
    });
    const said = await ask(doors.money, 'settle_deposit($1, $2, $3, $4)', tenant, payment.id, 'CAPTURED', {
      provider_event_id: randomUUID(),
    });
    expect(said.transaction).toMatchObject({ state: 'completed', refunded_minor: '30' });
    expect(said.balance).toMatchObject({ available_real: '70' });
    await doors.take(refund);
    const xmins = await doors.root.query(
      `select d.xmin::text = r.xmin::text together from deposits d join deposit_reversals r on r.deposit_id = d.id where d.id = $1`,
      [payment.id],
    );
    expect(xmins.rows).toEqual([{ together: true }]);
    expect(await available(doors, player)).toBe('70');
  });

  test('as a won dispute waits for its chargeback, and then gives back what that took', async () => {
    const { player, payment } = await captured(doors);
    const of = { amount_minor: '60', ref: randomUUID() };
    const won = told(payment, 'chargeback_won', of);
    expect(await doors.take(won)).toMatchObject({ status: 'held', result: { waits_for: 'chargeback' } });
    expect(await available(doors, player)).toBe('100');
    await doors.take(told(payment, 'chargeback', of));
    expect(await doors.row(won.event_id)).toMatchObject({ status: 'processed' });
    expect([await depositState(doors, payment), await available(doors, player)]).toEqual([
      ['completed', '0', '0'],
      '100',
    ]);
  });

  test('as a refund that finds no room beside an open dispute is applied when that is won', async () => {
    const { player, payment } = await captured(doors);
    const of = { amount_minor: '100', ref: randomUUID() };
    await doors.take(told(payment, 'chargeback', of));
    const refund = told(payment, 'refund', { amount_minor: '30', ref: randomUUID() });
    expect(await doors.take(refund)).toMatchObject({
      status: 'held',
      result: { waits_for: 'chargeback_won' },
    });
    await doors.take(told(payment, 'chargeback_won', of));
    expect([await depositState(doors, payment), await available(doors, player)]).toEqual([
      ['completed', '30', '0'],
      '70',
    ]);
  });

  test('as a capture after a failure credits the deposit', async () => {
    const { player, payment } = await waiting(doors);
    await doors.take(told(payment, 'deposit_failed'));
    expect((await depositState(doors, payment))[0]).toBe('failed');
    await doors.take(told(payment, 'deposit_captured'));
    await doors.take(told(payment, 'deposit_failed'));
    expect([(await depositState(doors, payment))[0], await available(doors, player)]).toEqual([
      'completed',
      '100',
    ]);
    expect(await findings(doors.root, player)).toEqual([]);
  });
});

describe('a reversal that the wallet cannot bear', () => {
  const spend = (player: string) =>
    ask(doors.root, `debit_wallet($1, 'test', $2, $3)`, tenant, randomUUID(), {
      owner_id: player,
      currency: 'USD',
      amount_minor: '90',
    });

  test('is held where no balance may be negative, and applied once the money is there', async () => {
    await setFlag(doors.root, 'allow_negative_balance', false);
    const { player, payment } = await captured(doors);
    await spend(player);
    const refund = told(payment, 'refund', { amount_minor: '40', ref: randomUUID() });
    for (let n = 0; n < 3; n++) {
      expect(await doors.take(refund)).toMatchObject({ status: 'held', result: { waits_for: 'funds' } });
      await dueNow(doors, refund.event_id);
    }
    expect(await available(doors, player)).toBe('10');
    expect(await findingsAbout(doors, refund.event_id)).toEqual(['reversal_uncovered 0']);
    await deposit(doors.money, player, '50');
    await processDue(doors);
    expect(await doors.row(refund.event_id)).toMatchObject({ status: 'processed' });
    expect([await depositState(doors, payment), await available(doors, player)]).toEqual([
      ['completed', '40', '0'],
      '20',
    ]);
    await setFlag(doors.root, 'allow_negative_balance', null);
  });

  test('takes it below zero where that is allowed, with a finding', async () => {
    const { player, payment } = await captured(doors);
    await spend(player);
    await doors.take(told(payment, 'chargeback', { ref: randomUUID() }));
    expect([await depositState(doors, payment), await available(doors, player)]).toEqual([
      ['completed', '0', '100'],
      '-90',
    ]);
    expect(await findings(doors.root, player)).toEqual(['negative_balance']);
  });
});

describe('a payout that the provider tells of', () => {
  test('without having been asked settles an approved withdrawal once', async () => {
    const { player, payment } = await requested(doors);
    await approve(doors.money, payment.id);
    const event = told(payment, 'withdraw_paid');
    for (let n = 0; n < 2; n++) await doors.take(event);
    expect([await outcome(doors.root, payment.id), await ledgerOf(doors.root, player)]).toEqual([
      ['paid', 1],
      ['20', '0'],
    ]);
    expect(await findings(doors.root, player)).toEqual([]);
  });

  test.each(['requested', 'rejected'])('is a finding and no debit for one that is %s', async (state) => {
    const { player, payment } = await requested(doors);
    if (state === 'rejected') await reject(doors.money, payment.id);
    await doors.take(told(payment, 'withdraw_paid'));
    expect(await outcome(doors.root, payment.id)).toEqual([state, 0]);
    expect(await findings(doors.root, player)).toEqual(['paid_after_rejection']);
  });

  test('as paid when its try had failed and the withdrawal was rejected is a finding and no debit', async () => {
    const { player, payment } = await requested(doors);
    await approve(doors.money, payment.id);
    const { attempt_id } = await pay(doors.money, 'payout', payment.id, 'fail');
    await reject(doors.money, payment.id);
    const { rows } = await doors.root.query('select idempotency_key k from payout_attempts where id = $1', [
      attempt_id,
    ]);
    await doors.take(told(payment, 'withdraw_paid', { attempt_key: `tx_${payment.id}:${rows[0].k}` }));
    expect([await outcome(doors.root, payment.id), await ledgerOf(doors.root, player)]).toEqual([
      ['rejected', 0],
      ['100', '0'],
    ]);
    expect(await findings(doors.root, player)).toEqual(['paid_after_rejection']);
  });

  test('settles the try that it names, not one that came after it', async () => {
    const { payment } = await requested(doors);
    await approve(doors.money, payment.id);
    const key = `one ${payment.id}`;
    const first = await act(doors.money, 'payout', payment.id, {}, { key });
    const failed = told(payment, 'withdraw_failed', { attempt_key: `tx_${payment.id}:${key}` });
    await doors.take(failed);
    const second = await act(doors.money, 'payout', payment.id, {}, { key: `two ${payment.id}` });
    await doors.take({ ...failed, event_id: randomUUID() });
    const { rows } = await doors.root.query(
      'select id, status from payout_attempts where withdraw_tx_id = $1 order by attempt_no',
      [payment.id],
    );
    expect(rows).toEqual([
      { id: first.attempt_id, status: 'failed' },
      { id: second.attempt_id, status: 'pending' },
    ]);
    expect(await outcome(doors.root, payment.id)).toEqual(['payout_pending', 0]);
  });
});
