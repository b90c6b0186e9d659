// Guarantee 10 and the append-only ledger, by trying as each role; and a catalogue test that a new table without a policy fails.
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ingest, openDatabase, type TestDatabase, v3 } from '../support/database.ts';

const roles = [
  'service_role',
  'authenticated',
  'kernel_ingest',
  'kernel_deliver',
  'kernel_api',
  'kernel_money',
  'kernel_webhook',
];
const owner = '10000000-0000-4000-8000-000000000001';
const member = '10000000-0000-4000-8000-000000000002';
const stranger = '10000000-0000-4000-8000-000000000003';
const admin = '10000000-0000-4000-8000-000000000004';

let database: TestDatabase;
let site: string;
beforeAll(async () => {
  database = await openDatabase();
  site = await database.site(100n);
  const other = await database.site(100n);
  await database.superuser.query('update sites set user_id = $2 where id = $1', [site, owner]);
  await database.superuser.query('insert into site_members (site_id, user_id) values ($1, $2)', [
    site,
    member,
  ]);
  await database.superuser.query(`insert into profiles (id, role) values ($1, 'admin')`, [admin]);
  for (const each of [site, other]) await ingest(database.superuser, each, [v3('a'), v3('b')]);
  await database.superuser.query(
    `insert into invoice_snapshot (site_id, year_month, event_count, overage_count) values ($1, '2025-01', 0, 0)`,
    [site],
  );
});
afterAll(() => database.close());

describe('a tenant', () => {
  const tables = [
    'sites',
    'site_plans',
    'ingest_idempotency',
    'site_usage_monthly',
    'events',
    'invoice_snapshot',
    'ingest_conflicts',
    'site_members',
  ];

  test.each([
    ['the owner', owner, { ingest_idempotency: 2, sites: 1, site_plans: 1 }],
    ['a member', member, { ingest_idempotency: 2, sites: 1, site_plans: 1 }],
    ['a stranger', stranger, { ingest_idempotency: 0, sites: 0, site_plans: 0 }],
    ['nobody', '', { ingest_idempotency: 0, sites: 0, site_plans: 0 }],
    ['a platform admin', admin, { ingest_idempotency: 4, sites: 2, site_plans: 2 }],
  ])('who is %s reads own rows only', async (_who, user, expected) => {
    const client = await database.as('authenticated');
    await client.query(`select set_config('app.user_id', $1, false)`, [user]);
    const seen: Record<string, number> = {};
    for (const table of tables)
      seen[table] = Number((await client.query(`select count(*) from ${table}`)).rows[0].count);
    expect(seen).toMatchObject(expected);
  });

  test('writes nothing', async () => {
    const client = await database.as('authenticated');
    await client.query(`select set_config('app.user_id', $1, false)`, [owner]);
    for (const table of tables) expect(await refusal(client, `delete from ${table}`)).toBe('42501');
    expect(await refusal(client, `update site_plans set monthly_limit = 1000000`)).toBe('42501');
    expect(
      await refusal(client, `update ingest_idempotency set billable = false where site_id = '${site}'`),
    ).toBe('42501');
  });
});

describe('the ledger', () => {
  const changes = [
    `update ingest_idempotency set billable = false`,
    `update ingest_idempotency set billable = false where false`,
    `delete from ingest_idempotency`,
    `truncate ingest_idempotency`,
    `update ingest_idempotency_p0 set billable = false`,
    `delete from ingest_idempotency_p7`,
    `truncate ingest_idempotency_p3`,
    `insert into ingest_idempotency (site_id, idempotency_key, created_at, expires_at) values (gen_random_uuid(), '\\x${'00'.repeat(16)}', now(), now() + interval '90 days')`,
  ];

  test.each(roles)('is not changed by %s', async (role) => {
    const client = await database.as(role);
    for (const sql of changes) expect([sql, await refusal(client, sql)]).toEqual([sql, '42501']);
  });

  test('is not updated, deleted or truncated even by its owner or a superuser', async () => {
    for (const client of [await database.as('kernel_master'), database.superuser]) {
      for (const sql of changes.slice(0, 7))
        expect([sql, await refusal(client, sql)]).toEqual([sql, 'RK011']);
    }
  });

  test('of a frozen month takes no row, by the table or by a partition', async () => {
    const values = `values ('${site}', '\\x${'01'.repeat(16)}', '2025-01-05Z', now() + interval '90 days')`;
    const { rows } = await database.superuser.query(
      'select tableoid::regclass::text name from ingest_idempotency where site_id = $1 limit 1',
      [site],
    );
    for (const table of ['ingest_idempotency', rows[0].name]) {
      const sql = `insert into ${table} (site_id, idempotency_key, created_at, expires_at) ${values}`;
      expect(await refusal(database.superuser, sql)).toBe('RK010');
    }
  });

  test('and a frozen invoice is final for every role, for statements that match no row too', async () => {
    const statements = [
      'update invoice_snapshot set event_count = 1 where false',
      'delete from invoice_snapshot',
      'truncate invoice_snapshot',
    ];
    for (const sql of statements) expect(await refusal(database.superuser, sql)).toBe('23000');
    const service = await database.as('service_role');
    for (const sql of statements) expect(await refusal(service, sql)).toBe('42501');
  });
});

describe('the catalogue', () => {
  /** Written by the migrator itself and granted to nobody. */
  const unguarded = ['schema_migration_lease', 'schema_migrations'];

  test('forces row-level security on every table, with a policy', async () => {
    const { rows } = await database.superuser.query(
      `select c.relname from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
         and not (c.relrowsecurity and c.relforcerowsecurity and (c.relispartition or exists (select from pg_policy p where p.polrelid = c.oid))) order by 1`,
    );
    expect(rows.map(({ relname }) => relname)).toEqual(unguarded);
  });

  test('grants nothing to PUBLIC, and nothing but SELECT on tables except what is listed', async () => {
    const { rows } = await database.superuser.query(
      `select format('%s %s %s', case when a.grantee = 0 then 'PUBLIC' else a.grantee::regrole::text end, a.privilege_type, c.relname) granted
         from pg_class c, aclexplode(c.relacl) a
        where c.relnamespace = 'public'::regnamespace and a.grantee <> c.relowner and (a.grantee = 0 or a.privilege_type <> 'SELECT')`,
    );
    expect(rows.map(({ granted }) => granted)).toEqual(['service_role INSERT invoice_snapshot']);
  });

  test('lets PUBLIC execute no function, and each login role only its own', async () => {
    const { rows } = await database.superuser.query<{ role: string; functions: string[] }>(
      `select case when a.grantee = 0 then 'PUBLIC' else a.grantee::regrole::text end role, array_agg(p.proname::text order by p.proname) functions
         from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
        where p.pronamespace = 'public'::regnamespace and a.grantee <> p.proowner group by 1 order by 1`,
    );
    const granted = Object.fromEntries(rows.map(({ role, functions }) => [role, functions]));
    expect(granted.PUBLIC).toBeUndefined();
    expect(granted.kernel_ingest).toEqual([
      'count_tracker_batch',
      'ingest',
      'kernel_health',
      'record_publish_failure',
      'site_for_ingest',
    ]);
    expect(granted.kernel_deliver).toEqual(['deliver', 'record_heartbeat', 'recover']);
    expect(granted.kernel_money).toEqual([
      'act_on_withdrawal',
      'add_feed',
      'adjust_player',
      'adjust_wallet',
      'balance_at',
      'begin_deposit',
      'cancel_withdrawal',
      'capture',
      'change_player',
      'check_money',
      'claim_run',
      'correct_finding',
      'credit_wallet',
      'debit_wallet',
      'decide_correction',
      'finish_run',
      'flag_on',
      'grant_promo',
      'hold',
      'import_legacy_balances',
      'list_findings',
      'list_payment_methods',
      'list_player_transactions',
      'list_products',
      'list_runs',
      'list_withdrawals',
      'mockpsp',
      'mockpsp_list',
      'money_policy',
      'open_account',
      'open_wallet',
      'own_finding',
      'read_finding',
      'read_player',
      'read_run',
      'read_wallet',
      'read_withdrawal',
      'register_player',
      'request_run',
      'request_withdrawal',
      'resolve_finding',
      'reverse',
      'set_correction_ceiling',
      'set_money_policy',
      'set_payment_method',
      'set_product',
      'set_provider_customer',
      'settle_deposit',
      'settle_payout',
      'shown_balance',
      'sign_in',
      'spend',
      'submit_kyc',
      'transfer',
      'transfer_batch',
      'void',
    ]);
    expect(granted.kernel_webhook).toEqual(['receive_webhook']);
    expect(granted.kernel_jobs).toEqual(
      expect.arrayContaining(['check_money', 'expire_holds', 'expire_promo', 'fold_accounts']),
    );
  });

  test('pins the search path of every function that is not bound when created, and comments every function, table and view', async () => {
    const { rows } = await database.superuser.query(
      `select p.proname name from pg_proc p where p.pronamespace = 'public'::regnamespace
          and (obj_description(p.oid, 'pg_proc') is null or not (coalesce(array_to_string(p.proconfig, ' '), '') ~ 'search_path=' or p.prosqlbody is not null))
        union all select c.relname from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v')
          and obj_description(c.oid, 'pg_class') is null`,
    );
    expect(rows).toEqual([]);
  });

  test('has no role of ours that bypasses row-level security or is a superuser', async () => {
    const { rows } = await database.superuser.query(
      `select rolname from pg_roles where (rolsuper or rolbypassrls) and rolname not like 'pg\\_%' and rolname <> 'postgres'`,
    );
    expect(rows).toEqual([]);
  });
});

async function refusal(client: pg.Client, sql: string): Promise<string | undefined> {
  return client.query(sql).then(
    () => undefined,
    (error: { code?: string }) => error.code,
  );
}
