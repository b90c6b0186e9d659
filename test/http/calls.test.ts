// What a request costs: the calls of the ingest function are counted where they pass, at the door of the AWS services.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { services } from '../support/count-calls.ts';
import { type Answer, openStack, type TestStack } from '../support/stack.ts';

const counts = new Int32Array(new SharedArrayBuffer(4 * services.length));

let stack: TestStack;
beforeAll(async () => {
  const module = new URL('../support/count-calls.ts', import.meta.url).href;
  stack = await openStack({
    doorFault: { module, options: { counts, identity: 'revenue-kernel-dev-ingest' } },
  });
});
afterAll(() => stack.close());

const event = (s: string, i: string, more: object = {}) => ({ s, i, url: 'https://example.com/', ...more });
const batch = (s: string, first: number, size: number) =>
  Array.from({ length: size }, (_, n) => event(s, `e${first + n}`));

/** The calls that the request made, and its answer. */
async function cost(send: () => Promise<Answer>) {
  counts.fill(0);
  const { status, body } = await send();
  const [data, dynamodb, sqs] = counts;
  return { status, word: body.status ?? body.code, data, dynamodb, sqs };
}

/** A site that the instance knows already, since one event of it was accepted. */
async function warmSite(limit = 10_000): Promise<string> {
  const { public_id } = await stack.site({ limit });
  await stack.sync(event(public_id, 'warm'));
  return public_id;
}

const accepted = { status: 200, word: 'queued', data: 1, dynamodb: 2, sqs: 1 };

test('an accepted request costs 1 Data API, 2 DynamoDB and 1 SQS calls, whatever its size', async () => {
  const s = await warmSite();
  expect(await cost(() => stack.sync(event(s, 'one')))).toEqual(accepted);
  expect(await cost(() => stack.sync({ events: batch(s, 0, 100) }))).toEqual(accepted);
  expect(await cost(() => stack.sync({ events: batch(s, 100, 500) }))).toEqual(accepted);
  const e = batch(s, 600, 50).map(({ i, url: u }, n) => ({ i, u, n: n + 1 }));
  expect(await cost(() => stack.sync({ s, v: 1, sdk: 'browser/0.1.0', st: Date.now(), r: 1, e }))).toEqual(
    accepted,
  );
});

test('an event without an id and an overage cost the same', async () => {
  const { public_id: s } = await stack.site({ limit: 1, soft: true, multiplier: '5' });
  await stack.sync(event(s, 'warm'));
  expect(await cost(() => stack.sync({ s, url: 'https://example.com/' }))).toEqual(accepted);
});

test('a batch of which some are accepted costs what an accepted one does', async () => {
  const s = await warmSite(3);
  const events = [event(s, 'warm'), event(s, 'a'), event(s, 'bad', { ec: [] }), ...batch(s, 0, 5)];
  expect(await cost(() => stack.sync({ events }))).toEqual({ ...accepted, word: 'mixed' });
});

test('a duplicate, a conflict and a quota refusal cost 1 Data API and 2 DynamoDB calls, and no SQS', async () => {
  const s = await warmSite(1);
  const decided = { data: 1, dynamodb: 2, sqs: 0 };
  const warm = event(s, 'warm');
  expect(await cost(() => stack.sync(warm))).toEqual({ status: 200, word: 'duplicate', ...decided });
  expect(await cost(() => stack.sync({ ...warm, el: 'x' }))).toEqual({
    ...{ status: 409, word: 'conflict' },
    ...decided,
  });
  const refused = { status: 429, word: 'rejected_quota', ...decided };
  expect(await cost(() => stack.sync(event(s, 'late')))).toEqual(refused);
  expect(await cost(() => stack.sync(event(s, 'late')))).toEqual(refused);
  expect(await cost(() => stack.sync({ events: batch(s, 0, 100) }))).toEqual(refused);
});

test('a request of which every event is invalid costs 2 DynamoDB calls, and one that cannot be read none', async () => {
  const s = await warmSite();
  const none = { status: 400, data: 0, sqs: 0 };
  expect(await cost(() => stack.sync(event(s, 'bad', { ec: [] })))).toEqual({
    ...{ word: 'event_invalid', dynamodb: 2 },
    ...none,
  });
  expect(await cost(() => stack.sync('{'))).toEqual({ word: 'invalid_json', dynamodb: 0, ...none });
});

test('a rate-limited request costs 2 DynamoDB calls', async () => {
  const { body } = await stack.admin('POST', '/sites', {
    ...{ name: 'Slow', origins: ['https://example.com'], rate_limit: 1 },
  });
  const limited = { status: 429, word: 'rate_limited', data: 0, dynamodb: 2, sqs: 0 };
  const told = [];
  // A minute may end between two requests, and then the next is the first of its window.
  for (let n = 0; n < 3; n++) told.push(await cost(() => stack.sync(event(body.public_id, `e${n}`))));
  expect(told).toContainEqual(limited);
  expect(told.filter(({ status }) => status === 429)).toEqual(
    told.filter(({ word }) => word === 'rate_limited').map(() => limited),
  );
});

test('a site that the instance does not know yet costs one more Data API call, once', async () => {
  const { public_id: s } = await stack.site();
  expect(await cost(() => stack.sync(event(s, 'a')))).toEqual({ ...accepted, data: 2 });
  expect(await cost(() => stack.sync(event(s, 'b')))).toEqual(accepted);
});
