// Guarantees 8 and 10 by trying as each role: the books change by the verbs only, and everybody sees own accounts only.
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDatabase, type TestDatabase } from '../support/database.ts';
import { call, openAccount, pair, tenant, violations } from '../support/money.ts';

const roles = [
  'service_role',
  'authenticated',
  'kernel_ingest',
  'kernel_deliver',
  'kernel_jobs',
  'kernel_api',
  'kernel_money',
];
const [alice, bob] = [randomUUID(), randomUUID()];

let database: TestDatabase;
let money: pg.Client;
let accounts: { alice: string; bob: string; clearing: string };
beforeAll(async () => {
  database = await openDatabase();
  money = await database.as('kernel_money');
  for (const owner_id of [alice, bob]) {
    await call(
      money,
      'credit_wallet',
      { owner_id, currency: 'USD', amount_minor: '100' },
      { scope: owner_id, key: 'first' },
    );
    await call(money, 'grant_promo', {
      owner_id,
      currency: 'USD',
      amount_minor: '9',
      expires_at: '2100-01-01Z',
    });
    await call(money, 'hold', { owner_id, currency: 'USD', amount_minor: '5' });
  }
  accounts = {
    alice: await openAccount(money, 'available', { owner: alice }),
    bob: await openAccount(money, 'available', { owner: bob }),
    clearing: await openAccount(money, 'clearing'),
  };
  await call(money, 'transfer', pair(accounts.alice, accounts.bob, '10'));
  await (await database.as('kernel_jobs')).query('select fold_accounts()');
});
afterAll(async () => {
  expect(await violations(database.superuser)).toEqual([]);
  await database.close();
});

const refusal = (client: pg.Client, sql: string, values: unknown[] = []): Promise<string | undefined> =>
  client.query(sql, values).then(
    () => undefined,
    (error: { code?: string }) => error.code,
  );

describe('the books', () => {
  const appended = {
    transfers: 'kind',
    entries: 'amount',
    idempotency_keys: 'answer',
    promo_moves: 'amount',
    folds: 'upto_no',
    currencies: 'exponent',
  };
  const changes = [
    ...Object.entries(appended).flatMap(([table, column]) => [
      `update ${table} set ${column} = ${column}`,
      `update ${table} set ${column} = ${column} where false`,
      `delete from ${table}`,
      `delete from ${table} where false`,
      `truncate ${table} cascade`,
    ]),
    ...['accounts', 'holds', 'promo_lots'].flatMap((table) => [
      `delete from ${table} where false`,
      `truncate ${table} cascade`,
    ]),
    `update accounts set owner_id = null where false`,
    `update accounts set floor = -100`,
    `update holds set amount = 1 where false`,
    `update promo_lots set expires_at = 'infinity'`,
  ];
  const writes = [
    `update accounts set balance = 1000000`,
    `update holds set status = 'voided', resolved_at = now()`,
    `update promo_lots set remaining = amount`,
    `insert into entries (transfer_no, n, created_at, amount, account_id) select 1, 3, now(), 1, id from accounts where kind = 'clearing'`,
    `insert into transfers (id, event_at, created_at, reversible, overdraw, tenant_id, kind) values (gen_random_uuid(), now(), now(), true, true, 'x', 'x')`,
    `insert into idempotency_keys (id, tenant_id, scope, key, verb, body_hash, answer) values (gen_random_uuid(), 'x', 'x', 'x', 'x', sha256('x'), '{"outcome":"done"}')`,
    `select post('${tenant}', null, array[gen_random_uuid()], array['{}'::jsonb], array[1, 1], (select array_agg(id) from accounts limit 2), array[1, -1]::bigint[])`,
  ];

  test.each(roles)('are written by %s through the verbs only', async (role) => {
    const client = await database.as(role);
    for (const sql of [...changes, ...writes])
      expect([sql, await refusal(client, sql)]).toEqual([sql, '42501']);
  });

  test('are not changed, deleted or emptied by their owner or a superuser either, not even where no row matches', async () => {
    for (const client of [await database.as('kernel_master'), database.superuser])
      for (const sql of changes) expect([sql, await refusal(client, sql)]).toEqual([sql, 'RK011']);
  });

  test('take no movement that does not sum to zero or disagrees with an account, not even from their owner', async () => {
    const owner = await database.as('kernel_master');
    const insert = async (rows: string): Promise<string | undefined> => {
      await owner.query('begin');
      const {
        rows: [transfer],
      } = await owner.query(
        `insert into transfers (id, event_at, created_at, reversible, overdraw, tenant_id, kind) values (gen_random_uuid(), now(), now(), true, true, $1, 'x') returning no`,
        [tenant],
      );
      const code = await refusal(
        owner,
        `insert into entries (transfer_no, n, created_at, amount, account_id, balance_before, balance_after, version) values ${rows.replaceAll('NO', transfer.no)}`,
      );
      await owner.query('rollback');
      return code;
    };
    const { alice: a, clearing: c } = accounts;
    const { balance, version } = (
      await database.superuser.query('select balance, version from accounts where id = $1', [a])
    ).rows[0];
    const shared = (n: number, amount: number) => `(NO, ${n}, now(), ${amount}, '${c}', null, null, null)`;
    const own = (n: number, amount: number, next: bigint) =>
      `(NO, ${n}, now(), ${amount}, '${a}', ${balance}, ${BigInt(balance) + BigInt(amount)}, ${next})`;
    expect(await insert(shared(1, 5))).toBe('RK032');
    expect(await insert([shared(1, 5), shared(2, -4)].join())).toBe('RK032');
    expect(await insert([shared(1, 5), own(2, -5, BigInt(version) + 1n)].join())).toBe('RK032');
    expect(await insert([shared(1, 5), own(2, -5, BigInt(version))].join())).toMatch(/RK032|23505/);
    expect(await insert([shared(1, 5), `(NO, 2, now(), -5, '${a}', null, null, null)`].join())).toBe('RK032');
    expect(
      await insert([shared(1, 5), `(NO, 2, now(), -5, '${randomUUID()}', null, null, null)`].join()),
    ).toBe('RK032');
    expect(await insert([shared(1, 5), `(NO, 2, now(), -5, '${c}', 1, 2, 3)`].join())).toBe('RK032');
    expect(await insert([shared(1, 5), shared(2, -5)].join())).toBeUndefined();
  });

  test('are checked by check_money: each fault that a superuser plants is named, and only while it is there', async () => {
    const faults: [string, string][] = [
      [
        `update accounts set balance = balance + 1 where id = '${accounts.alice}'`,
        'a balance is the sum of its entries',
      ],
      [`update accounts set balance = balance + 1 where id = '${accounts.clearing}'`, 'balances sum to zero'],
      [
        `update entries set amount = amount + 1, balance_after = balance_after + 1 where n = 1`,
        'entries sum to zero',
      ],
      [
        `update entries set version = version + 100 where version = 1`,
        'versions have no gap and balances follow',
      ],
      [
        `update accounts set version = version + 1 where id = '${accounts.alice}'`,
        'a balance is what its last entry says',
      ],
      [`delete from entries where transfer_no = 1`, 'a transfer has entries'],
      [`delete from transfers where no = 1`, 'an entry has a transfer'],
      [`delete from idempotency_keys`, 'a key has its transfers, a transfer its key'],
      [`update holds set status = 'voided', resolved_at = now()`, 'held is the sum of pending holds'],
      [`update holds set amount = amount + 1`, 'a hold has its transfer'],
      [`update promo_lots set remaining = remaining - 1`, 'promo is the sum of its lots'],
      [`delete from promo_moves`, 'a lot is the sum of its moves'],
      [`update accounts set floor = 1000 where id = '${accounts.alice}'`, 'a floor holds at every version'],
      [
        `update transfers set reverses = 1, amount = 101 where no = (select max(no) from transfers)`,
        'reversals do not exceed their original',
      ],
      [`update folds set balance_before = 7`, 'folds follow'],
      [`update transfers set tenant_id = 'other' where no = 1`, 'a transfer stays in its tenant'],
    ];
    for (const [sql, invariant] of faults) {
      await database.superuser.query('begin');
      await database.superuser.query('set local session_replication_role = replica');
      await database.superuser.query(sql);
      const found = (await violations(database.superuser)) as { invariant: string }[];
      expect([sql, found.map(({ invariant: name }) => name)]).toEqual([
        sql,
        expect.arrayContaining([invariant]),
      ]);
      await database.superuser.query('rollback');
    }
    const { rows } = await database.superuser.query('select invariant from check_money()');
    expect(rows.map(({ invariant }) => invariant).sort()).toEqual(
      faults.map(([, invariant]) => invariant).sort(),
    );
  });
});

describe('a signed-in user', () => {
  const as = async (user: string) => {
    const client = await database.as('authenticated');
    await client.query(`select set_config('app.user_id', $1, false)`, [user]);
    return client;
  };
  const count = async (client: pg.Client, table: string) =>
    Number((await client.query(`select count(*) from ${table}`)).rows[0].count);

  test.each([
    ['accounts', 3],
    ['wallet_balances', 1],
    ['entries', 5],
    ['ledger_transactions', 5],
    ['transfers', 4],
    ['holds', 1],
    ['promo_lots', 1],
    ['promo_moves', 1],
  ])('sees in %s own rows only, and nobody sees any', async (table, rows) => {
    expect(await count(await as(alice), table)).toBe(rows);
    expect(await count(await as(bob), table)).toBe(rows);
    expect([await count(await as(''), table), await count(await as(randomUUID()), table)]).toEqual([0, 0]);
  });

  test('sees own keys, and no answer or body of anybody', async () => {
    const client = await as(alice);
    const { rows } = await client.query(
      'select distinct player_id, idempotency_key from ledger_transactions where type = $1',
      ['deposit'],
    );
    expect(rows).toEqual([{ player_id: alice, idempotency_key: 'first' }]);
    expect(await refusal(client, 'select answer from idempotency_keys')).toBe('42501');
    expect(await refusal(client, 'select * from folds')).toBe('42501');
  });

  test('calls no verb', async () => {
    const client = await as(alice);
    const body = JSON.stringify({ owner_id: alice, currency: 'USD', amount_minor: '100' });
    for (const verb of [
      'credit_wallet',
      'debit_wallet',
      'spend',
      'hold',
      'adjust_wallet',
      'grant_promo',
      'transfer',
      'transfer_batch',
      'public.reverse',
      'capture',
      'void',
    ])
      expect([
        verb,
        await refusal(client, `select ${verb}('${tenant}', 's', 'k', $1::jsonb)`, [body]),
      ]).toEqual([verb, '42501']);
  });
});

test('money moves at read committed only, and a fold only in a transaction of its own', async () => {
  await money.query('begin isolation level repeatable read');
  await expect(call(money, 'transfer', pair(accounts.alice, accounts.bob, '1'))).rejects.toMatchObject({
    code: 'RK001',
  });
  await money.query('rollback');
  await database.superuser.query('begin');
  await call(database.superuser, 'transfer', pair(accounts.alice, accounts.bob, '1'));
  expect(await refusal(database.superuser, 'select fold_accounts()')).toBe('RK001');
  await database.superuser.query('rollback');
});
