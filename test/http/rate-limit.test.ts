// Guarantee 6 and the guard against abuse: what POST /api/sync answers beyond the rate limit, whom it counts as one client, and that billing never feels it.
import { setTimeout as sleep } from 'node:timers/promises';
import {
  DeleteTableCommand,
  DynamoDBClient,
  GetItemCommand,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { rateWindows } from '../../shared/adapters/dynamodb.ts';
import { rateLimiter } from '../../shared/rate-limit.ts';
import { apiKeyHash } from '../../shared/site.ts';
import { expectRateLimited, postFrom, rateOf, roomInWindow, windowOf } from '../support/rate.ts';
import { type Answer, openStack, type TestStack } from '../support/stack.ts';

const browser = '127.0.0.1';
const patient = { timeout: 10_000 };

let stack: TestStack;
let dynamodb: DynamoDBClient;
let table: string;

beforeAll(async () => {
  stack = await openStack();
  dynamodb = new DynamoDBClient({ ...stack.client, maxAttempts: 1 });
  table = stack.resource('AWS::DynamoDB::GlobalTable', 'RateLimit').ref;
});
afterAll(async () => {
  dynamodb.destroy();
  await stack.close();
});

const event = (s: string, i: string, more: object = {}) => ({ s, i, url: 'https://example.com/', ...more });

interface Site {
  id: string;
  public_id: string;
  api_key: string;
}

async function newSite({
  limit = 10_000,
  rate_limit,
}: {
  limit?: number;
  rate_limit?: number;
} = {}): Promise<Site> {
  const { body } = await stack.admin('POST', '/sites', {
    name: 'Rate limit',
    origins: ['https://example.com'],
    api_key: true,
    plan: { monthly_limit: String(limit) },
    ...(rate_limit && { rate_limit }),
  });
  return body;
}

const keyOf = (window: string) => ({ rate_window: { S: window } });

async function count(window: string): Promise<number> {
  const { Item } = await dynamodb.send(
    new GetItemCommand({ TableName: table, Key: keyOf(window), ConsistentRead: true }),
  );
  return Number(Item?.requests?.N ?? 0);
}

/** As if the client had sent so many requests in the window. */
async function fill(window: string, requests: number): Promise<void> {
  await dynamodb.send(
    new UpdateItemCommand({
      TableName: table,
      Key: keyOf(window),
      UpdateExpression: 'SET requests = :n',
      ExpressionAttributeValues: { ':n': { N: String(requests) } },
    }),
  );
}

const withKey = (key: string) => ({ authorization: `Bearer ${key}`, 'content-type': 'application/json' });

async function ledgerRows({ id }: Site): Promise<number> {
  const { rows } = await stack.database.query(
    'select count(*)::int n from ingest_idempotency where site_id = $1',
    [id],
  );
  return rows[0].n;
}

describe('one client of one site', () => {
  test('gets 100 requests in 60 s, and the 101st is refused without a quota header and without a ledger row', async () => {
    const site = await newSite();
    await roomInWindow(6);
    const requests = Array.from({ length: 100 }, (_, n) => n);
    const answers: Answer[] = [];
    const client = async () => {
      for (let n = requests.pop(); n !== undefined; n = requests.pop())
        answers.push(await stack.sync(event(site.public_id, `event-${n}`)));
    };
    await Promise.all([1, 2, 3, 4].map(client));
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 100 }, () => 200));
    expect(answers.map((answer) => rateOf(answer).remaining).sort((a, b) => b - a)).toEqual(
      Array.from({ length: 100 }, (_, n) => 99 - n),
    );
    for (const i of ['event-100', 'event-101', 'event-0'])
      expectRateLimited(await stack.sync(event(site.public_id, i)));
    expectRateLimited(await stack.sync({ events: [event(site.public_id, 'a'), event(site.public_id, 'b')] }));
    await stack.delivered();
    expect(await ledgerRows(site)).toBe(100);
    expect(await stack.counts(site.id)).toEqual({
      billable: 100,
      usage: 100,
      outbox: 0,
      events: 100,
      counter: 100,
    });
    expect(stack.logs.filter((line) => line.billing_ingest_rate_limited_total === 1)).not.toHaveLength(0);
  });

  test('reads the RateLimit fields on each answer that was counted: accepted, duplicate, conflict, quota, invalid, limited', async () => {
    const site = await newSite({ limit: 1, rate_limit: 5 });
    const { public_id: s } = site;
    await roomInWindow();
    const answers = [
      await stack.sync(event(s, 'a')),
      await stack.sync(event(s, 'a')),
      await stack.sync(event(s, 'a', { el: 'other' })),
      await stack.sync(event(s, 'b')),
      await stack.sync(event(s, 'c', { t: 1 })),
      await stack.sync(event(s, 'd')),
    ];
    expect(answers.map(({ status, body }) => [status, body.status ?? body.code])).toEqual([
      [200, 'queued'],
      [200, 'duplicate'],
      [409, 'conflict'],
      [429, 'rejected_quota'],
      [400, 'event_too_old'],
      [429, 'rate_limited'],
    ]);
    expect(answers.map(rateOf)).toEqual(
      [4, 3, 2, 1, 0, 0].map((remaining) => ({ limit: 5, remaining, reset_s: expect.any(Number) })),
    );
    for (const answer of answers) {
      expect(rateOf(answer).reset_s).toBeGreaterThanOrEqual(1);
      expect(rateOf(answer).reset_s).toBeLessThanOrEqual(60);
    }
    const exposed = answers[0]?.headers.get('access-control-expose-headers') ?? '';
    for (const name of ['ratelimit', 'ratelimit-policy', 'retry-after', 'x-opsmantik-ratelimit'])
      expect(exposed.split(', ')).toContain(name);
  });

  test('is not counted before its site and origin are known, and then reads no RateLimit field', async () => {
    const site = await newSite({ rate_limit: 1 });
    await roomInWindow();
    const headers = { origin: 'https://elsewhere.example', 'content-type': 'application/json' };
    const foreign = await stack.sync(event(site.public_id, 'a'), headers);
    const unknown = await stack.sync(event('no-such-site', 'a'));
    expect([foreign.status, unknown.status]).toEqual([403, 400]);
    for (const answer of [foreign, unknown]) expect(answer.headers.has('ratelimit')).toBe(false);
    expect(await count(windowOf(site, browser))).toBe(0);
    expect((await stack.sync(event(site.public_id, 'a'))).status).toBe(200);
  });

  test('is told the two 429s apart: the quota one counts as a request and never has the rate header, nor the other way round', async () => {
    const site = await newSite({ limit: 0, rate_limit: 3 });
    await roomInWindow();
    for (const remaining of [2, 1, 0]) {
      const answer = await stack.sync(event(site.public_id, 'late'));
      expect(answer).toMatchObject({ status: 429, body: { status: 'rejected_quota' } });
      expect(answer.headers.get('x-opsmantik-quota-exceeded')).toBe('1');
      expect(answer.headers.has('x-opsmantik-ratelimit')).toBe(false);
      expect(rateOf(answer)).toMatchObject({ limit: 3, remaining });
    }
    expectRateLimited(await stack.sync(event(site.public_id, 'late')));
    expect(await ledgerRows(site)).toBe(1);
  });

  test('starts afresh in a new window', async () => {
    const site = await newSite({ rate_limit: 2 });
    await roomInWindow();
    await fill(windowOf(site, browser), 2);
    expectRateLimited(await stack.sync(event(site.public_id, 'a')));
    await fill(windowOf(site, browser, 1), 3); // the row as it stands when its minute is over,
    await fill(windowOf(site, browser), 0); // and none of the new minute
    const answer = await stack.sync(event(site.public_id, 'a'));
    expect(answer).toMatchObject({ status: 200, body: { status: 'queued' } });
    expect(rateOf(answer)).toMatchObject({ limit: 2, remaining: 1 });
  });
});

describe('clients that are counted apart', () => {
  test('are two addresses', async () => {
    const site = await newSite({ rate_limit: 1 });
    await roomInWindow();
    const post = (from: string, i: string) => postFrom(stack.url, from, event(site.public_id, i));
    expect(await post('127.0.0.1', 'a')).toMatchObject({ status: 200 });
    expect(await post('127.0.0.1', 'b')).toMatchObject({ status: 429, ratelimit: '1' });
    expect(await post('127.0.0.2', 'b')).toMatchObject({ status: 200 });
    expect(await post('127.0.0.2', 'c')).toMatchObject({ status: 429, ratelimit: '1' });
    expect(await count(windowOf(site, '127.0.0.2'))).toBe(2);
  });

  test('are not two values of X-Forwarded-For, which anybody can send', async () => {
    const site = await newSite({ rate_limit: 1 });
    await roomInWindow();
    const post = (i: string) =>
      postFrom(stack.url, '127.0.0.3', event(site.public_id, i), { 'x-forwarded-for': `192.0.2.${i}` });
    expect(await post('1')).toMatchObject({ status: 200 });
    expect(await post('2')).toMatchObject({ status: 429, ratelimit: '1' });
  });

  test('are two sites of one address', async () => {
    const sites = [await newSite({ rate_limit: 1 }), await newSite({ rate_limit: 1 })];
    await roomInWindow();
    for (const { public_id } of sites) expect((await stack.sync(event(public_id, 'a'))).status).toBe(200);
    for (const { public_id } of sites) expectRateLimited(await stack.sync(event(public_id, 'b')));
  });

  test('are an API key with 6,000 requests, another key of the same site, and the browsers with 100', async () => {
    const site = await newSite();
    const { public_id: s } = site;
    const { body: second } = await stack.admin('POST', `/sites/${s}/keys`);
    await roomInWindow();
    const window = windowOf(site, apiKeyHash(site.api_key).slice(0, 16));
    const first = await stack.sync(event(s, 'a'), withKey(site.api_key));
    expect(rateOf(first)).toMatchObject({ limit: 6_000, remaining: 5_999 });
    expect(await count(window)).toBe(1);
    await fill(window, 5_999);
    expect(rateOf(await stack.sync(event(s, 'b'), withKey(site.api_key)))).toMatchObject({ remaining: 0 });
    expectRateLimited(await stack.sync(event(s, 'c'), withKey(site.api_key)));
    expect(rateOf(await stack.sync(event(s, 'c'), withKey(second.api_key)))).toMatchObject({
      limit: 6_000,
      remaining: 5_999,
    });
    expect(rateOf(await stack.sync(event(s, 'd')))).toMatchObject({ limit: 100, remaining: 99 });
    expect(await stack.counts(site.id)).toMatchObject({ billable: 4, usage: 4 });
  });
});

test('the limiter opens a new window at each full minute and counts again from one, by the clock', async () => {
  const { accessKeyId, secretAccessKey } = stack.client.credentials;
  Object.assign(process.env, {
    AWS_REGION: stack.client.region,
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_ENDPOINT_URL_DYNAMODB: stack.door.url,
  });
  let now = Date.UTC(2030, 0, 1, 0, 0, 58, 900);
  const limiter = rateLimiter(rateWindows(table), { now: () => new Date(now) });
  const hit = () => limiter('site#client', 2);
  const common = { limit: 2, fallback: false };
  expect(await hit()).toEqual({ ...common, remaining: 1, reset_s: 2, allowed: true });
  expect(await hit()).toEqual({ ...common, remaining: 0, reset_s: 2, allowed: true });
  now += 1_099; // 59.999 s
  expect(await hit()).toEqual({ ...common, remaining: 0, reset_s: 1, allowed: false });
  now += 1; // the full minute
  expect(await hit()).toEqual({ ...common, remaining: 1, reset_s: 60, allowed: true });
});

describe('without the table', () => {
  beforeAll(async () => {
    await dynamodb.send(new DeleteTableCommand({ TableName: table }));
    while ((await count('any').catch(({ name }: Error) => name)) !== 'ResourceNotFoundException')
      await sleep(20);
  });

  test('requests go on at a fifth of the limit, each is counted for the alarm, and billing stays exact', async () => {
    const site = await newSite({ limit: 8, rate_limit: 50 });
    await roomInWindow();
    const answers: Answer[] = [];
    for (let n = 0; n < 12; n += 1) answers.push(await stack.sync(event(site.public_id, `event-${n}`)));
    expect(answers.map(({ status, body }) => body.status ?? `${status} ${body.code}`)).toEqual([
      ...Array.from({ length: 8 }, () => 'queued'),
      ...Array.from({ length: 2 }, () => 'rejected_quota'),
      ...Array.from({ length: 2 }, () => '429 rate_limited'),
    ]);
    expect(answers.map(rateOf).map(({ limit, remaining }) => [limit, remaining])).toEqual(
      [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0].map((remaining) => [10, remaining]),
    );
    for (const answer of answers.slice(-2)) expectRateLimited(answer);
    const told = () => stack.logs.filter((line) => line.rate_limit_fallback_total === 1).length;
    await expect.poll(told, patient).toBe(12);
    await stack.delivered();
    expect(await stack.counts(site.id)).toEqual({ billable: 8, usage: 8, outbox: 0, events: 8, counter: 8 });
  });

  test('no instance lets more than its share through, however many of them serve one client at once', async () => {
    const site = await newSite({ limit: 1_000, rate_limit: 20 });
    await roomInWindow();
    const posts = Array.from({ length: 60 }, (_, n) => stack.sync(event(site.public_id, `event-${n}`)));
    const answers = await Promise.all(posts);
    const passed = answers.filter(({ status }) => status === 200).length;
    const instances = stack.functions.instances(stack.functionName('ingest'));
    expect(passed).toBeGreaterThanOrEqual(4);
    expect(passed).toBeLessThanOrEqual(4 * instances);
    await stack.delivered();
    expect(await stack.counts(site.id)).toMatchObject({ billable: passed, usage: passed, events: passed });
  });
});
