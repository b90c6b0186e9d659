// Migrations only add: after each of them, everything that the release before relied on is still there, as it was.
import pg from 'pg';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { createDatabase } from '../../local/postgres/postgres.ts';
import { split } from '../../shared/migration.ts';
import { migrationFiles } from '../support/cluster.ts';

const name = 'migration_safety';
const superuserUrl = inject('superuserUrl');

/** What deployed code may rely on: columns with their types, the labels of an enum, functions with their arguments. */
const surface = `
  select format('column %s.%s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod)) thing
    from pg_attribute a join pg_class c on c.oid = a.attrelid
   where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v') and not c.relispartition and a.attnum > 0 and not a.attisdropped
  union all
  select format('enum %s %s', t.typname, e.enumlabel) from pg_enum e join pg_type t on t.oid = e.enumtypid
   where t.typnamespace = 'public'::regnamespace
  union all
  select format('function %s(%s)', p.proname, pg_get_function_identity_arguments(p.oid)) from pg_proc p
   where p.pronamespace = 'public'::regnamespace
  union all
  select format('role %s', rolname) from pg_roles where rolname !~ '^pg_'`;

let database: pg.Client;
beforeAll(async () => {
  await createDatabase(superuserUrl, name);
  const url = new URL(superuserUrl);
  url.pathname = `/${name}`;
  database = new pg.Client({ connectionString: url.href });
  await database.connect();
});
afterAll(async () => {
  await database?.end();
  const admin = new pg.Client({ connectionString: superuserUrl });
  await admin.connect();
  await admin.query(`drop database if exists ${name} with (force)`);
  await admin.end();
});

async function surfaceNow(): Promise<Set<string>> {
  const { rows } = await database.query<{ thing: string }>(surface);
  return new Set(rows.map(({ thing }) => thing));
}

function missing(before: Set<string>, now: Set<string>): string[] {
  return [...before].filter((thing) => !now.has(thing));
}

test('no migration takes away a column, an enum label, a function or a role that was there before, or changes its type', async () => {
  const files = (await migrationFiles()).sort((a, b) => (a.name < b.name ? -1 : 1));
  const lost: string[] = [];
  let before = new Set<string>();
  for (const file of files) {
    for (const statement of split(file.text)) await database.query(statement);
    const now = await surfaceNow();
    lost.push(...missing(before, now).map((thing) => `${file.name}: ${thing}`));
    before = now;
  }
  expect(before.size).toBeGreaterThan(200);
  expect(lost).toEqual([]);
});

test.each([
  ['alter table site_plans drop column plan_tier', ['column site_plans.plan_tier text']],
  ['alter table sites alter column name type varchar(9)', ['column sites.name text']],
  ['alter type billing_state rename value $$RECOVERED$$ to $$LATER$$', ['enum billing_state RECOVERED']],
  ['drop function kernel_health()', ['function kernel_health()']],
])('a migration with "%s" would be seen', async (statement, lost) => {
  const before = await surfaceNow();
  await database.query('begin');
  await database.query(statement.replaceAll('$$', "'"));
  expect(missing(before, await surfaceNow())).toEqual(lost);
  await database.query('rollback');
});
