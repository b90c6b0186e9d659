// The local RDS Data API answers the real SDK as the one of AWS does: errors, transactions, roles and limits.
import { setTimeout as sleep } from 'node:timers/promises';
import type { SqlParameter } from '@aws-sdk/client-rds-data';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDataApi, serve } from './open-data-api.ts';

let api: Awaited<ReturnType<typeof openDataApi>>;

beforeAll(async () => {
  api = await openDataApi({ statementTimeoutMs: 500, transactionIdleMs: 3_000, maxConnections: 4 });
});
afterAll(() => api?.close());

describe('errors', () => {
  test('SQL errors carry their SQLSTATE, those of the application too', async () => {
    await api.execute('INSERT INTO counted VALUES (1)');
    await expect(api.execute('INSERT INTO counted VALUES (1)')).rejects.toMatchObject({
      name: 'DatabaseErrorException',
      message: 'ERROR: duplicate key value violates unique constraint "counted_pkey"; SQLState: 23505',
      $metadata: { httpStatusCode: 400 },
    });
    const raise = "DO $$ BEGIN RAISE EXCEPTION 'month is frozen' USING errcode = 'RK001'; END $$";
    await expect(api.execute(raise)).rejects.toThrow('ERROR: month is frozen; SQLState: RK001');
  });

  test('a second statement is refused before anything runs', async () => {
    await expect(api.execute('INSERT INTO counted VALUES (2); SELECT 1')).rejects.toMatchObject({
      name: 'ValidationException',
    });
    expect(await api.count('counted WHERE id = 2')).toBe(0);
  });

  test('the wrong cluster, an unknown secret and a wrong password each have their error', async () => {
    const other = { resourceArn: 'arn:aws:rds:eu-central-1:000000000000:cluster:other' };
    await expect(api.execute('SELECT 1', other)).rejects.toMatchObject({ name: 'DatabaseNotFoundException' });
    const unknown = { secretArn: 'unknown' };
    await expect(api.execute('SELECT 1', unknown)).rejects.toMatchObject({ name: 'SecretsErrorException' });
    await expect(api.execute('SELECT 1', { secretArn: 'mistaken' })).rejects.toMatchObject({
      name: 'DatabaseErrorException',
      message: 'FATAL: password authentication failed for user "reader"; SQLState: 28P01',
    });
  });

  test('a database that cannot be reached is unavailable', async () => {
    const away = await serve({ port: 1 });
    await expect(away.execute('SELECT 1')).rejects.toMatchObject({
      name: 'DatabaseUnavailableException',
      $metadata: { httpStatusCode: 504 },
    });
    await away.close();
  });

  test('a statement that runs too long is cancelled and undone', async () => {
    const slow = 'INSERT INTO counted SELECT 3 FROM pg_sleep(3)';
    await expect(api.execute(slow)).rejects.toMatchObject({ name: 'StatementTimeoutException' });
    expect(await api.count('counted WHERE id = 3')).toBe(0);
  });

  test('with continueAfterTimeout it goes on', async () => {
    const slow = 'INSERT INTO counted SELECT 4 FROM pg_sleep(0.8)';
    const late = api.execute(slow, { continueAfterTimeout: true });
    await expect(late).rejects.toMatchObject({ name: 'StatementTimeoutException' });
    await expect.poll(() => api.count('counted WHERE id = 4')).toBe(1);
  });

  test('a lost connection fails its own call and no other', async () => {
    const dying = api.execute('SELECT pg_terminate_backend(pg_backend_pid())');
    await expect(dying).rejects.toThrow(/SQLState: 57P01|not available/);
    expect((await api.execute('SELECT 1')).records).toEqual([[{ longValue: 1 }]]);
  });
});

describe('transactions', () => {
  test('what is committed stays, what is rolled back is gone', async () => {
    const kept = await api.begin();
    await api.execute('INSERT INTO counted VALUES (10)', { transactionId: kept });
    expect(await api.count('counted WHERE id = 10')).toBe(0);
    expect(await api.commit(kept)).toBe('Transaction Committed');
    const undone = await api.begin();
    await api.execute('INSERT INTO counted VALUES (11)', { transactionId: undone });
    expect(await api.rollback(undone)).toBe('Rollback Complete');
    expect(await api.count('counted WHERE id IN (10, 11)')).toBe(1);
    await expect(api.commit(kept)).rejects.toMatchObject({ name: 'TransactionNotFoundException' });
  });

  test('a statement that fails inside a transaction ends the transaction', async () => {
    const transactionId = await api.begin();
    await api.execute('INSERT INTO counted VALUES (12)', { transactionId });
    await expect(api.execute('SELECT 1/0', { transactionId })).rejects.toThrow('SQLState: 22012');
    await expect(api.execute('SELECT 1', { transactionId })).rejects.toMatchObject({
      name: 'TransactionNotFoundException',
    });
    expect(await api.count('counted WHERE id = 12')).toBe(0);
  });

  test('a transaction takes one call at a time', async () => {
    const transactionId = await api.begin();
    const one = () => api.execute('SELECT 1 FROM pg_sleep(0.2)', { transactionId });
    const ended = await Promise.allSettled([one(), one()]);
    expect(ended.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    const refused = ended.find(({ status }) => status === 'rejected') as PromiseRejectedResult;
    expect(String(refused.reason)).toContain('Transaction is still running a query');
    await api.rollback(transactionId);
  });

  test('a transaction without calls is rolled back after a while', async () => {
    const transactionId = await api.begin();
    await sleep(3_500);
    await expect(api.commit(transactionId)).rejects.toMatchObject({ name: 'TransactionNotFoundException' });
  });

  test('a transaction belongs to the role that began it', async () => {
    const transactionId = await api.begin();
    const foreign = api.execute('SELECT 1', { transactionId, secretArn: 'reader' });
    await expect(foreign).rejects.toMatchObject({ name: 'TransactionNotFoundException' });
    await api.rollback(transactionId);
  });

  test('open transactions leave connections for single statements', async () => {
    const open = await Promise.all([api.begin(), api.begin(), api.begin(), api.begin()]);
    expect((await api.execute('SELECT 1')).records).toHaveLength(1);
    await Promise.all(open.map(api.rollback));
  });

  test('a transaction that SQL opened by itself does not reach the next caller', async () => {
    await api.execute('BEGIN');
    const { records } = await api.execute('INSERT INTO counted VALUES (13) RETURNING id');
    expect(records).toHaveLength(1);
    expect(await api.count('counted WHERE id = 13')).toBe(1);
  });

  test('a batch is committed as a whole or not at all', async () => {
    const set = (id: number): SqlParameter[] => [{ name: 'id', value: { longValue: id } }];
    const results = await api.batch('INSERT INTO counted VALUES (:id)', [set(20), set(21)]);
    expect(results).toHaveLength(2);
    await expect(api.batch('INSERT INTO counted VALUES (:id)', [set(22), set(20)])).rejects.toThrow('23505');
    expect(await api.count('counted WHERE id BETWEEN 20 AND 22')).toBe(2);
  });
});

test('the secret chooses the role', async () => {
  const { records } = await api.execute('SELECT current_user::text', { secretArn: 'reader' });
  expect(records).toEqual([[{ stringValue: 'reader' }]]);
  const forbidden = api.execute('SELECT 1 FROM typed', { secretArn: 'reader' });
  await expect(forbidden).rejects.toThrow('permission denied for table typed; SQLState: 42501');
});

describe('limits', () => {
  test('a row of more than 64 KB is refused', async () => {
    expect((await api.execute("SELECT repeat('x', 65536)")).records).toHaveLength(1);
    await expect(api.execute("SELECT repeat('x', 65537)")).rejects.toThrow('Packet for query is too large');
  });

  test('a response of more than 1 MiB is refused', async () => {
    const rows = (count: number) =>
      api.execute(`SELECT repeat('x', 60000) FROM generate_series(1, ${count})`);
    expect((await rows(17)).records).toHaveLength(17);
    await expect(rows(18)).rejects.toThrow('Database returned more than the allowed response size limit');
  });

  test('a request of more than 4 MiB is refused', async () => {
    const send = (bytes: number) =>
      api.execute('SELECT length(:p)', {
        parameters: [{ name: 'p', value: { stringValue: 'x'.repeat(bytes) } }],
      });
    expect((await send(4_000_000)).records).toEqual([[{ longValue: 4_000_000 }]]);
    await expect(send(4 * 1024 * 1024)).rejects.toThrow('Request is too large');
  });
});

test('a statement whose caller has gone away still finishes', async () => {
  const abort = AbortSignal.timeout(100);
  const gone = api.execute('INSERT INTO counted SELECT 30 FROM pg_sleep(0.3)', {}, abort);
  await expect(gone).rejects.toThrow();
  await expect.poll(() => api.count('counted WHERE id = 30')).toBe(1);
});
