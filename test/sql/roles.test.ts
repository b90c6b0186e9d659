// Least privilege in the ledger, by trying: every function, table, column and sequence as every role, against a declared matrix.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDatabase, type TestDatabase } from '../support/database.ts';
import { MATRIX, type Rights } from '../support/roles-matrix.ts';

interface SqlFunction {
  name: string;
  types: string[];
}

interface Table {
  name: string;
  view: boolean;
  /** Those that a statement may set. */
  columns: string[];
}

let database: TestDatabase;
let functions: SqlFunction[];
let tables: Table[];
let sequences: string[];
beforeAll(async () => {
  database = await openDatabase();
  const all = async <Row extends object>(sql: string) => (await database.superuser.query<Row>(sql)).rows;
  functions = await all(
    `select proname::text name, array(select format_type(t, null) from unnest(proargtypes) with ordinality a (t, n) order by n) types
       from pg_proc where pronamespace = 'public'::regnamespace order by 1`,
  );
  tables = await all(
    `select relname::text name, relkind = 'v' as view,
            array(select quote_ident(attname) from pg_attribute a
                   where attrelid = c.oid and attnum > 0 and not attisdropped and attgenerated = '' and attidentity = '' order by attnum) as columns
       from pg_class c where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v') order by 1`,
  );
  sequences = (
    await all<{ name: string }>(
      `select oid::regclass::text as name from pg_class where relnamespace = 'public'::regnamespace and relkind = 'S'`,
    )
  ).map(({ name }) => name);
  // Each statement is undone, whether it fails or not.
  await database.superuser.query(`
    create schema trial;
    grant usage on schema trial to public;
    create function trial.outcomes(statements text[]) returns text[] language plpgsql as $$
    declare
      found text[] := '{}';
      one text;
    begin
      foreach one in array statements loop
        begin
          execute one;
          raise exception 'done' using errcode = 'TRIED';
        exception when others then
          found := found || (sqlstate || ' ' || sqlerrm);
        end;
      end loop;
      return found;
    end $$;
    grant execute on function trial.outcomes(text[]) to public;`);
});
afterAll(() => database?.close());

/** What each statement, by its name, comes to for the role: `yes` or why it was refused; other errors are none of a grant. */
async function tried(role: string, statements: Record<string, string>): Promise<Record<string, string>> {
  const client = await database.as(role);
  await client.query(`set statement_timeout = '30s'`);
  const { rows } = await client.query<{ outcomes: string[] }>('select trial.outcomes($1) outcomes', [
    Object.values(statements),
  ]);
  const outcomes = rows[0]?.outcomes ?? [];
  return Object.fromEntries(
    Object.keys(statements).map((name, at) => {
      const outcome = outcomes[at] ?? '';
      return [name, outcome.startsWith('42501 ') ? outcome : 'yes'];
    }),
  );
}

/** A strict function of constant nulls would be answered without being called: the fence keeps them from being constant. */
function call({ name, types }: SqlFunction): string {
  const nulls = types.map((type, at) => `null::${type} a${at}`).join(', ');
  const parameters = types.map((_, at) => `a${at}`).join(', ');
  return `select ${name}(${parameters}) from (select ${nulls || '1'} offset 0) s`;
}

const isWhole = (entry: string) => !entry.includes('(');
const columnsOf = (rights: Rights, table: string) =>
  rights.reads.flatMap((entry) =>
    entry.startsWith(`${table}(`) ? entry.slice(table.length + 1, -1).split(',') : [],
  );

describe.each(Object.entries(MATRIX))('%s', (role, rights) => {
  test('calls the functions that are declared, and no other', async () => {
    const outcomes = await tried(role, Object.fromEntries(functions.map((one) => [one.name, call(one)])));
    const expected = functions.map(({ name }) => [
      name,
      rights.functions.includes(name) ? 'yes' : `42501 permission denied for function ${name}`,
    ]);
    expect(outcomes).toEqual(Object.fromEntries(expected));
  });

  test('reads the tables and columns that are declared, and of no other a single column', async () => {
    const statements: Record<string, string> = {};
    const expected: Record<string, string> = {};
    const add = (name: string, sql: string, allowed: boolean, table: string) => {
      statements[name] = sql;
      expected[name] = allowed ? 'yes' : refused(table);
    };
    for (const { name, columns } of tables) {
      const some = columnsOf(rights, name);
      add(name, `select * from ${name} limit 0`, rights.reads.includes(name), name);
      if (rights.reads.includes(name)) continue;
      if (some.length === 0) add(`any of ${name}`, `select 1 from ${name} limit 0`, false, name);
      else
        for (const column of columns)
          add(`${name}.${column}`, `select ${column} from ${name} limit 0`, some.includes(column), name);
    }
    expect(await tried(role, statements)).toEqual(expected);
  });

  test('writes the tables that are declared, and of no other a single column', async () => {
    const statements: Record<string, string> = {};
    const expected: Record<string, string> = {};
    for (const { name, columns, view } of tables) {
      if (view) continue; // no view here can be written by anybody
      const inserts = rights.inserts?.includes(name);
      statements[`delete ${name}`] = `delete from ${name} where false`;
      statements[`truncate ${name}`] = `truncate ${name}`;
      for (const column of columns) {
        statements[`update ${name}.${column}`] = `update ${name} set ${column} = null where false`;
        statements[`insert ${name}.${column}`] = `insert into ${name} (${column}) select null where false`;
      }
      for (const what of Object.keys(statements)) {
        if (expected[what] === undefined)
          expected[what] = inserts && what.startsWith('insert ') ? 'yes' : refused(name);
      }
    }
    expect(await tried(role, statements)).toEqual(expected);
  });

  test('takes no number of a sequence', async () => {
    const statements = sequences.map((name) => [name, `select nextval('${name}')`]);
    const expected = sequences.map((name) => [name, `42501 permission denied for sequence ${name}`]);
    expect(await tried(role, Object.fromEntries(statements))).toEqual(Object.fromEntries(expected));
  });
});

const refused = (table: string) =>
  expect.stringMatching(new RegExp(`^42501 permission denied for (table|view) ${table}$`));

test('the matrix names every role that can log in or is granted anything, and nothing that does not exist', async () => {
  const { rows } = await database.superuser.query<{ role: string }>(
    `select rolname::text as role from pg_roles where rolname not like 'pg\\_%' and rolname not in ('postgres', 'kernel_master') order by 1`,
  );
  expect(Object.keys(MATRIX).toSorted()).toEqual(rows.map(({ role }) => role));
  const known = new Set([...functions, ...tables].map(({ name }) => name));
  for (const { functions: calls, reads, inserts = [] } of Object.values(MATRIX)) {
    expect([...calls, ...reads.filter(isWhole), ...inserts].filter((name) => !known.has(name))).toEqual([]);
    expect(new Set(calls).size).toBe(calls.length);
  }
});
