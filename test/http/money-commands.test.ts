// The operator's commands of revenue assurance against the whole stack: what they print, and exit 3 when something is broken.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { kernel } from '../cli/run-kernel.ts';
import { tokenOf } from '../support/job-doors.ts';
import { plant } from '../support/reconciliation.ts';
import { openStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;
let token: string;
const owner_id = randomUUID();
beforeAll(async () => {
  stack = await openStack();
  token = await tokenOf(stack, 'platform-admin');
  await stack.database.query(`select credit_wallet('default', 'test', 'k', $1)`, [
    { owner_id, currency: 'USD', amount_minor: '50' },
  ]);
});
afterAll(() => stack?.close());

async function run(...args: string[]) {
  const { code, stdout, stderr } = await kernel([...args, '--url', stack.url, '--json'], {
    KERNEL_TOKEN: token,
  });
  return { code, stderr, out: stdout === '' ? {} : JSON.parse(stdout) };
}

test('doctor exits 3 while an invariant is broken, and assure heals it and exits 3 once', async () => {
  expect(await run('doctor')).toMatchObject({ code: 0, out: { healthy: true } });
  await plant(
    stack.database,
    `update accounts set balance = 1 where owner_id = '${owner_id}' and kind = 'available'`,
  );
  expect(await run('doctor')).toMatchObject({ code: 3, out: { healthy: false } });
  expect(await run('assure')).toMatchObject({ code: 3, out: { results: { adjusted: 1, totalDelta: '49' } } });
  expect(await run('assure')).toMatchObject({ code: 0, out: { results: { adjusted: 0 } } });
  expect(await run('doctor')).toMatchObject({ code: 0, out: { healthy: true } });
});

test('doctor names what is broken in words, and exits 3 for a break that only a person can mend', async () => {
  const words = async () => {
    const { code, stdout, stderr } = await kernel(['doctor', '--url', stack.url], { KERNEL_TOKEN: token });
    return { code, stdout, stderr };
  };
  const line = /versions have no gap and balances follow +(.*)/;
  const move = (by: number) =>
    plant(
      stack.database,
      `update entries set balance_before = balance_before + ${by} where version = 1 and account_id = account_id('default', '${owner_id}', 'USD', 'available')`,
    );
  await move(1);
  const broken = await words();
  expect(broken.code).toBe(3);
  expect(line.exec(broken.stdout)?.[1]?.trim()).toBe('broken 1 times');
  expect(broken.stderr).toContain('invariants of money are broken, 0 were not examined in time.');
  await move(-1);
  const well = await words();
  expect(well.code).toBe(0);
  expect(line.exec(well.stdout)?.[1]?.trim()).toBe('holds');
});

test('backfill of events and of wallets says what it did, and migrations lists both', async () => {
  const events = ['backfill', 'events', '--from', '2026-01-01', '--to', '2026-01-02'];
  expect(await run(...events, '--dry-run')).toMatchObject({
    code: 0,
    out: { results: { migrationId: null } },
  });
  const { out } = await run(...events);
  expect(out.results).toMatchObject({ processed: 0, errors: 0, total: 0 });
  expect(await run('backfill', 'wallets', '--dry-run')).toMatchObject({ code: 0, out: { dry_run: true } });
  expect(await run('backfill', 'wallets', '--batch-size', '10')).toMatchObject({
    code: 0,
    out: { summary: { errors: 0 } },
  });
  expect((await run('backfill', 'wallets', '--batch-size', '0')).code).toBe(2);
  expect((await run('migrations')).out.migrations.map(({ type }: { type: string }) => type)).toEqual([
    'wallet_snapshots',
    'webhook_replay',
  ]);
  expect((await run('migration', out.results.migrationId)).out).toMatchObject({
    status: 'completed',
    items: [],
  });
});

test('backfill alone still queues months of usage', async () => {
  expect((await kernel(['backfill', '--help'])).stdout).toContain('--from YYYY-MM');
});
