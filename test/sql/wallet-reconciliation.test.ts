// Revenue assurance on real wallets: drift of each class is planted, found, named, healed from the entries, and reported for ever.
import { createHash, randomUUID } from 'node:crypto';
import canonicalize from 'canonicalize';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDatabase, type TestDatabase } from '../support/database.ts';
import { call, tenant, violations, wallet } from '../support/money.ts';
import { plant, reconcile, reports } from '../support/reconciliation.ts';

let database: TestDatabase;
let money: pg.Client;
let jobs: pg.Client;
beforeAll(async () => {
  database = await openDatabase();
  money = await database.as('kernel_money');
  jobs = await database.as('kernel_jobs');
});
afterAll(() => database.close());

/** A wallet of 100 points, of which 30 are held, and 9 promotional ones. */
async function player(): Promise<{ owner_id: string; hold_id: string; lot_id: string }> {
  const owner_id = randomUUID();
  const body = { owner_id, currency: 'POINTS' };
  await call(money, 'credit_wallet', { ...body, amount_minor: '60' });
  await call(money, 'credit_wallet', { ...body, amount_minor: '40' });
  const { hold_id = '' } = await call(money, 'hold', { ...body, amount_minor: '30' });
  const { lot_id = '' } = await call(money, 'grant_promo', {
    ...body,
    amount_minor: '9',
    expires_at: '2100-01-01Z',
  });
  return { owner_id, hold_id, lot_id };
}

const id = (owner: string, kind: string) => `account_id('${tenant}', '${owner}', 'POINTS', '${kind}')`;
const healthy = ['70', '30', '9'];

describe('drift', () => {
  const planted: [string, string[], (p: Awaited<ReturnType<typeof player>>) => string][] = [
    [
      'a balance that its entries do not give',
      ['balance'],
      ({ owner_id }) => `update accounts set balance = balance + 5 where id = ${id(owner_id, 'available')}`,
    ],
    [
      'a version that is not that of the last entry',
      ['version'],
      ({ owner_id }) => `update accounts set version = 9 where id = ${id(owner_id, 'available')}`,
    ],
    [
      'a snapshot that is gone',
      ['missing'],
      ({ owner_id }) => `delete from accounts where id = ${id(owner_id, 'available')}`,
    ],
    [
      'an empty snapshot that is gone',
      ['missing'],
      ({ owner_id }) => `delete from accounts where id = ${id(owner_id, 'promo')}`,
    ],
    [
      'a lot that is not the sum of its moves',
      ['promo'],
      ({ lot_id }) => `update promo_lots set remaining = 2 where id = '${lot_id}'`,
    ],
    [
      'a held balance that lags behind its entries',
      ['balance', 'version'],
      ({ owner_id }) => `update accounts set balance = 0, version = 0 where id = ${id(owner_id, 'held')}`,
    ],
  ];

  test.each(planted)('as %s is found, named and healed from the entries', async (_name, drift, sql) => {
    const someone = await player();
    await plant(database.superuser, sql(someone));
    const found = await jobs.query('select (fact).drift, (fact).owner_id from wallet_drift()');
    expect(found.rows).toEqual([{ drift, owner_id: someone.owner_id }]);
    const run = await reconcile(jobs);
    expect(run).toMatchObject({ status: 'completed', adjusted: '1', errors: '0' });
    expect(await wallet(database.superuser, someone.owner_id, 'POINTS')).toEqual(healthy);
    expect(await reports(jobs, run)).toMatchObject([
      { account_id: null, status: 'adjusted' },
      { owner_id: someone.owner_id, status: 'adjusted', drift },
    ]);
    const again = await reconcile(jobs);
    expect(again).toMatchObject({ adjusted: '0', errors: '0', total_delta: '0', digest: run.digest });
    expect(await violations(database.superuser)).toEqual([]);
  });

  test('as held money without a hold goes back to its owner, and an unfounded hold is void', async () => {
    const [lost, ghost] = [await player(), await player()];
    await plant(
      database.superuser,
      `update holds set status = 'voided', resolved_at = now() where id = '${lost.hold_id}'`,
    );
    await plant(
      database.superuser,
      `insert into holds (id, amount, account_id, held_id, tenant_id)
       values ('${randomUUID()}', 4, ${id(ghost.owner_id, 'available')}, ${id(ghost.owner_id, 'held')}, '${tenant}')`,
    );
    expect(await reconcile(jobs)).toMatchObject({ adjusted: '2', errors: '0' });
    expect(await wallet(database.superuser, lost.owner_id, 'POINTS')).toEqual(['100', '0', '9']);
    expect(await wallet(database.superuser, ghost.owner_id, 'POINTS')).toEqual(healthy);
    expect(await call(money, 'capture', { hold_id: ghost.hold_id })).toMatchObject({ outcome: 'done' });
    expect(await violations(database.superuser)).toEqual([
      { invariant: 'a hold has its transfer', violations: '1' },
    ]);
    await plant(database.superuser, 'delete from holds where amount = 4');
    expect(await reconcile(jobs)).toMatchObject({ adjusted: '0', errors: '0' });
  });

  test('that only a person can judge is reported as an error, and nothing is touched', async () => {
    const people = await Promise.all([player(), player(), player()]);
    const [twice, gone, changed] = people.map(({ owner_id }) => owner_id) as [string, string, string];
    const body = { owner_id: twice, currency: 'POINTS', amount_minor: '3' };
    const { hold_id } = await call(money, 'hold', body);
    await call(money, 'void', { hold_id });
    const entry = (owner: string) => `where version = 2 and account_id = ${id(owner, 'available')}`;
    const resolve = (status: string, at: string) =>
      plant(
        database.superuser,
        `update holds set status = '${status}', resolved_at = ${at} where id = '${hold_id}'`,
      );
    await resolve('pending', 'null');
    await plant(database.superuser, `update entries set account_id = gen_random_uuid() ${entry(gone)}`);
    await plant(database.superuser, `update entries set amount = 39, balance_after = 99 ${entry(changed)}`);
    const run = await reconcile(jobs);
    expect(run).toMatchObject({ adjusted: '0', errors: '3' });
    const found = (await reports(jobs, run)).slice(1);
    expect(found.map(({ status, drift }) => [status, ...drift]).sort()).toEqual([
      ['error', 'chain', 'balance'],
      ['error', 'entries', 'chain', 'balance'],
      ['error', 'held'],
    ]);
    for (const { error } of found) expect(error).toContain('a person must look');
    for (const owner of [twice, gone, changed])
      expect(await wallet(database.superuser, owner, 'POINTS')).toEqual(healthy);
    await resolve('voided', 'now()');
    await plant(database.superuser, `update entries set amount = 40, balance_after = 100 ${entry(changed)}`);
    await plant(
      database.superuser,
      `update entries set account_id = ${id(gone, 'available')} where version = 2 and not exists (select from accounts a where a.id = account_id)`,
    );
    expect(await reconcile(jobs)).toMatchObject({ adjusted: '0', errors: '0' });
  });

  test.each([5, -5])('of %s is booked as an adjustment where the wallet is right', async (delta) => {
    const { owner_id } = await player();
    await plant(
      database.superuser,
      `update accounts set balance = balance + ${delta} where id = ${id(owner_id, 'available')}`,
    );
    const run = await reconcile(jobs, { policy: 'wallet_is_right' });
    expect(run).toMatchObject({ adjusted: '1', errors: '0', total_delta: '5' });
    expect((await wallet(database.superuser, owner_id, 'POINTS'))[0]).toBe(String(70 + delta));
    const { rows } = await database.superuser.query(
      `select t.kind, e.amount, t.metadata ->> 'report_id' report_id from entries e join transfers t on t.no = e.transfer_no
        where e.account_id = ${id(owner_id, 'available')} order by e.version desc limit 1`,
    );
    const [, report] = await reports(jobs, run);
    expect(rows).toEqual([
      { kind: 'reconcile_adjustment', amount: String(delta), report_id: report?.report_id },
    ]);
    expect(await reconcile(jobs)).toMatchObject({ adjusted: '0', errors: '0' });
    expect(await violations(database.superuser)).toEqual([]);
  });
});

describe('a healed wallet', () => {
  test('stays healed while its owner goes on writing', async () => {
    const owners = await Promise.all([player(), player(), player()]);
    const writers = await Promise.all([1, 2, 3].map(() => database.as('kernel_money')));
    let writing = true;
    const written = writers.map(async (client, n) => {
      for (let i = 0; writing; i += 1) {
        const owner_id = owners[(i + n) % 3]?.owner_id;
        const body = { owner_id, currency: 'POINTS', amount_minor: '1' };
        const { hold_id, outcome } = await call(client, 'hold', body);
        expect(outcome).toBe('done');
        await call(client, 'void', { hold_id });
        await call(client, 'credit_wallet', body);
      }
    });
    for (let round = 0; round < 12; round += 1) {
      const at = owners[round % 3]?.owner_id ?? '';
      const kind = round % 2 ? 'available' : 'held';
      await plant(
        database.superuser,
        `update accounts set balance = balance + 1000 where id = ${id(at, kind)}`,
      );
      expect(await reconcile(jobs, { limit: 2 })).toMatchObject({ status: 'completed', errors: '0' });
    }
    writing = false;
    await Promise.all(written);
    await reconcile(jobs);
    const { rows } = await jobs.query('select fact from wallet_drift() where fact is not null');
    expect(rows).toEqual([]);
    const { rows: chains } = await database.superuser.query(
      `select count(*) breaks from (select balance_before <> lag(balance_after, 1, 0::bigint) over (partition by account_id order by version) broken
         from entries where version is not null) e where broken`,
    );
    expect(Number(chains[0].breaks)).toBeGreaterThan(0); // writes did meet drifted snapshots, and for ever say so
    expect(await violations(database.superuser)).toEqual([]);
  });

  test('excuses no break that its repair did not see: before it, after it, nor in a wallet without one', async () => {
    const [mended, other] = [await player(), await player()];
    await plant(
      database.superuser,
      `update accounts set balance = balance + 5 where id = ${id(mended.owner_id, 'available')}`,
    );
    expect(await reconcile(jobs)).toMatchObject({ adjusted: '1', errors: '0' });
    await call(money, 'credit_wallet', { owner_id: mended.owner_id, currency: 'POINTS', amount_minor: '1' });
    expect(await violations(database.superuser)).toEqual([]);
    const planted: [string, number][] = [
      [mended.owner_id, 2],
      [mended.owner_id, 4],
      [other.owner_id, 2],
    ];
    for (const [owner, version] of planted) {
      const move = (by: number) =>
        plant(
          database.superuser,
          `update entries set balance_before = balance_before + ${by}, balance_after = balance_after + ${by}
            where version = ${version} and account_id = ${id(owner, 'available')}`,
        );
      await move(1);
      expect(await violations(database.superuser)).toEqual([
        { invariant: 'versions have no gap and balances follow', violations: '1' },
      ]);
      await move(-1);
    }
  });
});

describe('a run', () => {
  test('that loses its worker between pages is taken up where it stopped, and heals once', async () => {
    const { owner_id } = await player();
    await plant(
      database.superuser,
      `update accounts set balance = 1 where id = ${id(owner_id, 'available')}`,
    );
    const {
      rows: [{ run: begun }],
    } = await jobs.query(`select begin_reconciliation(null, 'test') run`);
    const dying = await database.as('kernel_jobs');
    await dying.query('select reconcile_wallets($1, 1)', [begun.run_id]);
    const {
      rows: [{ pid }],
    } = await dying.query('select pg_backend_pid() pid');
    await dying.query('begin');
    await dying.query('select reconcile_wallets($1, 1)', [begun.run_id]);
    await database.superuser.query('select pg_terminate_backend($1)', [pid]);
    await expect(jobs.query(`select begin_reconciliation(null, 'other')`)).rejects.toMatchObject({
      code: 'RK052',
    });
    await plant(
      database.superuser,
      `update reconciliation_runs set lease_until = now() where status = 'running'`,
    );
    const run = await reconcile(jobs, { limit: 1 });
    expect(run).toMatchObject({ run_id: begun.run_id, status: 'completed', adjusted: '1', errors: '0' });
    const { rows } = await database.superuser.query(
      'select count(distinct (tenant_id, owner_id, currency)) n from accounts where owner_id is not null',
    );
    expect(run.total).toBe(rows[0].n);
  });

  test('with a key is the same run for every call with that key', async () => {
    const run = await reconcile(jobs, { key: 'today' });
    expect(await reconcile(jobs, { key: 'today' })).toEqual(run);
  });

  test('that has ended does not change, and reports never do, for any role', async () => {
    await reconcile(jobs);
    const tables = ['reconciliation_reports', 'account_repairs', 'reconciliation_runs'];
    const changes = tables.flatMap((table) => [
      `delete from ${table}`,
      `truncate ${table}`,
      `update ${table} set created_at = created_at`,
    ]);
    for (const role of ['kernel_master', '']) {
      const client = role ? await database.as(role) : database.superuser;
      for (const sql of changes) {
        const code = sql.startsWith('update reconciliation_runs') ? 'RK051' : 'RK011';
        await expect(client.query(sql), `${role} ${sql}`).rejects.toMatchObject({ code });
      }
    }
    for (const role of ['service_role', 'authenticated', 'kernel_jobs', 'kernel_api', 'kernel_money']) {
      const client = await database.as(role);
      for (const sql of changes)
        await expect(client.query(sql), `${role} ${sql}`).rejects.toMatchObject({ code: '42501' });
    }
  });
});

describe('a report', () => {
  test('has a checksum that TypeScript finds too, and names the one before it', async () => {
    const { owner_id } = await player();
    for (const amount of [1, 2]) {
      await plant(
        database.superuser,
        `update accounts set balance = balance + ${amount} where id = ${id(owner_id, 'held')}`,
      );
      await reconcile(jobs);
    }
    const { rows } = await database.superuser.query(
      `select r from list_reports(null, null, ${id(owner_id, 'held')}) r`,
    );
    const [second, first] = rows.map(({ r }) => r);
    expect(second.previous_checksum).toBe(first.checksum);
    expect(first.previous_checksum).toBeNull();
    for (const { checksum, ...body } of [first, second])
      expect(
        createHash('sha256')
          .update(canonicalize(body) ?? '')
          .digest('hex'),
      ).toBe(checksum);
  });

  test('of each wallet is written when every one is asked for', async () => {
    const run = await reconcile(jobs, { every: true });
    const { rows } = await database.superuser.query(
      `select count(*) filter (where status = 'clean') clean, count(*) n from reconciliation_reports where run_id = $1 and account_id is not null`,
      [run.run_id],
    );
    expect(rows).toEqual([{ clean: run.accounts, n: run.accounts }]);
  });

  test('that was changed, or taken out of the chain, is detected', async () => {
    expect((await jobs.query('select * from broken_reports()')).rows).toEqual([]);
    const { rows } = await database.superuser.query(
      `select id from reconciliation_reports where account_id is not null order by created_at desc limit 1`,
    );
    await plant(
      database.superuser,
      `update reconciliation_reports set body = jsonb_set(body, '{wallet_after}', '"7"') where id = '${rows[0].id}'`,
    );
    expect((await jobs.query('select * from broken_reports()')).rows).toEqual([
      { report_id: rows[0].id, reason: 'checksum' },
    ]);
    await plant(
      database.superuser,
      `delete from reconciliation_reports where account_id is null and run_no = (select min(run_no) + 1 from reconciliation_reports)`,
    );
    const { rows: broken } = await jobs.query('select reason from broken_reports() order by 1');
    expect(broken.map(({ reason }) => reason)).toEqual(['chain', 'checksum']);
  });
});
