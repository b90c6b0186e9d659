// The cutover's checklist against the running stack: it ticks only what the deployment shows.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { tokenOf } from '../support/job-doors.ts';
import { openStack, type TestStack } from '../support/stack.ts';
import { kernel } from './run-kernel.ts';

let stack: TestStack;
let token: string;
let secret: string;
beforeAll(async () => {
  stack = await openStack();
  token = await tokenOf(stack, 'platform-admin');
  const { ref } = stack.resource('AWS::SecretsManager::Secret', 'CronSecret');
  secret = stack.state.secret(ref.split(':').at(-1) ?? '');
});
afterAll(() => stack?.close());

async function run(...args: string[]) {
  const { code, stdout } = await kernel([...args, '--url', stack.url, '--json'], {
    KERNEL_TOKEN: token,
    KERNEL_CRON_SECRET: secret,
  });
  return { code, out: JSON.parse(stdout) as { items: { what: string; ok: boolean | null }[] } };
}
const missing = (items: { what: string; ok: boolean | null }[]) =>
  items.filter(({ ok }) => ok === false).map(({ what }) => what);

test('a tick is missing until backfill and reconciliation have run, and what people do is never ticked', async () => {
  const before = await run('cutover');
  expect(before.code).toBe(1);
  expect(missing(before.out.items)).toEqual([
    'the backfill was run and ended without errors',
    'the wallets were reconciled within a day, and the run ended well',
  ]);
  await run('backfill', 'wallets');
  await run('assure');
  const after = await run('cutover');
  expect(after).toMatchObject({ code: 0 });
  expect(after.out.items.filter(({ ok }) => ok === null)).toHaveLength(6);

  await run('flag', 'set', 'ledger_shadow_write', 'false');
  const off = await run('cutover');
  expect(off.code).toBe(1);
  expect(missing(off.out.items)).toEqual(['reconciliation, backfill and shadow writing are on']);
});
