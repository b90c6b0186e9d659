// Feature flags: who has one on, that a rollout is stable, that changes are kept, and that a stage's default is given once.
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openDatabase, type TestDatabase } from '../support/database.ts';

const flag = 'ledger_enforce_balance';

let database: TestDatabase;
let api: pg.Client;
beforeAll(async () => {
  database = await openDatabase();
  api = await database.as('kernel_api');
});
afterAll(() => database.close());

const on = async (name: string, tenant: string, subject: string | null = null): Promise<boolean> =>
  (await api.query('select flag_on($1, $2, $3) answer', [name, tenant, subject])).rows[0].answer;
const set = async (value: boolean | null, tenant: string | null = null, percent: number | null = null) =>
  (await api.query('select set_flag($1, $2, $3, $4, $5) flag', [flag, value, tenant, percent, 'someone']))
    .rows[0].flag;
const stage = async (name: string) =>
  Number((await database.superuser.query('select apply_stage_defaults($1) n', [name])).rows[0].n);

test('a stage gives its defaults once, and never over a change that somebody made', async () => {
  const fresh = await openDatabase();
  const allowed = async () =>
    (await fresh.superuser.query(`select flag_on('allow_test_payment_methods', 't') answer`)).rows[0].answer;
  const apply = async (name: string) =>
    Number((await fresh.superuser.query('select apply_stage_defaults($1) n', [name])).rows[0].n);
  await fresh.superuser.query(`select set_flag('ledger_shadow_write', false, null, null, 'someone')`);
  expect([await apply('dev'), await allowed()]).toEqual([7, true]);
  await fresh.superuser.query(`select set_flag('allow_test_payment_methods', false, null, null, 'someone')`);
  expect([await apply('dev'), await apply('prod'), await allowed()]).toEqual([0, 0, false]);
  await fresh.close();
});

test('outside of dev nobody may use the test payment methods', async () => {
  await stage('prod');
  expect(await on('allow_test_payment_methods', 'default')).toBe(false);
});

test('the override of a tenant comes before everything else, and leaves with a null', async () => {
  await set(true);
  await set(false, 'careful');
  expect([await on(flag, 'careful'), await on(flag, 'other')]).toEqual([false, true]);
  await set(true, null, 0);
  await set(true, 'bold');
  expect([await on(flag, 'bold', 'x'), await on(flag, 'other', 'x')]).toEqual([true, false]);
  for (const tenant of ['careful', 'bold']) await set(null, tenant);
  await set(false);
  expect([await on(flag, 'careful'), await on(flag, 'bold')]).toEqual([false, false]);
});

test('a percentage takes in about so many subjects, always the same, and who is in stays in when it grows', async () => {
  const subjects = Array.from({ length: 2_000 }, () => randomUUID());
  const inside = async (percent: number) => {
    await set(true, null, percent);
    const { rows } = await api.query(
      'select s from unnest($1::text[]) s where flag_on($2, $3, s) order by s',
      [subjects, flag, 't'],
    );
    return rows.map(({ s }) => s as string);
  };
  const ten = await inside(10);
  expect(ten.length).toBeGreaterThan(130);
  expect(ten.length).toBeLessThan(270);
  expect(await inside(10)).toEqual(ten);
  const fifty = new Set(await inside(50));
  expect(ten.filter((subject) => !fifty.has(subject))).toEqual([]);
  expect(await inside(100)).toHaveLength(subjects.length);
  expect(await inside(0)).toEqual([]);
  await set(false);
});

test('a flag that does not exist is off, and cannot be set', async () => {
  expect(await on('no_such_flag', 't')).toBe(false);
  await expect(
    api.query(`select set_flag('no_such_flag', true, null, null, 'someone')`),
  ).rejects.toMatchObject({ code: 'RK040' });
});

test('a tenant and a percentage exclude each other, and a value is needed for all', async () => {
  await expect(set(true, 't', 10)).rejects.toMatchObject({ code: 'RK041' });
  await expect(set(null)).rejects.toMatchObject({ code: 'RK041' });
});

test('each change is kept in the audit log with what it was before, and shown with the flag', async () => {
  await set(true, 'pilot');
  const { overrides, history } = await set(false, 'pilot');
  expect(overrides).toEqual({ pilot: false });
  expect(history[0]).toMatchObject({ actor: 'someone', tenant_id: 'pilot', from: true, to: false });
  expect(history[1]).toMatchObject({ tenant_id: 'pilot', from: null, to: true });
  const { rows } = await database.superuser.query(
    `select count(*)::int n from audit_log where action = 'feature_flag' and payload ->> 'tenant_id' = 'pilot'`,
  );
  expect(rows[0].n).toBe(2);
});

test('only administration sets a flag', async () => {
  for (const role of ['kernel_money', 'kernel_jobs', 'authenticated'] as const) {
    const client = await database.as(role);
    await expect(client.query(`select set_flag($1, true, null, null, 'x')`, [flag])).rejects.toMatchObject({
      code: '42501',
    });
  }
});
