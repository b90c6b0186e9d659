// Feature flags over HTTP and by the command: set by administration only, in force at once, and a rollout goes both ways.
import { beforeAll, expect, test } from 'vitest';
import { demoUsers } from '../../local/issuer.ts';
import { kernel } from '../cli/run-kernel.ts';
import { caller, key, openPlayer } from '../support/money-doors.ts';
import { sharedStack } from '../support/shared-stack.ts';
import type { TestStack } from '../support/stack.ts';

let stack: TestStack;
beforeAll(async () => {
  stack = await sharedStack();
});

const put = (flag: string, body: unknown) => stack.admin('PUT', `/flags/${flag}`, body);

test('every flag is listed with its default of the stage', async () => {
  const { body } = await stack.admin('GET', '/flags');
  const values = Object.fromEntries(
    body.flags.map(({ flag, value }: Record<string, unknown>) => [flag, value]),
  );
  expect(values).toMatchObject({
    ledger_shadow_write: true,
    ledger_enforce_balance: false,
    ledger_balance_mismatch_log: true,
    webhook_signature_enforced: false,
    allow_test_payment_methods: true,
    reconciliation_enabled: true,
    backfill_enabled: true,
    allow_negative_balance: true,
  });
});

test('a change is in force for the next call, for the tenant it names', async () => {
  const [here, there] = [await openPlayer(stack, 'here'), await openPlayer(stack, 'there')];
  expect(await put('allow_test_payment_methods', { value: false, tenant_id: 'here' })).toMatchObject({
    status: 200,
    body: { flag: { overrides: { here: false } } },
  });
  expect(await here.deposit('1')).toMatchObject({
    status: 400,
    body: { code: 'PAYMENT_METHOD_NOT_ALLOWED' },
  });
  expect(await there.deposit('1')).toMatchObject({ status: 200 });
  await put('allow_test_payment_methods', { value: null, tenant_id: 'here' });
  expect(await here.deposit('1')).toMatchObject({ status: 200 });
});

test('one that does not exist is 404, and what is malformed 400', async () => {
  expect(await put('no_such_flag', { value: true })).toMatchObject({ status: 404 });
  expect(await stack.admin('GET', '/flags/no_such_flag')).toMatchObject({ status: 404 });
  for (const body of [
    {},
    { value: 'yes' },
    { value: true, percent: 101 },
    { value: true, percent: 5, tenant_id: 'a' },
    { value: null },
  ])
    expect(await put('backfill_enabled', body)).toMatchObject({ status: 400 });
});

test('only a platform admin may look at flags or set them', async () => {
  const token = await stack.issuer.token({
    name: 'F',
    role: 'finance',
    id: '0d000000-0000-4000-8000-000000000007',
    groups: ['finance'],
  });
  for (const method of ['GET', 'PUT']) {
    const answer = await fetch(`${stack.url}/api/admin/flags/backfill_enabled`, {
      method,
      headers: { authorization: `Bearer ${token}` },
      ...(method === 'PUT' && { body: '{"value":false}' }),
    });
    expect(answer.status).toBe(403);
  }
});

test('a balance of an old system is imported, decides, and yields to the ledger where that is enforced', async () => {
  const player = await openPlayer(stack, 'rollout');
  const platform = await caller(stack, ['platform-admin']);
  const rows = [{ player_id: player.id, available: '1000' }];
  const imported = await platform('POST', '/admin/legacy-balances?tenant_id=rollout', { rows });
  expect(imported).toMatchObject({ status: 200, body: { imported: '1' } });
  expect(await player.balance()).toEqual(['1000', '0', '1000']);
  expect(await player.withdraw('400')).toMatchObject({ status: 200 });
  await put('ledger_enforce_balance', { value: true, tenant_id: 'rollout' });
  expect(await player.withdraw('400')).toMatchObject({ status: 400, body: { code: 'INSUFFICIENT_FUNDS' } });
  await put('ledger_enforce_balance', { value: false, tenant_id: 'rollout' });
  expect(await player.withdraw('400', key())).toMatchObject({ status: 200 });
  expect(await player.balance()).toEqual(['200', '800', '1000']);
  const finance = await caller(stack, ['finance:rollout']);
  expect(await finance('POST', '/admin/legacy-balances', { rows })).toMatchObject({ status: 403 });
  const { body } = await finance('GET', `/admin/players/${player.id}/wallet`);
  expect(body.wallets).toMatchObject([
    {
      currency: 'USD',
      legacy: { available: '200', held: '800' },
      ledger: { balance_real_available: '-800', balance_real_pending: '800' },
    },
  ]);
});

test('the command sets a flag for a tenant or a share, lists them, and exits 2 on wrong usage', async () => {
  const token = await stack.issuer.token(
    demoUsers.find(({ role }) => role === 'platform-admin') as (typeof demoUsers)[0],
  );
  const run = (...args: string[]) => kernel(['flag', ...args, '--url', stack.url, '--token', token]);
  expect(await run('set', 'backfill_enabled', 'false', '--tenant', 'cli')).toMatchObject({
    code: 0,
    stderr: '',
  });
  const shared = await run('set', 'backfill_enabled', 'true', '--percent', '25', '--json');
  expect(JSON.parse(shared.stdout).flag).toMatchObject({
    value: true,
    rollout_percent: 25,
    overrides: { cli: false },
  });
  expect((await run('list')).stdout).toMatch(/^backfill_enabled +true +25 +cli=false$/m);
  expect((await run('set', 'backfill_enabled', 'default', '--tenant', 'cli')).code).toBe(0);
  for (const args of [
    ['set', 'x', 'yes'],
    ['set', 'x', 'default'],
    ['set', 'x', 'true', '--tenant', 'a', '--percent', '5'],
  ])
    expect(await run(...args)).toMatchObject({ code: 2, stdout: '' });
  expect(await run('set', 'no_such_flag', 'true')).toMatchObject({ code: 1 });
});
