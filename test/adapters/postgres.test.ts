// The direct way to the ledger: over TLS and a role's own secret it does what the Data API does; exactly N and races included.
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:net';
import { setDefaultCACertificates } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { ledger } from '../../shared/adapters/ledger.ts';
import type { Database } from '../../shared/ports.ts';
import { ingest } from '../../shared/usage.ts';
import { openDatabase, type TestDatabase, v3 } from '../support/database.ts';
import { call, violations, wallet } from '../support/money.ts';
import { overlappingBatches, random } from '../support/random.ts';
import { mountSecrets } from '../support/secrets.ts';
import { serveTls, stopTls } from '../support/tls.ts';
import { ledgerSuite, password, role } from './ledger-suite.ts';

const secrets = new Map<string, string>();
const secretOf = (username: string) => `arn:aws:secretsmanager:eu-central-1:000000000000:secret:${username}`;
let secretsManager: Awaited<ReturnType<typeof mountSecrets>>;
let database: TestDatabase;
let host: string;

beforeAll(async () => {
  for (const username of [role, 'kernel_money'])
    secrets.set(secretOf(username), JSON.stringify({ username, password }));
  secretsManager = await mountSecrets(secrets);
  database = await openDatabase();
  for (const username of [role, 'kernel_money'])
    await database.superuser.query(`alter role ${username} password '${password}'`);
  host = `${await serveTls(database.superuser)}:${new URL(database.url).port}`;
});
afterAll(async () => {
  await stopTls(database.superuser);
  await database.close();
  secretsManager.close();
});

const direct = (
  { url }: Pick<TestDatabase, 'url'>,
  username = role,
  options: Parameters<typeof ledger>[1] = {},
  DATABASE_HOST = host,
): Database =>
  ledger(
    {
      LEDGER_ACCESS: 'proxy',
      DATABASE_HOST,
      DATABASE_CLUSTER_ARN: 'not asked for',
      DATABASE_SECRET_ARN: secretOf(username),
      DATABASE_NAME: new URL(url).pathname.slice(1),
    },
    options,
  );

describe('the suite of every way', () =>
  ledgerSuite(async (of) => ({
    open: (options) => direct(of, role, options),
    close: async () => undefined,
  })));

describe('a connection', () => {
  const away = { name: 'KernelError', code: 'ledger_unavailable', status: 503 };

  test('is encrypted, one for each instance, and in the role of the secret', async () => {
    const one = direct(database);
    const [row] = await one.query<Record<string, unknown>>(
      `select ssl, current_user::text who, version from pg_stat_ssl where pid = pg_backend_pid()`,
    );
    expect(row).toMatchObject({ ssl: true, who: role });
    const pids = await Promise.all(
      Array.from({ length: 10 }, () => one.query<{ pid: string }>('select pg_backend_pid() pid')),
    );
    expect(new Set(pids.map(([found]) => found?.pid)).size).toBe(1);
  });

  test('is made anew after a sleep that it may not have survived, and kept otherwise', async () => {
    const lasting = direct(database);
    const pid = async () => (await lasting.query<{ pid: string }>('select pg_backend_pid() pid'))[0]?.pid;
    const first = await pid();
    try {
      vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 59_000 });
      expect(await pid()).toBe(first);
      vi.setSystemTime(Date.now() + 61_000);
      expect(await pid()).not.toBe(first);
    } finally {
      vi.useRealTimers();
    }
  });

  test('is never made without TLS: neither to a server that has none nor to one that nobody vouches for', async () => {
    const asked: string[] = [];
    const plain = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.on('data', (data) => {
        asked.push(data.toString('hex'));
        socket.write('N'); // "no TLS here", as Postgres says it
      });
    });
    await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve));
    const port = (plain.address() as { port: number }).port;
    await expect(direct(database, role, {}, `localhost:${port}`).query('select 1')).rejects.toMatchObject(
      away,
    );
    plain.close();
    expect(new Set(asked)).toEqual(new Set(['0000000804d2162f'])); // the request for TLS, and nothing of a password

    // Another name than the certificate's, and then an authority that this process does not know.
    const named = direct(database, role, {}, host.replace('localhost', '127.0.0.1'));
    await expect(named.query('select 1')).rejects.toMatchObject(away);
    setDefaultCACertificates([]);
    await expect(direct(database).query('select 1')).rejects.toMatchObject(away);
    host = `${await serveTls(database.superuser)}:${new URL(database.url).port}`;
    await expect
      .poll(() =>
        direct(database)
          .query('select 1 as v')
          .catch(() => []),
      )
      .toEqual([{ v: '1' }]);
  });

  test('to a host that refuses, does not answer or has no name fails as a ledger that is away', async () => {
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const port = (silent.address() as { port: number }).port;
    const started = performance.now();
    await Promise.all(
      [`localhost:${port}`, 'localhost:1', 'ledger.invalid'].map((wrong) =>
        expect(direct(database, role, {}, wrong).query('select 1')).rejects.toMatchObject(away),
      ),
    );
    expect(performance.now() - started).toBeLessThan(6_000);
    silent.close();
  });

  test('finds a password that was changed since it read the secret', async () => {
    const lasting = direct(database, 'kernel_money');
    expect(await lasting.query('select 1 as v')).toEqual([{ v: '1' }]);
    secrets.set(secretOf('kernel_money'), JSON.stringify({ username: 'kernel_money', password: 'newer' }));
    await database.superuser.query(`alter role kernel_money password 'newer'`);
    await database.superuser.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where usename = 'kernel_money'`,
    );
    expect(await lasting.query('select 2 as v')).toEqual([{ v: '2' }]);
    secrets.set(secretOf('kernel_money'), JSON.stringify({ username: 'kernel_money', password: 'wrong' }));
    await expect(direct(database, 'kernel_money').query('select 1')).rejects.toMatchObject(away);
    secrets.set(secretOf('kernel_money'), JSON.stringify({ username: 'kernel_money', password: 'newer' }));
  });

  test('without its secret is a ledger that is away, not a fault of the caller', async () => {
    await expect(direct(database, 'nobody').query('select 1')).rejects.toMatchObject(away);
  });

  test('is bounded by the statement timeout that the proxy sets for it', async () => {
    await database.superuser.query(`alter role kernel_money set statement_timeout = '200ms'`);
    const started = performance.now();
    await expect(direct(database, 'kernel_money').query('select 1 from pg_sleep(3)')).rejects.toMatchObject({
      code: 'ledger_unavailable',
      cause: { code: '57014' },
    });
    expect(performance.now() - started).toBeLessThan(2_000);
    await database.superuser.query('alter role kernel_money reset statement_timeout');
  });
});

test('32 instances with overlapping batches admit exactly N events', async () => {
  const source = random(1);
  const limit = 300n;
  const site = await database.site(limit);
  const events = Array.from({ length: 1_500 }, (_, n) => v3(`event-${n}`));
  const work = overlappingBatches(events, 0.3, 50, source);
  const told: bigint[] = [];
  const context = { request_id: 'request', client_ip: '192.0.2.1', user_agent: 'agent' };
  await Promise.all(
    Array.from({ length: 32 }, async () => {
      const instance = direct(database);
      for (let batch = work.pop(); batch; batch = work.pop()) {
        const keyed = batch as unknown as Parameters<typeof ingest>[3];
        told.push((await ingest(instance, site, randomUUID(), keyed, context)).admitted);
      }
    }),
  );
  const { rows } = await database.superuser.query(
    `select (select count(*) from ingest_idempotency where site_id = $1 and billable) billable,
            (select event_count from site_usage_monthly where site_id = $1) usage,
            (select count(*) from ingest_fallback_buffer where site_id = $1) outbox`,
    [site],
  );
  expect(rows[0]).toEqual({ billable: '300', usage: '300', outbox: '300' });
  expect(told.reduce((a, b) => a + b)).toBe(limit);
});

test('of 16 instances that hold 80 of a balance of 100 exactly one succeeds, and all with one key get one answer', async () => {
  const { superuser } = database;
  const owner_id = randomUUID();
  await call(superuser, 'credit_wallet', { owner_id, currency: 'USD', amount_minor: '100' });
  const hold = async (instance: Database, key: string, amount_minor: string) => {
    const body = JSON.stringify({ owner_id, currency: 'USD', amount_minor });
    const [row] = await instance.query<{ answer: string }>(
      `select public.hold('tenant', 'test', :key, :body::jsonb) answer`,
      { key, body },
    );
    return JSON.parse(row?.answer ?? '{}') as { outcome: string; code?: string; hold_id?: string };
  };
  const instances = Array.from({ length: 16 }, () => direct(database, 'kernel_money'));
  const races = await Promise.all(instances.map((one) => hold(one, randomUUID(), '80')));
  expect(races.filter(({ outcome }) => outcome === 'done')).toHaveLength(1);
  expect(races.filter(({ code }) => code === 'INSUFFICIENT_FUNDS')).toHaveLength(15);
  const key = randomUUID();
  const same = await Promise.all(instances.map((one) => hold(one, key, '5')));
  expect(new Set(same.map(({ hold_id }) => hold_id)).size).toBe(1);
  expect(await wallet(superuser, owner_id)).toEqual(['15', '85', '0']);
  expect(await violations(superuser)).toEqual([]);
});
