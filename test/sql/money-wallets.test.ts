// Guarantee 8, holds and wallets: what is set aside, captured, voided and expired; promotional lots; adjustments.
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDatabase, type TestDatabase } from '../support/database.ts';
import { type Answer, call, openAccount, tenant, type Verb, violations, wallet } from '../support/money.ts';

let database: TestDatabase;
let money: pg.Client;
let jobs: pg.Client;
beforeAll(async () => {
  database = await openDatabase();
  money = await database.as('kernel_money');
  jobs = await database.as('kernel_jobs');
});
afterAll(async () => {
  expect(await violations(database.superuser)).toEqual([]);
  await database.close();
});

const one = async (sql: string, ...values: unknown[]) =>
  (await database.superuser.query(sql, values)).rows[0];
const balances = (owner: string) => wallet(database.superuser, owner);
const run = (verb: Verb, owner: string, amount_minor: string, more: Record<string, unknown> = {}) =>
  call(money, verb, { owner_id: owner, currency: 'USD', amount_minor, ...more });

async function funded(amount_minor: string): Promise<string> {
  const owner = randomUUID();
  await run('credit_wallet', owner, amount_minor);
  return owner;
}

/** Lets time pass for one row: only its clock is set back, as its owner alone could. */
async function age(table: 'holds' | 'promo_lots', id: string | undefined): Promise<void> {
  await database.superuser.query(`alter table ${table} disable trigger user`);
  await database.superuser.query(`update ${table} set expires_at = clock_timestamp() where id = $1`, [id]);
  await database.superuser.query(`alter table ${table} enable trigger user`);
}

describe('a hold', () => {
  test('sets money aside, and its capture takes it', async () => {
    const owner = await funded('100');
    const { hold_id } = await run('hold', owner, '80');
    expect(await balances(owner)).toEqual(['20', '80', '0']);
    expect(await call(money, 'capture', { hold_id })).toMatchObject({ outcome: 'done' });
    expect(await balances(owner)).toEqual(['20', '0', '0']);
  });

  test('captured in part gives the rest back, and a capture never takes more than is held', async () => {
    const owner = await funded('100');
    const { hold_id } = await run('hold', owner, '80');
    expect(await call(money, 'capture', { hold_id, amount_minor: '81' })).toMatchObject({
      code: 'CAPTURE_EXCEEDS_HOLD',
    });
    const { transfer_ids } = await call(money, 'capture', { hold_id, amount_minor: '50' });
    expect(transfer_ids).toHaveLength(2);
    expect(await balances(owner)).toEqual(['50', '0', '0']);
  });

  test('voided gives everything back', async () => {
    const owner = await funded('100');
    const { hold_id } = await run('hold', owner, '80');
    await call(money, 'void', { hold_id });
    expect(await balances(owner)).toEqual(['100', '0', '0']);
  });

  test('is resolved once, whoever tries next', async () => {
    const owner = await funded('100');
    for (const first of ['capture', 'void'] as const) {
      const { hold_id } = await run('hold', owner, '10');
      await call(money, first, { hold_id });
      for (const next of ['capture', 'void'] as const)
        expect(await call(money, next, { hold_id })).toMatchObject({ code: 'HOLD_RESOLVED' });
    }
    await run('hold', owner, '10'); // whose money a second capture could take
    const { hold_id } = await run('hold', owner, '10');
    const clients = await Promise.all(Array.from({ length: 10 }, () => database.connect()));
    const answers = await Promise.all(
      clients.map((client, n) => call(client, n % 2 ? 'capture' : 'void', { hold_id })),
    );
    expect(answers.filter(({ outcome }) => outcome === 'done')).toHaveLength(1);
    expect(answers.filter(({ code }) => code === 'HOLD_RESOLVED')).toHaveLength(9);
    expect((await balances(owner))[1]).toBe('10');
    const change = `update holds set status = 'voided', captured_amount = 0, resolved_at = now() where id = $1`;
    await expect(database.superuser.query(change, [hold_id])).rejects.toMatchObject({ code: 'RK033' });
  });

  test('is expired at its instant, before the job has run; the job then gives the money back, once', async () => {
    const owner = await funded('100');
    const { hold_id } = await run('hold', owner, '80', { expires_in_s: 3600 });
    expect(await expireHolds()).toBe('0');
    await age('holds', hold_id);
    expect(await call(money, 'capture', { hold_id })).toMatchObject({ code: 'HOLD_EXPIRED' });
    expect(await call(money, 'void', { hold_id })).toMatchObject({ code: 'HOLD_EXPIRED' });
    expect(await balances(owner)).toEqual(['20', '80', '0']);
    expect([await expireHolds(), await expireHolds()]).toEqual(['1', '0']);
    expect(await balances(owner)).toEqual(['100', '0', '0']);
    expect(await call(money, 'capture', { hold_id })).toMatchObject({ code: 'HOLD_EXPIRED' });
  });

  test('without an expiry waits', async () => {
    const owner = await funded('100');
    const { hold_id } = await run('hold', owner, '80');
    await expireHolds();
    expect(await call(money, 'capture', { hold_id })).toMatchObject({ outcome: 'done' });
  });

  test('of another tenant is not found, and not captured into a held or promotional balance', async () => {
    const owner = await funded('100');
    const { hold_id } = await run('hold', owner, '80');
    expect(await call(money, 'capture', { hold_id }, { of: 'other' })).toMatchObject({
      code: 'HOLD_NOT_FOUND',
    });
    const promo = await openAccount(money, 'promo', { owner });
    expect(await call(money, 'capture', { hold_id, account_id: promo })).toMatchObject({
      code: 'ACCOUNT_RESERVED',
    });
  });

  test('captured and then reversed returns to the available balance', async () => {
    const owner = await funded('100');
    const { hold_id } = await run('hold', owner, '80');
    const { transfer_ids } = await call(money, 'capture', { hold_id, amount_minor: '50' });
    await call(money, 'reverse', { transfer_id: transfer_ids?.[0], amount_minor: '20' });
    expect(await balances(owner)).toEqual(['70', '0', '0']);
    expect(await call(money, 'reverse', { transfer_id: hold_id })).toMatchObject({ code: 'NOT_REVERSIBLE' });
  });

  const expireHolds = async () => String((await jobs.query('select expire_holds() expired')).rows[0].expired);
});

describe('a wallet', () => {
  test('is opened by its first credit, and has no funds before', async () => {
    const owner = randomUUID();
    for (const verb of ['debit_wallet', 'hold', 'spend'] as const)
      expect(await run(verb, owner, '1')).toMatchObject({ code: 'INSUFFICIENT_FUNDS' });
    expect(await balances(owner)).toEqual([]);
    await run('credit_wallet', owner, '7');
    expect(await balances(owner)).toEqual(['7', '0', '0']);
    expect(await run('debit_wallet', owner, '8')).toMatchObject({ code: 'INSUFFICIENT_FUNDS' });
    await run('debit_wallet', owner, '7');
    expect(await balances(owner)).toEqual(['0', '0', '0']);
  });

  test('in a currency that does not exist is refused, and one without an owner is malformed', async () => {
    expect(await run('credit_wallet', randomUUID(), '1', { currency: 'XXX' })).toMatchObject({
      code: 'CURRENCY_UNKNOWN',
    });
    await expect(call(money, 'credit_wallet', { currency: 'USD', amount_minor: '1' })).rejects.toMatchObject({
      code: 'RK030',
    });
  });

  test('is adjusted only with a reason', async () => {
    const owner = await funded('100');
    for (const reason of [undefined, '', ' \t'.trimEnd(), '   '])
      expect(await run('adjust_wallet', owner, '5', { direction: 'credit', reason })).toMatchObject({
        code: 'REASON_REQUIRED',
      });
    await run('adjust_wallet', owner, '5', {
      direction: 'credit',
      reason: 'a goodwill credit',
      actor: 'someone',
    });
    await run('adjust_wallet', owner, '25', { direction: 'debit', reason: 'a duplicate payout' });
    expect(await balances(owner)).toEqual(['80', '0', '0']);
    expect(await run('adjust_wallet', owner, '81', { direction: 'debit', reason: 'too much' })).toMatchObject(
      { code: 'INSUFFICIENT_FUNDS' },
    );
  });

  test('goes below zero only by a debit that may overdraw', async () => {
    const owner = await funded('10');
    expect(await run('debit_wallet', owner, '30', { kind: 'chargeback', overdraw: true })).toMatchObject({
      outcome: 'done',
    });
    expect(await balances(owner)).toEqual(['-20', '0', '0']);
  });

  test('shows its movements as the requirements name them', async () => {
    const owner = randomUUID();
    await call(
      money,
      'credit_wallet',
      {
        owner_id: owner,
        currency: 'USD',
        amount_minor: '7',
        provider: 'mockpsp',
        provider_ref: 'r',
        reference: 'tx-1',
      },
      { key: `key-of-${owner}` },
    );
    expect(await one('select * from ledger_transactions where player_id = $1', owner)).toMatchObject({
      tx_id: 'tx-1',
      tenant_id: tenant,
      player_id: owner,
      type: 'deposit',
      direction: 'credit',
      amount: '7',
      currency: 'USD',
      status: 'posted',
      idempotency_key: `key-of-${owner}`,
      provider: 'mockpsp',
      provider_ref: 'r',
      provider_event_id: null,
      bucket: 'available',
      balance_after: '7',
    });
  });
});

describe('a promotional lot', () => {
  const later = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString();
  const grant = (owner: string, amount: string, days: number) =>
    run('grant_promo', owner, amount, { expires_at: later(days) });
  const remaining = async (...lots: Answer[]) => {
    const left: string[] = [];
    for (const { lot_id } of lots)
      left.push((await one('select remaining from promo_lots where id = $1', lot_id)).remaining);
    return left;
  };
  const expirePromo = async () => Number((await jobs.query('select expire_promo() expired')).rows[0].expired);

  test('needs an expiry in the future', async () => {
    const owner = randomUUID();
    expect(await run('grant_promo', owner, '5')).toMatchObject({ code: 'EXPIRY_REQUIRED' });
    expect(await grant(owner, '5', -1)).toMatchObject({ code: 'EXPIRY_REQUIRED' });
  });

  test('is spent before real money, and the earliest expiry first', async () => {
    const owner = await funded('100');
    const [late, early, middle] = [
      await grant(owner, '10', 30),
      await grant(owner, '10', 1),
      await grant(owner, '10', 2),
    ];
    await run('spend', owner, '15');
    expect(await remaining(early, middle, late)).toEqual(['0', '5', '10']);
    expect(await balances(owner)).toEqual(['100', '0', '15']);
    await run('spend', owner, '20');
    expect(await balances(owner)).toEqual(['95', '0', '0']);
    expect(await run('spend', owner, '96')).toMatchObject({ code: 'INSUFFICIENT_FUNDS' });
  });

  test('is not spent once expired, before the job has run; the job then takes what remains, once', async () => {
    const owner = await funded('5');
    const lot = await grant(owner, '10', 1);
    await run('spend', owner, '4');
    await age('promo_lots', lot.lot_id);
    expect(await run('spend', owner, '6')).toMatchObject({ code: 'INSUFFICIENT_FUNDS' });
    expect([await expirePromo(), await expirePromo()]).toEqual([1, 0]);
    expect(await balances(owner)).toEqual(['5', '0', '0']);
  });

  test('gets back what a reversal of the spend returns, after the real balance, and expires again', async () => {
    const owner = await funded('10');
    const [early, late] = [await grant(owner, '10', 1), await grant(owner, '10', 2)];
    const transfer_id = (await run('spend', owner, '25')).transfer_ids?.[0];
    await call(money, 'reverse', { transfer_id, amount_minor: '8' });
    expect([await balances(owner), await remaining(early, late)]).toEqual([
      ['10', '0', '3'],
      ['0', '3'],
    ]);
    await age('promo_lots', late.lot_id);
    expect(await expirePromo()).toBe(1);
    await call(money, 'reverse', { transfer_id });
    expect([await balances(owner), await remaining(early, late)]).toEqual([
      ['10', '0', '17'],
      ['10', '7'],
    ]);
    expect(await expirePromo()).toBe(1);
    expect(await balances(owner)).toEqual(['10', '0', '10']);
  });
});
