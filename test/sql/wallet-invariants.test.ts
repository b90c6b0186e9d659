// What must agree between withdrawals, deposits, payouts and the ledger: each break is planted and found by its name. Then the doctor,
// who says which invariants it had the time to examine, and what a person may explain.
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDatabase, type TestDatabase } from '../support/database.ts';
import { call, tenant, violations } from '../support/money.ts';
import { plant, reconcile } from '../support/reconciliation.ts';
import { act, approve, ask, deposit, newPlayer, withdraw } from '../support/withdrawals.ts';

let database: TestDatabase;
let money: pg.Client;
let jobs: pg.Client;
let root: pg.Client;
beforeAll(async () => {
  database = await openDatabase();
  root = database.superuser;
  money = await database.as('kernel_money');
  jobs = await database.as('kernel_jobs');
  await ask(root, `apply_stage_defaults('dev')`);
});
afterAll(() => database.close());

async function paid(): Promise<string> {
  const player = await newPlayer(money);
  await deposit(money, player, '100');
  const { tx_id } = await withdraw(money, player, '80');
  await approve(money, tx_id);
  expect(await act(money, 'mark_paid', tx_id, { reason: 'by hand' })).toMatchObject({ outcome: 'done' });
  return tx_id;
}

async function planted<Found>(sql: string[], look: () => Promise<Found>): Promise<Found> {
  await root.query('begin');
  try {
    await root.query('set local session_replication_role = replica');
    for (const one of sql) await root.query(one);
    return await look();
  } finally {
    await root.query('rollback');
  }
}

const open = async () => {
  await root.query('select wallet_invariants()');
  const { rows } = await root.query(
    `select finding_type, severity, tx_id from reconciliation_findings where status = 'OPEN' order by finding_type`,
  );
  return rows;
};

describe('a finding is written when', () => {
  test('nothing is planted: none', async () => {
    await paid();
    expect(await planted([], open)).toEqual([]);
  });

  test('a withdrawal was debited twice', async () => {
    const tx_id = await paid();
    const sql = `insert into transfers select (jsonb_populate_record(t, jsonb_build_object('id', gen_random_uuid(), 'no', 1e9::bigint, 'provider_event_id', null))).*
      from transfers t where kind = 'withdraw_paid' and reference = '${tx_id}'`;
    expect(await planted([sql], open)).toEqual([
      { finding_type: 'LEDGER_DUPLICATE_WITHDRAW_PAID', severity: 'CRITICAL', tx_id },
    ]);
  });

  test.each(['approved', null])('the ledger holds the debit of a withdrawal that is %s', async (state) => {
    const tx_id = await paid();
    const sql = state
      ? `update withdrawals set state = '${state}' where id = '${tx_id}'`
      : `delete from withdrawals where id = '${tx_id}'`;
    expect(await planted([sql], open)).toEqual([
      { finding_type: 'LEDGER_PRESENT_BUT_TX_NOT_PAID', severity: 'CRITICAL', tx_id: state && tx_id },
    ]);
  });

  test('one event of a provider belongs to two payouts', async () => {
    const pair = [await paid(), await paid()].sort();
    const sql = [
      'drop index payout_attempts_once_an_event',
      `update payout_attempts set provider_event_id = 'twice' where withdraw_tx_id in ('${pair.join("', '")}')`,
    ];
    expect(await planted(sql, open)).toEqual([
      { finding_type: 'PAYOUT_ATTEMPT_DUPLICATE_PROVIDER_EVENT', severity: 'HIGH', tx_id: pair[0] },
    ]);
  });

  test('a completed deposit has no credit in the ledger', async () => {
    const player = await newPlayer(money);
    const { tx_id } = await deposit(money, player, '100');
    const sql = `delete from transfers where id = derived_uuid('key|${tenant}|deposit|tx_${tx_id}:capture')`;
    expect(await planted([sql], open)).toEqual([
      { finding_type: 'LEDGER_MISSING_DEPOSIT_CAPTURED', severity: 'MEDIUM', tx_id },
    ]);
  });
});

describe('the doctor', () => {
  const doctor = async (within: string): Promise<{ invariant: string; violations: string | null }[]> =>
    (await root.query('select * from examine_money($1)', [within])).rows;

  test('examines every invariant in time, and all of them hold', async () => {
    const answer = await doctor('1 minute');
    expect(answer.filter(({ violations: found }) => found !== '0')).toEqual([]);
    const { rows } = await root.query('select invariant from check_money()');
    const names = answer.map(({ invariant }) => invariant);
    expect(new Set(names).size).toBe(names.length);
    expect(names).toEqual(expect.arrayContaining(rows.map(({ invariant }) => invariant)));
    expect(names).toHaveLength(rows.length + 8);
  });

  test('ends when its time is over and answers null for what it did not examine', async () => {
    const answer = await doctor('0');
    expect(answer).toHaveLength((await doctor('1 minute')).length);
    // no report was written yet: there was nothing to examine
    expect(answer.filter(({ violations: found }) => found !== null)).toEqual([
      { invariant: 'a reconciliation report is as it was written', violations: '0' },
    ]);
  });

  test('finds a drifted wallet on any page, and ends on books of many rows', async () => {
    await plant(
      root,
      `insert into accounts (id, tenant_id, owner_id, currency, kind, constrained, floor)
       select account_id('${tenant}', o.owner_id, 'POINTS', k.kind), '${tenant}', o.owner_id, 'POINTS', k.kind, true, 0
         from (select gen_random_uuid() owner_id from generate_series(1, 1200)) o, unnest(array['available', 'held', 'promo']) k (kind)`,
    );
    const { rows } = await root.query(
      'select id from accounts where owner_id = (select max(owner_id::text)::uuid from accounts) order by kind limit 1',
    );
    const drift = (by: number) =>
      plant(root, `update accounts set balance = balance + ${by} where id = '${rows[0].id}'`);
    await drift(5);
    const broken = (await doctor('1 minute')).filter(({ violations: found }) => found !== '0');
    expect(broken).toContainEqual({
      invariant: 'a wallet agrees with its entries, holds and lots',
      violations: '1',
    });
    await drift(-5);
    // rows enough that one examination lasts longer than its time: it ends within it
    await plant(
      root,
      `insert into entries (transfer_no, n, created_at, amount, account_id) select 1e8 + s, 1, now(), 1, gen_random_uuid() from generate_series(1, 400000) s`,
    );
    const started = Date.now();
    const answer = await doctor('300 milliseconds');
    expect(Date.now() - started).toBeLessThan(1_500);
    expect(answer.filter(({ violations: found }) => found === null).length).toBeGreaterThanOrEqual(16);
    expect(answer).toContainEqual({ invariant: 'LEDGER_MISSING_WITHDRAW_PAID', violations: '0' });
    await plant(root, 'delete from entries where transfer_no > 1e8');
  });
});

test('a gap of versions is a violation, which the job leaves to a person, until a repair says so; one more is a violation again', async () => {
  const body = { owner_id: randomUUID(), currency: 'POINTS', amount_minor: '1' };
  const account = `account_id('${tenant}', '${body.owner_id}', 'POINTS', 'available')`;
  const skipping = async (versions: number) => {
    await plant(root, `update accounts set version = version + ${versions} where id = ${account}`);
    await call(money, 'credit_wallet', body);
  };
  const gap = { invariant: 'versions have no gap and balances follow', violations: '1' };
  await call(money, 'credit_wallet', body);
  await skipping(5);
  expect(await violations(root)).toEqual([gap]);
  const run = await reconcile(jobs);
  expect(run).toMatchObject({ adjusted: '0', errors: '1' });
  expect(await violations(root)).toEqual([gap]);
  await root.query(
    `insert into account_repairs (id, report_id, account_id, balance_before, balance_after, version_before, version_after, actions)
     select gen_random_uuid(), p.id, p.account_id, 2, 2, 7, 7, '{explained}' from reconciliation_reports p where p.run_id = $1 and p.account_id = ${account}`,
    [run.run_id],
  );
  expect(await violations(root)).toEqual([]);
  await skipping(1);
  expect(await violations(root)).toEqual([gap]);
});
