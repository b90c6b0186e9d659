// The local Postgres survives what happens on a laptop, and gives the application no more rights than Aurora does.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isOpenToNobody } from '../../local/postgres/binaries.ts';
import { createDatabase, type Postgres, startPostgres } from '../../local/postgres/postgres.ts';
import { sql } from './open-postgres.ts';

const masterPassword = "it's a password";
let directory: string;
const start = (): Promise<Postgres> => startPostgres({ directory, masterPassword });

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'revenue-kernel-test-'));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

describe('a running server', () => {
  let postgres: Postgres;
  const asMaster = (database = 'kernel'): string => {
    const url = new URL(postgres.superuserUrl);
    return `postgres://kernel_master:${encodeURIComponent(masterPassword)}@${url.host}/${database}`;
  };
  beforeAll(async () => {
    postgres = await start();
  });
  afterAll(() => postgres.stop());

  test('the master role is no superuser and owns the application database and its schema', async () => {
    const [role] = await sql(
      asMaster(),
      'CREATE TABLE mine (id int)',
      `SELECT current_user::text AS name, rolsuper, rolbypassrls, rolcreaterole,
        (SELECT datdba::regrole::text FROM pg_database WHERE datname = 'kernel') AS owner,
        (SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'public') AS schema_owner
       FROM pg_roles WHERE rolname = current_user`,
    );
    expect(role).toEqual({
      name: 'kernel_master',
      rolsuper: false,
      rolbypassrls: false,
      rolcreaterole: true,
      owner: 'kernel_master',
      schema_owner: 'kernel_master',
    });
  });

  test('it is Postgres 17 in UTC and UTF-8, and commits reach the disk', async () => {
    const [settings] = await sql(
      postgres.superuserUrl,
      `SELECT current_setting('server_version_num')::int / 10000 AS major, current_setting('timezone') AS zone,
        current_setting('server_encoding') AS encoding, current_setting('fsync') AS fsync, upper('ä') AS upper`,
    );
    expect(settings).toEqual({ major: 17, zone: 'UTC', encoding: 'UTF8', fsync: 'on', upper: 'Ä' });
  });

  test('other roles cannot enter the maintenance database, nor create in the schema', async () => {
    await sql(asMaster(), "CREATE ROLE visitor LOGIN PASSWORD 'v'");
    const visitor = asMaster().replace(/kernel_master:[^@]*/, 'visitor:v');
    await expect(sql(visitor.replace(/kernel$/, 'postgres'), 'SELECT 1')).rejects.toThrow(
      /permission denied/,
    );
    await expect(sql(visitor, 'CREATE TABLE theirs (id int)')).rejects.toThrow(/permission denied/);
  });

  test('a further database is a copy of its template', async () => {
    await createDatabase(postgres.superuserUrl, 'template_of_tests');
    await sql(asMaster('template_of_tests'), 'CREATE TABLE copied (id int)', 'INSERT INTO copied VALUES (7)');
    await createDatabase(postgres.superuserUrl, 'copy_1', 'template_of_tests');
    await createDatabase(postgres.superuserUrl, 'copy_2', 'template_of_tests');
    await sql(asMaster('copy_1'), 'DELETE FROM copied');
    expect(await sql(asMaster('copy_2'), 'SELECT id FROM copied')).toEqual([{ id: 7 }]);
  });

  test('the password of the superuser is for the eyes of its owner only', async () => {
    expect((await stat(join(postgres.home, 'superuser-password'))).mode & 0o777).toBe(0o600);
    const wrong = postgres.superuserUrl.replace(/:[0-9a-f]+@/, ':wrong@');
    await expect(sql(wrong, 'SELECT 1')).rejects.toThrow(/password authentication failed/);
  });

  test('a second server on the same data waits for the first, which is still shutting down', async () => {
    const stopping = postgres.stop();
    postgres = await start();
    await stopping;
    expect(await sql(postgres.superuserUrl, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  test('a taken port is one sentence', async () => {
    const other = await mkdtemp(join(tmpdir(), 'revenue-kernel-test-'));
    const start = startPostgres({ directory: other, masterPassword, port: postgres.port });
    await expect(start).rejects.toThrow(/Postgres did not start in .*Address already in use/s);
    await rm(other, { recursive: true });
  });
});

describe('sudden ends', () => {
  test('a parent killed by SIGKILL leaves no Postgres process, and its commits are there at the next start', async () => {
    const data = join(directory, 'killed');
    const script = fileURLToPath(new URL('./killed-parent.ts', import.meta.url));
    const parent = spawn(process.execPath, [script, data], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(parent.stdout, 'data')) as [Buffer];
    const pid = Number(line.toString());
    expect(isAlive(pid)).toBe(true);
    parent.kill('SIGKILL');
    const killedAt = Date.now();
    while (isAlive(pid) && Date.now() - killedAt < 5_000) await sleep(20);
    expect(Date.now() - killedAt).toBeLessThan(5_000);

    const postgres = await startPostgres({ directory: data, masterPassword });
    expect(await sql(postgres.superuserUrl, 'SELECT id FROM kept')).toEqual([{ id: 1 }]);
    await postgres.stop();
  });

  test('a server killed by SIGKILL is noticed, and recovers its committed rows at once', async () => {
    const killed = await start();
    await sql(killed.superuserUrl, 'CREATE TABLE survivors AS SELECT generate_series(1, 100) AS id');
    process.kill(killed.pid, 'SIGKILL');
    await killed.exited;
    const postgres = await start();
    expect(await sql(postgres.superuserUrl, 'SELECT count(*)::int AS n FROM survivors')).toEqual([
      { n: 100 },
    ]);
    await postgres.stop();
    expect(isAlive(postgres.pid)).toBe(false);
  });

  test('a lock file whose process number belongs to another program does not keep the server from starting', async () => {
    await writeFile(join(directory, 'data', 'postmaster.pid'), `${process.pid}\n`);
    const postgres = await start();
    await postgres.stop();
  });
});

test('data of another major version are refused with a sentence', async () => {
  const data = join(directory, 'old', 'data');
  await mkdir(data, { recursive: true });
  await writeFile(join(data, 'PG_VERSION'), '12\n');
  const old = startPostgres({ directory: join(directory, 'old'), masterPassword });
  await expect(old).rejects.toThrow(/are of Postgres 12, this is Postgres 17/);
});

test.runIf(process.getuid?.() === 0)(
  'root keeps the data elsewhere when nobody else can reach the folder',
  async () => {
    const hidden = join(directory, 'private');
    await mkdir(hidden, { mode: 0o700 });
    const postgres = await startPostgres({ directory: join(hidden, 'pg'), masterPassword });
    expect(postgres.home).toMatch(/^\/var\/tmp\/revenue-kernel-[0-9a-f]{16}$/);
    expect(isOpenToNobody(postgres.home)).toBe(true);
    await postgres.stop();
    expect(existsSync(join(hidden, 'pg', 'data'))).toBe(false);
    await rm(postgres.home, { recursive: true });
  },
);

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
