// The invariants of the books of one tenant: the very text of examine_books() over views that show nothing but this tenant.
import type pg from 'pg';
import type { TestDatabase } from './database.ts';

const views: [table: string, mine: string][] = [
  ['accounts', `tenant_id = current_setting('test.tenant')`],
  ['transfers', `tenant_id = current_setting('test.tenant')`],
  ['idempotency_keys', `tenant_id = current_setting('test.tenant')`],
  ['holds', `tenant_id = current_setting('test.tenant')`],
  ['promo_lots', `tenant_id = current_setting('test.tenant')`],
  ['promo_moves', 'lot_id in (select id from one_tenant.promo_lots)'],
  ['folds', 'account_id in (select id from one_tenant.accounts)'],
  ['entries', 'account_id in (select id from one_tenant.accounts)'],
];

export interface TenantCheck {
  /** Sees the tables of the tenant that was asked for last, and nothing else of them. */
  client: pg.Client;
  /** The invariants that do not hold for the tenant, as check_money() says it of all. */
  violations(tenant: string): Promise<{ invariant: string; violations: string }[]>;
}

/** What refers to another tenant's row is missing in the views, and so breaks an invariant here as well. */
export async function openTenantCheck(database: TestDatabase): Promise<TenantCheck> {
  const client = await database.connect();
  await client.query('create schema one_tenant');
  for (const [table, mine] of views)
    await client.query(`create view one_tenant.${table} as select * from public.${table} where ${mine}`);
  await client.query(
    `create function one_tenant.in_time(timestamptz, text) returns boolean immutable return true`,
  );
  const { rows } = await client.query(`select prosrc from pg_proc where proname = 'examine_books'`);
  const books = rows[0].prosrc
    .replaceAll('p_until', `timestamptz 'infinity'`)
    .replace('group by o.no having', 'group by o.no, o.amount having'); // a view has no primary key
  // By index, even while the database is small, for it grows with every history.
  for (const [table, mine] of views)
    await client.query(`create index on public.${table} (${mine.split(' ', 1)[0]})`);
  for (const planner of ['seqscan', 'hashjoin', 'mergejoin'])
    await client.query(`set enable_${planner} = off`);
  await client.query('set jit = off');
  await client.query('set search_path = one_tenant, public');
  const text = `select invariant, violations from (${books}) x (invariant, violations) where violations <> 0`;
  return {
    client,
    async violations(tenant) {
      const values = [tenant];
      await client.query({ name: 'tenant', text: `select set_config('test.tenant', $1, false)`, values });
      return (await client.query({ name: 'books', text })).rows;
    },
  };
}
