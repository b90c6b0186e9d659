// The billing policy of a plan is set over HTTP or by the operator's command, and takes effect with the next event.
import { beforeAll, expect, test } from 'vitest';
import { demoUsers } from '../../local/issuer.ts';
import { kernel } from '../cli/run-kernel.ts';
import { sharedStack } from '../support/shared-stack.ts';
import type { TestStack } from '../support/stack.ts';

let stack: TestStack;
beforeAll(async () => {
  stack = await sharedStack();
});

const scroll = (s: string, i: string) => ({
  ...{ s, i, url: 'https://example.com/' },
  ...{ ec: 'interaction', ea: 'scroll_depth' },
});

test('by PUT: scrolling is no longer billed, and passes a full quota without a word of it', async () => {
  const { id, public_id: s } = await stack.site({ limit: 1 });
  await stack.sync(scroll(s, 'a'));
  expect((await stack.sync(scroll(s, 'b'))).status).toBe(429);
  const { status, body } = await stack.admin('PUT', `/sites/${s}/plan`, {
    monthly_limit: '1',
    billing_policy: 'by_kind',
  });
  expect([status, body.plan.billing_policy]).toEqual([200, 'by_kind']);
  const answer = await stack.sync(scroll(s, 'b'));
  expect(answer).toMatchObject({ status: 200, body: { ok: true, status: 'queued' } });
  expect(answer.headers.get('x-opsmantik-quota-exceeded')).toBeNull();
  expect(answer.headers.get('x-opsmantik-overage')).toBeNull();
  expect((await stack.sync({ ...scroll(s, 'c'), ea: 'click' })).status).toBe(429);
  await stack.delivered();
  expect(await stack.counts(id)).toEqual({ billable: 1, usage: 1, outbox: 0, events: 2, counter: 1 });
});

test('a PUT that leaves it out leaves it as it is', async () => {
  const { public_id: s } = await stack.site();
  const put = (plan: object) => stack.admin('PUT', `/sites/${s}/plan`, plan);
  await put({ monthly_limit: '5', billing_policy: 'by_kind' });
  expect((await put({ monthly_limit: '6' })).body.plan).toMatchObject({
    monthly_limit: '6',
    billing_policy: 'by_kind',
  });
});

test('by the command kernel plan set --policy', async () => {
  const { id, public_id: s } = await stack.site({ limit: 10 });
  const run = await plan(s, 'by_kind', '--json');
  expect(run).toMatchObject({ code: 0, stderr: '' });
  expect(JSON.parse(run.stdout).plan).toMatchObject({ monthly_limit: '10', billing_policy: 'by_kind' });
  expect((await stack.sync(scroll(s, 'a'))).status).toBe(200);
  expect(await stack.counts(id)).toMatchObject({ billable: 0, usage: 0 });
});

test('a policy that does not exist is refused with one sentence, by PUT and by the command', async () => {
  const { public_id: s } = await stack.site();
  const { status, body } = await stack.admin('PUT', `/sites/${s}/plan`, {
    monthly_limit: '1',
    billing_policy: 'by_mood',
  });
  expect(status).toBe(400);
  expect(body).toEqual({
    ok: false,
    error: 'The field billing_policy must be all or by_kind.',
    code: 'invalid_request',
    request_id: expect.any(String),
  });
  const run = await plan(s, 'by_mood');
  expect(run).toMatchObject({ code: 1, stdout: '' });
  expect(run.stderr).toMatch(/^The stack refused: The field billing_policy must be all or by_kind .*\n$/);
});

async function plan(site: string, policy: string, ...more: string[]) {
  const token = await stack.issuer.token(
    demoUsers.find(({ role }) => role === 'platform-admin') as (typeof demoUsers)[0],
  );
  const args = ['plan', 'set', site, '--limit', '10', '--policy', policy, ...more];
  return kernel([...args, '--url', stack.url, '--token', token]);
}
