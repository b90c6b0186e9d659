// The migrator through the real Data API: each statement of each file is applied once, whatever ends it and whoever else runs.
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import type { DataApiCall, DataApiOptions } from '../../local/data-api/server.ts';
import { createDatabase } from '../../local/postgres/postgres.ts';
import { type MigrationFile, migrate, type TransactionalDatabase } from '../../shared/migration.ts';
import { scramVerifier } from '../../shared/scram.ts';
import { migrationFiles } from '../support/cluster.ts';
import { type MountedDataApi, mountDataApi } from '../support/data-api.ts';
import { openDatabase, type TestDatabase } from '../support/database.ts';

const superuserUrl = inject('superuserUrl');
const emptyName = 'migration_test_empty';
type Fault = NonNullable<DataApiOptions['fault']>;

let api: MountedDataApi;
let fault: Fault | undefined;
let empty: TestDatabase;
let database: TransactionalDatabase;

beforeAll(async () => {
  await createDatabase(superuserUrl, emptyName);
  const port = Number(new URL(superuserUrl).port);
  api = await mountDataApi(port, inject('masterPassword'), (point, call) => fault?.(point, call));
});
afterAll(async () => {
  await empty?.close();
  await api?.close();
  const admin = new pg.Client({ connectionString: superuserUrl });
  await admin.connect();
  await admin.query(`drop database if exists ${emptyName} with (force)`);
  await admin.end();
});
beforeEach(async () => {
  fault = undefined;
  await empty?.close();
  empty = await openDatabase(emptyName);
  database = api.database(new URL(empty.url).pathname.slice(1));
});

const create = 'create table steps (n integer);';
/** Statements that leave a row each time they run, so that one that ran twice shows. */
const step = (n: number) => `insert into steps values (${n});`;
const file = (name: string, ...statements: string[]): MigrationFile => ({
  name,
  text: statements.join('\n'),
});
const first = file('0001_first.sql', create, step(1), step(2));
const second = file('0002_second.sql', step(3), step(4));

describe('a database', () => {
  test('gets each file once, in the order of the names: the second run does nothing', async () => {
    expect(await migrate(database, [second, first])).toEqual([
      { file: '0001_first.sql', statements: 3 },
      { file: '0002_second.sql', statements: 2 },
    ]);
    expect(await migrate(database, [second, first])).toEqual([
      { file: '0001_first.sql', statements: 0 },
      { file: '0002_second.sql', statements: 0 },
    ]);
    expect(await steps()).toEqual([1, 2, 3, 4]);
  });

  test('gets the migrations of this release from a master that is no superuser and bypasses no row-level security', async () => {
    const [role] = await database.query(
      'select rolname::text, rolsuper, rolbypassrls from pg_roles where rolname = current_user',
    );
    expect(role).toEqual({ rolname: 'kernel_master', rolsuper: false, rolbypassrls: false });
    const files = await migrationFiles();
    const results = await migrate(database, files);
    expect(results.map(({ file }) => file)).toEqual(files.map(({ name }) => name).sort());
    expect(results.every(({ statements }) => statements > 0)).toBe(true);
    const again = await migrate(database, files);
    expect(again.map(({ statements }) => statements)).toEqual(files.map(() => 0));
    const { rows } = await empty.superuser.query(
      `select distinct relowner::regrole::text owner from pg_class where relnamespace = 'public'::regnamespace`,
    );
    expect(rows).toEqual([{ owner: 'kernel_master' }]);
  });

  test('shows nobody but the migrator how far it is', async () => {
    await migrate(database, [first]);
    const { rows } = await empty.superuser.query(
      `select relname, a.grantee::regrole::text grantee from pg_class c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a
        where relname like 'schema_migration%' and relkind = 'r' and a.grantee <> c.relowner`,
    );
    expect(rows).toEqual([]);
  });
});

describe('a file', () => {
  test('that was edited after it was applied is refused, and nothing changes', async () => {
    await migrate(database, [first]);
    const sentence =
      'The migration 0001_first.sql was edited after it was applied: write a new file instead.';
    const edits = [
      file(first.name, create, step(1), step(20)),
      file(first.name, create, step(1)),
      file(first.name, create, step(1), step(2), step(20)),
    ];
    for (const edited of edits) {
      await expect(migrate(database, [edited, second])).rejects.toThrow(sentence);
      expect(await steps()).toEqual([1, 2]);
    }
    expect(await migrate(database, [first, second])).toMatchObject([{ statements: 0 }, { statements: 2 }]);
  });

  test('whose comments between statements change is the same file', async () => {
    await migrate(database, [first]);
    const commented = file(first.name, create, step(1), step(2), '-- the end');
    expect(await migrate(database, [commented])).toMatchObject([{ statements: 0 }]);
  });

  test('that fails names itself, the statement and the reason, keeps what was before, and resumes there once it is right', async () => {
    const wrong = file(first.name, create, step(1), 'insert into stepz values (2);', step(3));
    await expect(migrate(database, [wrong, second])).rejects.toThrow(
      /^Statement 3 of 0001_first\.sql failed: ERROR: relation "stepz" does not exist; SQLState: 42P01$/,
    );
    expect(await steps()).toEqual([1]);
    const right = file(first.name, create, step(1), step(2), 'select 1;', step(22));
    expect(await migrate(database, [right, second])).toEqual([
      { file: '0001_first.sql', statements: 3 },
      { file: '0002_second.sql', statements: 2 },
    ]);
    expect(await steps()).toEqual([1, 2, 22, 3, 4]);
  });

  test('that is new takes whole files at once, and of one that fails all up to the statement that is named', async () => {
    const wrong = file(second.name, step(3), 'insert into stepz values (4);');
    await expect(migrate(database, [first, wrong], undefined, { whole_files: true })).rejects.toThrow(
      /^Statement 2 of 0002_second\.sql failed: ERROR: relation "stepz" does not exist; SQLState: 42P01$/,
    );
    expect(await steps()).toEqual([1, 2, 3]);
    expect(await migrate(database, [first, second], undefined, { whole_files: true })).toEqual([
      { file: '0001_first.sql', statements: 0 },
      { file: '0002_second.sql', statements: 1 },
    ]);
    expect(await steps()).toEqual([1, 2, 3, 4]);
  });

  test('that was half applied may be edited in its rest only', async () => {
    const wrong = file(first.name, create, step(1), 'select 1/0;');
    await expect(migrate(database, [wrong])).rejects.toThrow('division by zero');
    const before = file(first.name, create, step(11), step(2));
    await expect(migrate(database, [before])).rejects.toThrow('was edited after it was applied');
    expect(await steps()).toEqual([1]);
  });

  test('that the database has applied and the release does not hold is refused', async () => {
    await migrate(database, [first, second]);
    await expect(migrate(database, [first, file('0003_third.sql', step(5))])).rejects.toThrow(
      'The migration 0002_second.sql was applied to this database but is not in this release.',
    );
    expect(await steps()).toEqual([1, 2, 3, 4]);
  });
});

describe('a crash', () => {
  const insertion = ({ operation, sql }: DataApiCall) =>
    operation === 'ExecuteStatement' && sql?.includes('values (2)') === true;
  /** True from the second statement of the file on; the commit that matters comes after it. */
  const commitOf = (matches: (call: DataApiCall) => boolean) => {
    let seen = false;
    return (call: DataApiCall) => {
      seen ||= matches(call);
      return seen && call.operation === 'CommitTransaction';
    };
  };
  const moments: [string, 'before' | 'after', () => (call: DataApiCall) => boolean, number[]][] = [
    ['before a statement', 'before', () => insertion, [1]],
    ['after a statement', 'after', () => insertion, [1]],
    ['before its commit', 'before', () => commitOf(insertion), [1]],
    ['after its commit', 'after', () => commitOf(insertion), [1, 2]],
  ];

  test.each(moments)(
    '%s leaves what was committed, and the next migrator resumes there',
    async (_name, at, condition, left) => {
      const matches = condition();
      let dead = false;
      fault = async (point, call) => {
        const hit = matches(call) && point === at;
        dead ||= hit;
        return dead ? 'drop' : 'ok';
      };
      await expect(migrate(database, [first, second])).rejects.toThrow(
        'Statement 3 of 0001_first.sql failed',
      );
      fault = undefined;
      expect(await steps()).toEqual(left);
      await expect(migrate(database, [first, second])).rejects.toThrow('Another migrator is at work');
      await endLease();
      await migrate(database, [first, second]);
      expect(await steps()).toEqual([1, 2, 3, 4]);
    },
  );

  test.each(moments)(
    'of the connection only, %s, lets no statement run twice',
    async (_name, at, condition) => {
      const matches = condition();
      let left = 1;
      fault = async (point, call) => (matches(call) && point === at && left-- > 0 ? 'drop' : 'ok');
      // Whether the step could be known to be applied or not: the next run finds out.
      await migrate(database, [first, second]).catch((error: Error) => {
        expect(error.message).toMatch(/^Statement 3 of 0001_first\.sql failed: /);
      });
      await migrate(database, [first, second]);
      expect(await steps()).toEqual([1, 2, 3, 4]);
    },
  );

  test.each(moments)(
    '%s of a new database, whose files are whole transactions, leaves whole files, and the next migrator does the rest once',
    async (_name, at, condition) => {
      const matches = condition();
      let dead = false;
      fault = async (point, call) => {
        dead ||= matches(call) && point === at;
        return dead ? 'drop' : 'ok';
      };
      await expect(migrate(database, [first, second], undefined, { whole_files: true })).rejects.toThrow();
      fault = undefined;
      expect([[], [1, 2]]).toContainEqual(await stepsOrNone());
      await endLease();
      await migrate(database, [first, second], undefined, { whole_files: true });
      expect(await steps()).toEqual([1, 2, 3, 4]);
    },
  );

  test('that loses only the reply to a commit does not stop the migrator', async () => {
    const matches = commitOf(insertion);
    let left = 1;
    fault = async (point, call) => (point === 'after' && matches(call) && left-- > 0 ? 'drop' : 'ok');
    expect(await migrate(database, [first])).toEqual([{ file: '0001_first.sql', statements: 3 }]);
    expect(left).toBeLessThan(1);
    expect(await steps()).toEqual([1, 2]);
  });

  test('while the migrator sets itself up leaves nothing half made', async () => {
    let dead = false;
    fault = async (point, { sql }) => {
      dead ||=
        point === 'after' && sql?.includes('create table if not exists schema_migration_lease') === true;
      return dead ? 'drop' : 'ok';
    };
    await expect(migrate(database, [first])).rejects.toThrow();
    fault = undefined;
    await migrate(database, [first]);
    const { rows } = await empty.superuser.query(
      `select count(*)::int made, count(obj_description(oid, 'pg_class'))::int commented from pg_class
        where relname in ('schema_migrations', 'schema_migration_lease')`,
    );
    expect(rows).toEqual([{ made: 2, commented: 2 }]);
  });
});

describe('two migrators', () => {
  test('at once, on a new database: one works and the other gets a sentence', async () => {
    const slow = [file('0001_first.sql', create, 'do $$ begin perform pg_sleep(1); end $$;', step(1))];
    const runs = await Promise.allSettled([migrate(database, slow), migrate(database, slow)]);
    expect(runs.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    const refused = runs.find(({ status }) => status === 'rejected') as PromiseRejectedResult;
    expect(refused.reason.message).toBe(
      'Another migrator is at work; its lease ends within three minutes of its last step.',
    );
    expect(await steps()).toEqual([1]);
    const { rows } = await empty.superuser.query('select from schema_migration_lease');
    expect(rows).toHaveLength(0);
  });

  test('a dead one is replaced when its lease has ended, and does nothing more should it come back', async () => {
    const held = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    let holding = true;
    fault = async (point, { operation }) => {
      if (
        holding &&
        point === 'before' &&
        operation === 'BeginTransaction' &&
        (await stepsOrNone()).length === 1
      ) {
        holding = false;
        reached.resolve();
        await held.promise;
      }
      return 'ok' as const;
    };
    const sleeper = migrate(database, [first]).catch((error: Error) => error.message);
    await reached.promise;
    await endLease();
    expect(await migrate(database, [first, second])).toMatchObject([{ statements: 1 }, { statements: 2 }]);
    held.resolve();
    expect(await sleeper).toMatch(/^Statement 3 of 0001_first\.sql failed: Another migrator has taken over/);
    expect(await steps()).toEqual([1, 2, 3, 4]);
  });
});

test('a database that resumes from a pause is waited for', async () => {
  let resuming = 2;
  const sentences: string[] = [];
  fault = async (point) =>
    point === 'before' && resuming-- > 0 ? { error: 'DatabaseResumingException' } : 'ok';
  await migrate(database, [first], (sentence) => sentences.push(sentence));
  expect(resuming).toBeLessThan(0);
  expect(sentences).toContain('The database does not answer yet; trying again.');
  expect(await steps()).toEqual([1, 2]);
});

describe('a login role', () => {
  const set = (role: string, verifier: string) =>
    database.query('select set_role_verifier(:role::name, :verifier)::text role', { role, verifier });

  test('logs in with the password whose verifier the migrator set, and with no other', async () => {
    await migrate(database, await migrationFiles());
    for (const role of ['kernel_ingest', 'kernel_deliver', 'kernel_api']) {
      await set(role, scramVerifier(`the password of ${role}`));
      expect(await login(role, `the password of ${role}`)).toEqual({ role });
      await expect(login(role, 'another password')).rejects.toThrow('password authentication failed');
    }
  });

  test('takes no plain password, and no other role takes a verifier', async () => {
    await migrate(database, await migrationFiles());
    for (const [role, verifier] of [
      ['kernel_ingest', 'plain'],
      ['kernel_master', scramVerifier('mine')],
      ['postgres', scramVerifier('mine')],
      ['service_role', scramVerifier('mine')],
    ] as const) {
      const error = await set(role, verifier).catch((refused: Error) => refused);
      expect((error as Error).cause).toMatchObject({ message: expect.stringContaining('SQLState: RK005') });
    }
  });

  async function login(user: string, password: string) {
    const url = new URL(empty.url);
    const client = new pg.Client({
      host: url.hostname,
      port: Number(url.port),
      database: url.pathname.slice(1),
      user,
      password,
    });
    await client.connect();
    const { rows } = await client.query('select session_user::text as role');
    await client.end();
    return rows[0];
  }
});

async function steps(): Promise<number[]> {
  const { rows } = await empty.superuser.query<{ n: number }>('select n from steps order by ctid');
  return rows.map(({ n }) => n);
}

function stepsOrNone(): Promise<number[]> {
  return steps().catch(() => []);
}

async function endLease(): Promise<void> {
  await empty.superuser.query("update schema_migration_lease set until = clock_timestamp() - interval '1 s'");
}
