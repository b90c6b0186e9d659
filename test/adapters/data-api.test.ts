// The way over the Data API: the suite of every way, and what it makes of each failure that the Data API knows.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createDataApi, type DataApiOptions, type FaultOutcome } from '../../local/data-api/server.ts';
import { type LedgerOptions, ledger } from '../../shared/adapters/ledger.ts';
import { openDatabase, type TestDatabase } from '../support/database.ts';
import { ledgerSuite, password, role, type Way } from './ledger-suite.ts';

const clusterArn = 'arn:aws:rds:eu-central-1:000000000000:cluster:kernel';
const secretArn = 'arn:aws:secretsmanager:eu-central-1:000000000000:secret:kernel_ingest';

async function overDataApi({ url }: TestDatabase, options: Partial<DataApiOptions> = {}): Promise<Way> {
  const target = new URL(url);
  const api = createDataApi({
    clusterArn,
    host: '127.0.0.1',
    port: Number(target.port),
    resolveSecret: async (arn) => (arn === secretArn ? { username: role, password } : undefined),
    ...options,
  });
  const server = createServer((request, response) => void api.handle(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    open(options?: LedgerOptions) {
      Object.assign(process.env, {
        AWS_REGION: 'eu-central-1',
        AWS_ACCESS_KEY_ID: 'test',
        AWS_SECRET_ACCESS_KEY: 'test',
        AWS_ENDPOINT_URL_RDS_DATA: endpoint,
      });
      const DATABASE_NAME = target.pathname.slice(1);
      const arns = { DATABASE_CLUSTER_ARN: clusterArn, DATABASE_SECRET_ARN: secretArn };
      return ledger({ LEDGER_ACCESS: 'data-api', ...arns, DATABASE_NAME }, options);
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await api.close();
    },
  };
}

describe('the suite of every way', () => ledgerSuite((database) => overDataApi(database)));

describe('a failure', () => {
  let database: TestDatabase;
  let way: Way;
  let faults: { point: 'before' | 'after'; outcome: FaultOutcome }[] = [];
  let calls = 0;
  beforeAll(async () => {
    database = await openDatabase();
    await database.superuser.query(`alter role ${role} password '${password}'`);
    await database.superuser.query(
      `create table counted (id text primary key, times int not null); grant all on counted to ${role}`,
    );
    way = await overDataApi(database, {
      statementTimeoutMs: 300,
      fault: async (point) => {
        if (point === 'before') calls += 1;
        const [next] = faults;
        if (next?.point !== point) return 'ok';
        faults.shift();
        return next.outcome;
      },
    });
  });
  afterAll(async () => {
    await way?.close();
    await database?.close();
  });

  /** Writes a row that tells how often it was written, under these faults. */
  async function write(id: string, planted: typeof faults, options?: LedgerOptions) {
    faults = planted;
    calls = 0;
    const outcome = await way
      .open(options)
      .query(
        'insert into counted values (:id, 1) on conflict (id) do update set times = counted.times + 1 returning id',
        { id },
      )
      .then(
        () => 'ok',
        ({ code }) => code,
      );
    const { rows } = await database.superuser.query('select times from counted where id = $1', [id]);
    return { outcome, calls, times: rows[0]?.times ?? 0 };
  }
  const refused = (error: string, status?: number, message?: string) => {
    const outcome = { error, ...(status && { status }), ...(message && { message }) };
    return { point: 'before' as const, outcome };
  };

  const nobody = 'The ledger cannot be reached.';
  const failures: [string, ReturnType<typeof refused>, attempts: number, string, sentence: string][] = [
    ['a cluster that resumes', refused('DatabaseResumingException'), 1, 'ledger_unavailable', nobody],
    ['a writer that is away', refused('DatabaseUnavailableException', 504), 2, 'ledger_unavailable', nobody],
    ['an error inside', refused('InternalServerErrorException', 500), 2, 'ledger_unavailable', nobody],
    ['no service', refused('ServiceUnavailableError', 503), 2, 'ledger_unavailable', nobody],
    ['too many calls', refused('ThrottlingException'), 2, 'ledger_unavailable', nobody],
    ['a statement timeout', refused('StatementTimeoutException'), 1, 'ledger_unavailable', nobody],
    ['a secret that cannot be read now', refused('SecretsErrorException'), 2, 'ledger_unavailable', nobody],
    [
      'a link that broke behind it',
      refused('BadRequestException', 400, 'Communications link failure'),
      2,
      'ledger_unavailable',
      nobody,
    ],
    [
      'a server that shuts down',
      refused('DatabaseErrorException', 400, 'FATAL: terminating connection; SQLState: 57P01'),
      2,
      'ledger_unavailable',
      'The ledger could not answer.',
    ],
    [
      'no connection left',
      refused('DatabaseErrorException', 400, 'FATAL: sorry, too many clients already; SQLState: 53300'),
      1,
      'ledger_unavailable',
      'The ledger could not answer.',
    ],
    [
      'two that waited for each other',
      refused('DatabaseErrorException', 400, 'ERROR: deadlock detected; SQLState: 40P01\n  Detail: x'),
      2,
      'ledger_unavailable',
      'The ledger could not answer.',
    ],
    ...(
      [
        ['AccessDeniedException', 403],
        ['DatabaseNotFoundException', 404],
        ['ForbiddenException', 403],
        ['HttpEndpointNotEnabledException', 400],
        ['InvalidSecretException', 400],
        ['NotFoundException', 404],
      ] as const
    ).map(([name, status]): (typeof failures)[number] => [
      `${name}, which waiting does not heal`,
      refused(name, status),
      1,
      'ledger_unavailable',
      `The ledger is not open to this function: ${name}.`,
    ]),
    [
      'a type that cannot be shown',
      refused('UnsupportedResultException'),
      1,
      'internal',
      'The answer of the ledger cannot be passed on.',
    ],
  ];

  test.each(failures)(
    '%s: nothing is written, and the caller is told',
    async (what, fault, attempts, code, sentence) => {
      expect(await write(what, [fault, fault, fault])).toEqual({ outcome: code, calls: attempts, times: 0 });
      faults = [fault, fault, fault];
      await expect(way.open().query('select 1')).rejects.toMatchObject({ message: sentence });
      expect(await write(what, [])).toEqual({ outcome: 'ok', calls: 1, times: 1 });
    },
  );

  test.each(failures.filter(([, , attempts]) => attempts === 2))(
    '%s, once only: the call is made again and succeeds, unless it may be made once only',
    async (what, fault) => {
      expect(await write(`${what}, twice`, [fault])).toEqual({ outcome: 'ok', calls: 2, times: 1 });
      expect(await write(`${what}, once`, [fault], { attempts: 1 })).toMatchObject({ calls: 1, times: 0 });
    },
  );

  test('a reply that is lost after the commit: the call is made again, which a call of the kernel bears', async () => {
    const lost = { point: 'after', outcome: 'drop' } as const;
    expect(await write('lost', [lost])).toEqual({ outcome: 'ok', calls: 2, times: 2 });
    expect(await write('lost twice', [lost, lost])).toEqual({
      outcome: 'ledger_unavailable',
      calls: 2,
      times: 2,
    });
    expect(await write('lost once', [lost], { attempts: 1 })).toEqual({
      outcome: 'ledger_unavailable',
      calls: 1,
      times: 1, // nobody knows, and it is there
    });
  });

  test('a call that is cut before it runs is made again', async () => {
    const cut = { point: 'before', outcome: 'drop' } as const;
    expect(await write('cut', [cut])).toEqual({ outcome: 'ok', calls: 2, times: 1 });
  });

  test('a statement that the Data API stops is undone and not begun anew', async () => {
    faults = [];
    calls = 0;
    const slow = way.open().query("insert into counted select 'slow', 1 from pg_sleep(2)");
    await expect(slow).rejects.toMatchObject({
      code: 'ledger_unavailable',
      cause: { name: 'StatementTimeoutException' },
    });
    expect(calls).toBe(1);
    expect((await write('slow', [])).times).toBe(1);
  });

  test.each([
    ['an answer of more than 1 MiB', "select repeat('x', 60000) from generate_series(1, 18)", {}],
    ['a row of more than 64 KB', "select repeat('x', 65537)", {}],
    ['a request of more than 4 MiB', 'select length(:p)', { p: 'x'.repeat(4 * 1024 * 1024) }],
  ])('%s is an error of ours, which nobody repeats', async (_what, sql, parameters) => {
    faults = [];
    calls = 0;
    await expect(way.open().query(sql, parameters)).rejects.toMatchObject({
      code: 'internal',
      message: 'The answer of the ledger cannot be passed on.',
    });
    expect(calls).toBeLessThanOrEqual(1);
  });

  test('a write whose answer is too long has been made', async () => {
    const wide =
      "insert into counted select repeat('y', 60000) || n, 1 from generate_series(1, 18) n returning id";
    await expect(way.open().query(wide)).rejects.toMatchObject({ code: 'internal' });
    const { rows } = await database.superuser.query(`select count(*)::int from counted where id like 'yyy%'`);
    expect(rows[0].count).toBe(18);
  });

  test('a secret that does not exist and a password that is wrong are told apart from an answer', async () => {
    const mistaken = await overDataApi(database, {
      resolveSecret: async () => ({ username: role, password: 'wrong' }),
    });
    await expect(mistaken.open().query('select 1')).rejects.toMatchObject({ code: 'ledger_unavailable' });
    await mistaken.close();
    const absent = await overDataApi(database, { resolveSecret: async () => undefined });
    await expect(absent.open().query('select 1')).rejects.toMatchObject({ code: 'ledger_unavailable' });
    await absent.close();
  });
});

test('a way that nobody knows is refused when the function starts', () => {
  const arns = { DATABASE_CLUSTER_ARN: clusterArn, DATABASE_SECRET_ARN: secretArn, DATABASE_NAME: 'kernel' };
  expect(() => ledger({ ...arns, LEDGER_ACCESS: 'psql' })).toThrow('LEDGER_ACCESS is "psql"');
  expect(() => ledger({ ...arns, LEDGER_ACCESS: 'proxy' })).toThrow('proxy with DATABASE_HOST');
});
