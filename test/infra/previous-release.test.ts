// Expand and contract: the functions of the previous release on the schema of this one, as while a release takes over or is taken back.
import { rmSync } from 'node:fs';
import { afterAll, beforeAll, expect, type TestContext, test } from 'vitest';
import { violations } from '../support/money.ts';
import { key, openPlayer } from '../support/money-doors.ts';
import { buildRelease, previousRelease } from '../support/previous-release.ts';
import { openStack, type TestStack } from '../support/stack.ts';

const previous = previousRelease();
let checkout: string | undefined;
let stack: TestStack;

beforeAll(async () => {
  if ('missing' in previous) return;
  const built = buildRelease(previous.commit);
  checkout = built.checkout;
  stack = await openStack({ assembly: built.assembly });
});
afterAll(async () => {
  await stack?.close();
  if (checkout) rmSync(checkout, { recursive: true, force: true });
});

/** The commit, or the end of the test with the sentence that says why. */
function commitOf(context: TestContext): string {
  if ('missing' in previous) context.skip(previous.missing);
  return (previous as { commit: string }).commit;
}

test('the previous release counts and delivers events, each once', async (context) => {
  const commit = commitOf(context);
  const site = await stack.site({ limit: 2 });
  const send = (i: string) =>
    stack.sync({ s: site.public_id, url: 'https://example.com/', ec: 'page', ea: 'view', i });
  const first = await send('one');
  expect([first.status, first.headers.get('x-opsmantik-commit')]).toEqual([200, commit]);
  expect((await send('one')).headers.get('x-opsmantik-dedup')).toBe('1');
  expect((await send('two')).status).toBe(200);
  const beyond = await send('three');
  expect([beyond.status, beyond.headers.get('x-opsmantik-quota-exceeded')]).toEqual([429, '1']);
  await stack.delivered();
  expect(await stack.counts(site.id)).toEqual({ billable: 2, usage: 2, outbox: 0, events: 2, counter: 2 });
});

test('the previous release moves money, and what it wrote holds every invariant of today', async (context) => {
  commitOf(context);
  const player = await openPlayer(stack);
  const once = key();
  expect((await player.deposit('500', once)).status).toBe(200);
  expect(await player.deposit('500', once)).toMatchObject({ status: 200, replayed: true });
  expect((await player.withdraw('200')).status).toBe(200);
  expect(await player.withdraw('301')).toMatchObject({ status: 400, body: { code: 'INSUFFICIENT_FUNDS' } });
  expect(await player.balance()).toEqual(['300', '200', '500']);
  expect(await violations(stack.database)).toEqual([]);
});

test.for(['recover', 'reconcile', 'sweep', 'assure'])(
  'the job %s of the previous release runs',
  async (entry, context) => {
    commitOf(context);
    const outcome = await stack.functions.invoke(stack.functionName(entry), {
      scheduled_time: new Date().toISOString(),
    });
    expect(outcome).toMatchObject({ ok: true, value: { ok: true } });
  },
);
