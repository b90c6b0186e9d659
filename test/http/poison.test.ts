// Guarantee 1 against poison: a bad message or row holds nobody back, is named, and ends where an operator sees it; races deliver once.
import { randomUUID } from 'node:crypto';
import {
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SetQueueAttributesCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openStack, type TestStack } from '../support/stack.ts';

const patient = { timeout: 10_000 };

let stack: TestStack;
let sqs: SQSClient;
let queue: string;
let deadLetters: string;
let secret: string;

beforeAll(async () => {
  stack = await openStack();
  sqs = new SQSClient(stack.client);
  queue = stack.resource('AWS::SQS::Queue', 'DeliveryQueue').ref;
  deadLetters = stack.resource('AWS::SQS::Queue', 'DeliveryDeadLetters').ref;
  const { ref } = stack.resource('AWS::SecretsManager::Secret', 'CronSecret');
  secret = stack.state.secret(ref.split(':').at(-1) ?? '');
  // Three minutes in AWS; here a message that failed comes back at once.
  await sqs.send(new SetQueueAttributesCommand({ QueueUrl: queue, Attributes: { VisibilityTimeout: '1' } }));
});
afterAll(async () => {
  sqs.destroy();
  await stack.close();
});

const event = (s: string, i: string, more: object = {}) => ({ s, i, url: 'https://example.com/', ...more });

async function newSite(): Promise<{ id: string; public_id: string }> {
  const { body } = await stack.admin('POST', '/sites', {
    name: 'Poison',
    origins: ['https://example.com'],
    rate_limit: 1_000_000,
    plan: { monthly_limit: '1000000' },
  });
  return body;
}

async function recover() {
  const response = await fetch(`${stack.url}/api/cron/recover`, {
    method: 'POST',
    headers: { authorization: `Bearer ${secret}` },
  });
  expect(response.status).toBe(200);
  return (await response.json()) as { recovered: number; retried: number; failed: number };
}

async function send(bodies: string[]): Promise<void> {
  for (let i = 0; i < bodies.length; i += 10) {
    const Entries = bodies.slice(i, i + 10).map((MessageBody, n) => ({ Id: String(n), MessageBody }));
    await sqs.send(new SendMessageBatchCommand({ QueueUrl: queue, Entries }));
  }
}

const makeDue = () =>
  stack.database.query(
    `update ingest_fallback_buffer set next_attempt_at = clock_timestamp() where status <> 'FAILED'`,
  );

const logged = (message: string, id: string) =>
  stack.logs.filter((line) => line.message === message && line.id === id);

describe('a poison message', () => {
  const poison = {
    'not JSON': 'poison {',
    'JSON of another shape': '{"batch":"none"}',
    'a JSON null': 'null',
    'a batch id that is none': '{"batch_id":"1 or 1=1"}',
    'dashes in the place of a batch id': `{"batch_id":"${'-'.repeat(36)}"}`,
  };

  test('in ten fails alone: the function moves the other nine and names it to SQS', async () => {
    const site = await newSite();
    for (let n = 0; n < 9; n += 1)
      await stack.sync({ events: [0, 1, 2].map((m) => event(site.public_id, `event-${n}-${m}`)) });
    await stack.delivered();
    // The rows back in the outbox, as if no message had come yet.
    const { rows } = await stack.database.query(
      `with taken as (delete from events where site_id = $1 returning *)
       insert into ingest_fallback_buffer (id, batch_id, site_id, payload, created_at, next_attempt_at)
       select id, overlay('00000000-0000-0000-0000-000000000000' placing substr(payload ->> 'i', 7, 1) from 36)::uuid,
              site_id, payload, received_at, received_at + interval '1 hour' from taken returning batch_id`,
      [site.id],
    );
    const batches = [...new Set(rows.map(({ batch_id }) => JSON.stringify({ batch_id })))];
    expect(batches).toHaveLength(9);
    for (const body of Object.values(poison)) {
      const bodies = [...batches.slice(0, 4), body, ...batches.slice(4)];
      const Records = bodies.map((one) => ({ messageId: one === body ? 'poison' : randomUUID(), body: one }));
      const result = await stack.functions.invoke(stack.functionName('deliver'), { Records });
      expect(result).toEqual({ ok: true, value: { batchItemFailures: [{ itemIdentifier: 'poison' }] } });
    }
    expect(await stack.counts(site.id)).toMatchObject({ billable: 27, outbox: 0, events: 27 });
  });

  test('ends in the dead-letter queue after five receives, and what came with it is delivered', async () => {
    const site = await newSite();
    const bodies = Object.values(poison);
    await Promise.all([
      send(bodies),
      ...Array.from({ length: 45 }, (_, n) => stack.sync(event(site.public_id, `event-${n}`))),
    ]);
    await expect
      .poll(() => stack.counts(site.id), patient)
      .toMatchObject({
        billable: 45,
        outbox: 0,
        events: 45,
      });
    await expect.poll(() => depth(deadLetters), { timeout: 30_000, interval: 200 }).toBe(bodies.length);
    expect(await depth(queue)).toBe(0);
    const found = await sqs.send(
      new ReceiveMessageCommand({ QueueUrl: deadLetters, MaxNumberOfMessages: 10, WaitTimeSeconds: 1 }),
    );
    expect((found.Messages ?? []).map(({ Body }) => Body).sort()).toEqual(bodies.sort());
    expect(stack.logs.filter((line) => line.message === 'DELIVERY_MESSAGE_INVALID')).not.toHaveLength(0);
  });

  async function depth(QueueUrl: string): Promise<number> {
    const { Attributes } = await sqs.send(
      new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] }),
    );
    const of = (kind: string) => Number(Attributes?.[`ApproximateNumberOfMessages${kind}` as 'Policy'] ?? 0);
    return of('') + of('NotVisible');
  }
});

describe('a bad row', () => {
  let site: { id: string; public_id: string };
  let bad: string;

  beforeAll(async () => {
    site = await newSite();
    await stack.database.query(`
      create function refuse_poison() returns trigger language plpgsql as
        $$ begin if new.payload ? 'poison' then raise exception 'This row is poison.'; end if; return new; end $$;
      create trigger poison before insert on events for each row execute function refuse_poison()`);
  });
  afterAll(() => stack.database.query('drop function if exists refuse_poison cascade'));

  const badRow = async () => {
    const { rows } = await stack.database.query(
      `select id::text, status, attempts, error_reason, extract(epoch from next_attempt_at - clock_timestamp())::float8 delay_s
         from ingest_fallback_buffer where site_id = $1`,
      [site.id],
    );
    expect(rows).toHaveLength(1);
    return rows[0];
  };

  test('in a batch of 500 stays behind alone, with an attempt, a delay and a reason, and the log names it', async () => {
    const events = Array.from({ length: 500 }, (_, n) =>
      event(site.public_id, `event-${n}`, n === 321 ? { poison: true } : {}),
    );
    const answer = await stack.sync({ events });
    expect(answer).toMatchObject({ status: 200, body: { status: 'queued' } });
    await stack.delivered();
    expect(await stack.counts(site.id)).toMatchObject({ billable: 500, outbox: 1, events: 499 });
    const row = await badRow();
    bad = row.id;
    expect(row).toMatchObject({
      status: 'PENDING',
      attempts: 1,
      error_reason: 'P0001 This row is poison.',
    });
    expect(row.delay_s).toBeGreaterThan(15);
    expect(row.delay_s).toBeLessThanOrEqual(60);
    const { rows } = await stack.database.query(
      `select count(distinct payload ->> 'i')::int n from events where site_id = $1`,
      [site.id],
    );
    expect(rows).toEqual([{ n: 499 }]);
    await expect
      .poll(() => logged('DELIVERY_ROW_RETRY', bad), patient)
      .toEqual([
        expect.objectContaining({ site_id: site.id, attempts: 1, reason: 'P0001 This row is poison.' }),
      ]);
  });

  test('is not tried before it is due, by its message or by recover', async () => {
    const { rows } = await stack.database.query('select batch_id from ingest_fallback_buffer where id = $1', [
      bad,
    ]);
    await send([JSON.stringify({ batch_id: rows[0].batch_id })]);
    await stack.delivered();
    expect(await recover()).toMatchObject({ recovered: 0, retried: 0, failed: 0 });
    expect(await badRow()).toMatchObject({ attempts: 1 });
  });

  test('is tried again with growing pauses, never holds back others, and is FAILED after 8 attempts, which the alarm counts', async () => {
    const delays: number[] = [];
    for (let attempts = 2; attempts <= 8; attempts += 1) {
      await stack.sync(event(site.public_id, `later-${attempts}`));
      await stack.delivered();
      await makeDue();
      const last = attempts === 8;
      expect(await recover()).toMatchObject({ recovered: 0, retried: last ? 0 : 1, failed: last ? 1 : 0 });
      const row = await badRow();
      expect(row).toMatchObject({ id: bad, attempts, status: last ? 'FAILED' : 'PENDING' });
      delays.push(row.delay_s);
    }
    expect(delays).toEqual([...delays].sort((a, b) => a - b));
    expect(delays[0]).toBeGreaterThan(45);
    expect(delays.at(-1)).toBeGreaterThan(60 * 60);
    await expect
      .poll(() => logged('DELIVERY_ROW_FAILED', bad), patient)
      .toEqual([
        expect.objectContaining({ site_id: site.id, attempts: 8, reason: 'P0001 This row is poison.' }),
      ]);
    const alarms = () => stack.logs.filter((line) => line.billing_delivery_failed_total === 1);
    await expect.poll(alarms, patient).toHaveLength(1);
    expect(logged('DELIVERY_ROW_RETRY', bad)).toHaveLength(7);
    expect(await stack.counts(site.id)).toMatchObject({ billable: 507, usage: 507, outbox: 1, events: 506 });
  });

  test('that is FAILED is not tried again, and is delivered when the cause is gone and an operator sets it back', async () => {
    await stack.database.query('update ingest_fallback_buffer set next_attempt_at = clock_timestamp()');
    expect(await recover()).toMatchObject({ recovered: 0, retried: 0, failed: 0 });
    await stack.database.query('drop function refuse_poison cascade');
    expect(await recover()).toMatchObject({ recovered: 0, retried: 0, failed: 0 });
    await stack.database.query(`update ingest_fallback_buffer set status = 'PENDING' where id = $1`, [bad]);
    expect(await recover()).toMatchObject({ recovered: 1, retried: 0, failed: 0 });
    expect(await stack.counts(site.id)).toMatchObject({ billable: 507, usage: 507, outbox: 0, events: 507 });
  });
});

test('deliver and recover race for rows that many messages name: all are delivered, once each', async () => {
  const batches = 24;
  const size = 25;
  const site = await newSite();
  const gate = stack.database;
  // No delivery ends before all messages are sent and all recovers run.
  await gate.query('begin');
  await gate.query('lock table events in share mode');
  const ids = Array.from({ length: batches }, (_, n) =>
    Array.from({ length: size }, (_, m) => `event-${n}-${m}`),
  );
  await Promise.all(ids.map((some) => stack.sync({ events: some.map((i) => event(site.public_id, i)) })));
  const { rows } = await gate.query(
    'select distinct batch_id from ingest_fallback_buffer where site_id = $1',
    [site.id],
  );
  expect(rows).toHaveLength(batches);
  const messages = rows.map(({ batch_id }) => JSON.stringify({ batch_id }));
  await send(Array.from({ length: 8 }, () => messages).flat());
  const recovers = Array.from({ length: 6 }, recover);
  await gate.query('commit');
  for (let round = 0; round < 5; round += 1) {
    await makeDue();
    recovers.push(recover());
  }
  await Promise.all(recovers);
  await stack.delivered();
  await makeDue();
  await recover();
  const all = batches * size;
  expect(await stack.counts(site.id)).toEqual({
    billable: all,
    usage: all,
    outbox: 0,
    events: all,
    counter: all,
  });
  const { rows: doubled } = await stack.database.query(
    `select payload ->> 'i' i from events where site_id = $1 group by 1 having count(*) > 1`,
    [site.id],
  );
  expect(doubled).toEqual([]);
});
