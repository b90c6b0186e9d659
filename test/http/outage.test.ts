// Guarantees 1 and 4 without queue or counter: what is admitted is committed, the answer says degraded, and recover delivers it once.

import { DeleteTableCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { CreateQueueCommand, DeleteQueueCommand, SQSClient } from '@aws-sdk/client-sqs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { overlappingBatches, random } from '../support/random.ts';
import { openStack, type TestStack } from '../support/stack.ts';

const recover_path = '/api/cron/recover';
const patient = { timeout: 10_000 };

let stack: TestStack;
let sqs: SQSClient;
let queue: string;
let schedule: string;
let secret: string;

beforeAll(async () => {
  stack = await openStack();
  sqs = new SQSClient({ ...stack.client, maxAttempts: 1 });
  queue = stack.resource('AWS::SQS::Queue', 'DeliveryQueue').ref;
  schedule = stack.resource('AWS::Scheduler::Schedule', 'Recover').ref;
  const { ref } = stack.resource('AWS::SecretsManager::Secret', 'CronSecret');
  secret = stack.state.secret(ref.split(':').at(-1) ?? '');
});
afterAll(async () => {
  sqs.destroy();
  await stack.close();
});

const event = (s: string, i: string) => ({ s, i, url: 'https://example.com/' });

async function cron(
  method: string,
  authorization = `Bearer ${secret}`,
  headers: Record<string, string> = {},
) {
  const response = await fetch(`${stack.url}${recover_path}`, {
    method,
    headers: { ...(authorization !== '' && { authorization }), ...headers },
  });
  // biome-ignore lint/suspicious/noExplicitAny: tests read fields of many shapes
  const body: any = await response.json();
  return { status: response.status, body, headers: response.headers };
}

async function rowsOf(site: { id: string; public_id: string }) {
  const { rows } = await stack.database.query(
    `select (select count(*)::int from ingest_idempotency where site_id = $1) ledger,
            (select count(*)::int from ingest_fallback_buffer where site_id = $1) outbox,
            (select count(*)::int from ingest_publish_failures where site_public_id = $2) failures,
            (select count(*)::int from events where site_id = $1) events`,
    [site.id, site.public_id],
  );
  return rows[0];
}

describe('without the queue', () => {
  beforeAll(async () => {
    await sqs.send(new DeleteQueueCommand({ QueueUrl: queue }));
  });
  afterAll(async () => {
    await sqs.send(new CreateQueueCommand({ QueueName: queue.split('/').at(-1) ?? '' }));
  });

  test('an accepted event answers 200 degraded, is billed once and waits in the outbox, due at once', async () => {
    const site = await stack.site();
    const answer = await stack.sync(event(site.public_id, 'a'));
    expect(answer).toMatchObject({
      status: 200,
      body: { ok: true, status: 'degraded', ingest_id: expect.stringMatching(/^[0-9a-f-]{36}$/) },
    });
    expect(answer.headers.get('x-opsmantik-degraded')).toBe('qstash_publish_failed, queue_publish_failed');
    expect(answer.headers.get('x-opsmantik-fallback')).toBe('true');
    expect(answer.headers.get('x-opsmantik-dedup')).toBe('0');
    expect(answer.headers.get('x-opsmantik-quota-remaining')).toBe('999');
    expect(await rowsOf(site)).toEqual({ ledger: 1, outbox: 1, failures: 1, events: 0 });
    const { rows } = await stack.database.query(
      `select b.status, b.attempts, b.error_reason, b.next_attempt_at <= clock_timestamp() due,
              f.error_code, f.error_message_short
         from ingest_fallback_buffer b, ingest_publish_failures f where b.site_id = $1 and f.site_public_id = $2`,
      [site.id, site.public_id],
    );
    expect(rows).toEqual([
      {
        status: 'PENDING',
        attempts: 0,
        due: true,
        error_reason: expect.stringMatching(/^QSTASH_PUBLISH_FAILED QueueDoesNotExist/),
        error_code: 'QSTASH_PUBLISH_FAILED',
        error_message_short: expect.stringMatching(/^QueueDoesNotExist/),
      },
    ]);
    await expect
      .poll(() => stack.logs.filter((line) => line.message === 'QSTASH_PUBLISH_FAILED'), patient)
      .toContainEqual(expect.objectContaining({ level: 'ERROR', site_id: site.id }));
    expect(stack.logs.filter((line) => line.ingest_publish_failures_total === 1)).not.toHaveLength(0);
  });

  test('a duplicate is a duplicate, not degraded: it publishes nothing', async () => {
    const site = await stack.site();
    await stack.sync(event(site.public_id, 'a'));
    const again = await stack.sync(event(site.public_id, 'a'));
    expect(again).toMatchObject({ status: 200, body: { status: 'duplicate' } });
    expect(again.headers.get('x-opsmantik-dedup')).toBe('1');
    expect(again.headers.has('x-opsmantik-degraded')).toBe(false);
    expect(await rowsOf(site)).toEqual({ ledger: 1, outbox: 1, failures: 1, events: 0 });
  });

  test('a batch tells each event its own outcome, and the body that delivery is degraded', async () => {
    const site = await stack.site({ limit: 1 });
    const answer = await stack.sync({ events: ['a', 'b'].map((i) => event(site.public_id, i)) });
    expect(answer).toMatchObject({ status: 200, body: { ok: true, status: 'degraded' } });
    expect(answer.body.results.map(({ status }: { status: string }) => status)).toEqual([
      'queued',
      'rejected_quota',
    ]);
    expect(answer.headers.get('x-opsmantik-fallback')).toBe('true');
    expect(answer.headers.get('x-opsmantik-quota-exceeded')).toBe('1');
  });

  test.each(['GET', 'POST'])(
    'recover, called with %s and the cron secret, delivers what waits',
    async (method) => {
      const site = await stack.site();
      await stack.sync({ events: ['a', 'b', 'c'].map((i) => event(site.public_id, i)) });
      const answer = await cron(method);
      expect(answer).toMatchObject({
        status: 200,
        body: { ok: true, retried: 0, failed: 0, request_id: answer.headers.get('x-request-id') },
      });
      expect(answer.body.recovered).toBeGreaterThanOrEqual(3);
      expect(answer.body.claimed).toBe(answer.body.recovered);
      expect(answer.headers.get('cache-control')).toBe('no-store');
      expect(await rowsOf(site)).toEqual({ ledger: 3, outbox: 0, failures: 1, events: 3 });
      expect((await cron(method)).body).toMatchObject({ ok: true, claimed: 0, recovered: 0 });
      expect(await rowsOf(site)).toMatchObject({ events: 3 });
    },
  );

  test('the 5-minute schedule delivers what waits, without a secret', async () => {
    const site = await stack.site();
    await stack.sync(event(site.public_id, 'a'));
    const due = stack.schedules.next(schedule);
    expect((due?.getTime() ?? 0) - Date.now()).toBeLessThanOrEqual(5 * 60_000);
    expect(await stack.schedules.trigger(schedule)).toMatchObject({
      ok: true,
      value: { ok: true, recovered: 1, failed: 0 },
    });
    expect(await rowsOf(site)).toEqual({ ledger: 1, outbox: 0, failures: 1, events: 1 });
  });

  test('a row that its message may still move is left to it for a minute', async () => {
    const site = await stack.site();
    await stack.sync(event(site.public_id, 'a'));
    await stack.database.query(
      `update ingest_fallback_buffer set next_attempt_at = created_at + interval '1 minute' where site_id = $1`,
      [site.id],
    );
    expect((await cron('GET')).body).toMatchObject({ recovered: 0 });
    expect(await rowsOf(site)).toMatchObject({ outbox: 1, events: 0 });
    await stack.database.query('update ingest_fallback_buffer set next_attempt_at = clock_timestamp()');
    expect((await cron('GET')).body).toMatchObject({ recovered: 1 });
  });

  describe('the door of recover is closed', () => {
    const refused = (body: unknown) =>
      expect(body).toEqual({
        ok: false,
        error: 'forbidden',
        code: 'CRON_FORBIDDEN',
        request_id: expect.any(String),
      });

    test.each([
      ['no secret', () => ''],
      ['a wrong secret', () => 'Bearer wrong'],
      ['an empty secret', () => 'Bearer '],
      ['the secret without Bearer', () => secret],
      ['the beginning of the secret', () => `Bearer ${secret.slice(0, -1)}`],
      ['the secret and more', () => `Bearer ${secret}x`],
      ['the secret in another scheme', () => `Basic ${secret}`],
    ])(
      'to %s, by any method, whatever x-vercel-cron says, and nothing is done',
      async (_what, authorization) => {
        const site = await stack.site();
        await stack.sync(event(site.public_id, 'a'));
        for (const method of ['GET', 'POST', 'PUT']) {
          for (const headers of [{}, { 'x-vercel-cron': '1' }]) {
            const answer = await cron(method, authorization(), headers as Record<string, string>);
            expect(answer.status).toBe(403);
            refused(answer.body);
          }
        }
        expect(await rowsOf(site)).toMatchObject({ outbox: 1, events: 0 });
      },
    );

    test('to other methods, with 405, and nothing is done', async () => {
      const site = await stack.site();
      await stack.sync(event(site.public_id, 'a'));
      for (const method of ['PUT', 'DELETE', 'PATCH']) {
        expect(await cron(method)).toMatchObject({
          status: 405,
          body: { ok: false, code: 'method_not_allowed' },
        });
      }
      expect(await rowsOf(site)).toMatchObject({ outbox: 1, events: 0 });
      expect(await cron('GET')).toMatchObject({ status: 200 });
    });
  });
});

test('the usage table dropped and the queue deleted while 16 clients send 1,500 ids: exactly 300 are admitted, and recover delivers each once', async () => {
  const limit = 300;
  const source = random(7);
  const { body: site } = await stack.admin('POST', '/sites', {
    name: 'Outage',
    origins: ['https://example.com'],
    rate_limit: 1_000_000,
    plan: { monthly_limit: String(limit) },
  });
  const ids = Array.from({ length: 1_500 }, (_, n) => `event-${n}`);
  const work = overlappingBatches(ids, 0.3, 10, source);
  const admitted: string[] = [];
  const words = new Set<string>();
  let outage: Promise<unknown> | undefined;
  const client = async () => {
    for (let batch = work.pop(); batch; batch = work.pop()) {
      const answer = await stack.sync({ events: batch.map((i) => event(site.public_id, i)) });
      expect([200, 429]).toContain(answer.status);
      words.add(answer.body.status);
      for (const { id, status } of answer.body.results) if (status === 'queued') admitted.push(id);
      if (admitted.length >= limit / 3) outage ??= breakQueueAndCounter();
    }
  };
  await Promise.all(Array.from({ length: 16 }, client));
  await outage;

  expect(words).toContain('degraded');
  expect(admitted).toHaveLength(limit);
  expect(new Set(admitted).size).toBe(limit);
  const before = await rowsOf(site);
  expect(before.outbox).toBeGreaterThan(0);
  expect(before.outbox + before.events).toBe(limit);
  // What a lost message left behind is due a minute after its commit: here at once.
  await stack.database.query('update ingest_fallback_buffer set next_attempt_at = clock_timestamp()');
  expect((await cron('POST')).body).toMatchObject({ ok: true, failed: 0 });
  await expect.poll(() => rowsOf(site), patient).toMatchObject({ outbox: 0 }); // a delivery may still hold the last rows
  expect(await stack.counts(site.id)).toMatchObject({
    billable: limit,
    usage: limit,
    outbox: 0,
    events: limit,
  });
  const { rows } = await stack.database.query(
    `select array_agg(payload ->> 'i' order by payload ->> 'i' collate "C") ids from events where site_id = $1`,
    [site.id],
  );
  expect(rows[0].ids).toEqual(admitted.sort());
  expect(stack.logs.filter((line) => line.message === 'USAGE_COUNTER_SKIP')).not.toHaveLength(0);

  async function breakQueueAndCounter() {
    const dynamodb = new DynamoDBClient(stack.client);
    const TableName = stack.resource('AWS::DynamoDB::GlobalTable', 'Usage').ref;
    await Promise.all([
      dynamodb.send(new DeleteTableCommand({ TableName })),
      sqs.send(new DeleteQueueCommand({ QueueUrl: queue })),
    ]);
    dynamodb.destroy();
  }
});
