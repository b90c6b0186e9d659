// One id follows an event from the request to the delivered row and every log line; metrics say what was billed; logs hold no secret.
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { openStack, type TestStack } from '../support/stack.ts';

const origin = 'https://example.com';

let stack: TestStack;
beforeAll(async () => {
  stack = await openStack();
});
afterAll(() => stack.close());

/** The function's line about a request; lines travel beside the answers, so it may come a moment later. */
const logged = (correlation_id: string) =>
  vi.waitFor(() => {
    const found = stack.logs.find((line) => line.correlation_id === correlation_id && !line._aws);
    if (!found) throw new Error(`There is no line of the request ${correlation_id}.`);
    return found;
  }, 5_000);

/** The sum of a metric over all lines so far; one line may hold several values. */
function total(outcome: string): number {
  const values = stack.logs.flatMap((line) =>
    line._aws ? (line[`billing_ingest_${outcome}_total`] ?? []) : [],
  );
  return values.reduce<number>((sum, value) => sum + Number(value), 0);
}

// First in the file, for it counts every line of the stack.
test('the metrics count what was allowed, duplicate, over the limit and refused', async () => {
  const { public_id: s } = await stack.site({ limit: 2, soft: true, multiplier: '1.5' });
  const event = (i: string, more: object = {}) => ({ s, i, url: 'https://example.com/', ...more });
  await stack.sync(event('a'));
  await stack.sync(event('a'));
  await stack.sync({ events: ['a', 'b', 'c', 'd', 'e'].map((i) => event(i)) });
  await stack.sync(event('f'));
  await stack.sync(event('a', { el: 'other' }));
  await stack.sync(event('g', { t: 1 }));

  const names = ['allowed', 'duplicate', 'overage', 'rejected_quota', 'conflict', 'invalid'];
  const totals = () => Object.fromEntries(names.map((name) => [name, total(name)]));
  await expect
    .poll(totals, { timeout: 5_000 })
    .toEqual({ allowed: 3, duplicate: 2, overage: 1, rejected_quota: 3, conflict: 1, invalid: 1 });
});

test('the metrics are in CloudWatch’s embedded format, in one namespace, with the function as dimension', () => {
  const line = stack.logs.find((entry) => 'billing_ingest_allowed_total' in entry);
  expect(line?._aws).toMatchObject({
    CloudWatchMetrics: [
      {
        Namespace: expect.stringMatching(/\w/),
        Dimensions: [['service']],
        Metrics: expect.arrayContaining([{ Name: 'billing_ingest_allowed_total', Unit: 'Count' }]),
      },
    ],
  });
  expect(line?.service).toBe('ingest');
});

test('the x-request-id of the caller comes back in header and body, is logged, and stands in the delivered row', async () => {
  const { id, public_id: s } = await stack.site();
  const request_id = 'checkout:42.a-b_c';
  const { headers, body } = await stack.sync(
    { s, i: 'one', url: 'https://example.com/' },
    { origin, 'x-request-id': request_id, 'user-agent': 'Test/1.0' },
  );
  expect([headers.get('x-request-id'), body.request_id]).toEqual([request_id, request_id]);
  await stack.delivered();
  const { rows } = await stack.database.query(
    'select request_id, client_ip, user_agent from events where site_id = $1',
    [id],
  );
  expect(rows).toEqual([{ request_id, client_ip: '127.0.0.1', user_agent: 'Test/1.0' }]);
  expect(await logged(request_id)).toMatchObject({
    message: 'ingest',
    site_id: id,
    events: 1,
    outcomes: { accepted: 1 },
    published: true,
    function_request_id: expect.any(String),
  });
});

test('a request without an id gets one, and two requests never share it', async () => {
  const { id, public_id: s } = await stack.site();
  const ids = [];
  for (const i of ['a', 'b'])
    ids.push((await stack.sync({ s, i, url: 'https://example.com/' })).headers.get('x-request-id') ?? '');
  expect(new Set(ids).size).toBe(2);
  await stack.delivered();
  const { rows } = await stack.database.query(
    'select request_id from events where site_id = $1 order by id',
    [id],
  );
  expect(rows.map(({ request_id }) => request_id)).toEqual(ids);
  for (const request_id of ids) expect(await logged(request_id)).toMatchObject({ site_id: id });
});

test('a conflict is recorded under the id of its request', async () => {
  const { id, public_id: s } = await stack.site();
  const send = (el: string, request_id: string) =>
    stack.sync({ s, i: 'x', url: 'https://example.com/', el }, { origin, 'x-request-id': request_id });
  await send('this', 'first');
  expect((await send('that', 'second')).status).toBe(409);
  const { rows } = await stack.database.query('select request_id from ingest_conflicts where site_id = $1', [
    id,
  ]);
  expect(rows).toEqual([{ request_id: 'second' }]);
});

test('no log line holds an API key, a token, a password or what an event says', async () => {
  const site = await stack.site({ api_key: true });
  const word = 'a-word-only-this-payload-has';
  const event = { s: site.public_id, i: 'secret-1', url: `https://example.com/?email=${word}`, el: word };
  const headers = { authorization: `Bearer ${site.api_key}`, 'x-request-id': 'holds-no-secret' };
  await stack.sync(event, headers);
  await stack.sync({ ...event, el: `${word}-changed` }, headers);
  await stack.sync({ ...event, el: `${word}\u0000` }, headers);
  await stack.sync(`{"broken":"${word}"`, headers);
  await stack.sync({ ...event, s: 'nobody' }, headers);
  await stack.sync(event, { 'x-api-key': `${site.api_key}-wrong` });
  const rejected = await fetch(`${stack.url}/api/admin/sites`, {
    headers: { authorization: `Bearer ${word}` },
  });
  expect(rejected.status).toBe(401);
  await stack.sync({ ...event, i: 'last' }, { ...headers, 'x-request-id': 'the-last-one' });
  await stack.delivered();
  await logged('the-last-one');

  const text = JSON.stringify(stack.logs);
  expect(text.length).toBeGreaterThan(1_000);
  expect(text).not.toContain(word);
  expect(text).not.toContain((site.api_key ?? 'rk_').slice(12));
  expect(text).not.toMatch(/Bearer |eyJ[\w-]{10,}|SCRAM-SHA-256|"password"/);
});
