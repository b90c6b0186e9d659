// The local event source mapping, on the real local queue engine.
import { type FauxqsServer, startFauxqs } from 'fauxqs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  createEventSource,
  type EventSource,
  type EventSourceOptions,
} from '../../local/lambda/event-source.ts';
import type { InvokeResult } from '../../local/lambda/functions.ts';

const ACCOUNT = '000000000000';
const REGION = 'eu-west-1';
let server: FauxqsServer;
let source: EventSource | undefined;
let count = 0;

beforeAll(async () => {
  server = await startFauxqs({ port: 0, logger: false, defaultRegion: REGION });
});
afterEach(() => source?.stop());
afterAll(() => server.stop());

interface Batch {
  Records: Record<string, unknown>[];
}
type Handler = (bodies: string[], event: Batch) => unknown;

function arnOf(name: string): string {
  return `arn:aws:sqs:${REGION}:${ACCOUNT}:${name}`;
}

function createQueue(attributes: Record<string, string> = {}): string {
  count += 1;
  return server.createQueue(`queue-${count}`, { region: REGION, attributes }).queueName;
}

function start(queue: string, handler: Handler, options: Partial<EventSourceOptions> = {}): EventSource {
  source = createEventSource({
    queueUrl: `http://127.0.0.1:${server.port}/${ACCOUNT}/${queue}`,
    queueArn: arnOf(queue),
    functionName: 'deliver',
    functions: {
      invoke: async (_name, event): Promise<InvokeResult> => {
        const batch = event as Batch;
        try {
          return {
            ok: true,
            value: await handler(
              batch.Records.map(({ body }) => String(body)),
              batch,
            ),
          };
        } catch (error) {
          return { ok: false, kind: 'handled', errorType: 'Error', errorMessage: String(error) };
        }
      },
    },
    client: {
      endpoint: `http://127.0.0.1:${server.port}`,
      region: REGION,
      credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
    },
    ...options,
  });
  return source;
}

function send(queue: string, ...bodies: string[]): void {
  for (const body of bodies) server.sendMessage(queue, body, { region: REGION });
}

function bodiesIn(queue: string): string[] {
  return (server.inspectQueue(queue)?.messages.ready ?? []).map(({ body }) => body);
}

describe('an event source', () => {
  it('hands records to the function in the form of Lambda and deletes them', async () => {
    const queue = createQueue();
    const messageAttributes = { kind: { DataType: 'String', StringValue: 'x' } };
    const { messageId } = server.sendMessage(queue, 'hello', { region: REGION, messageAttributes });
    const seen: Batch[] = [];
    await start(queue, (_bodies, event) => seen.push(event)).drained();
    expect(seen).toEqual([
      {
        Records: [
          {
            messageId,
            receiptHandle: expect.any(String),
            body: 'hello',
            attributes: expect.objectContaining({
              ApproximateReceiveCount: '1',
              SentTimestamp: expect.any(String),
            }),
            messageAttributes: {
              kind: { stringValue: 'x', stringListValues: [], binaryListValues: [], dataType: 'String' },
            },
            md5OfBody: '5d41402abc4b2a76b9719d911017c592',
            eventSource: 'aws:sqs',
            eventSourceARN: arnOf(queue),
            awsRegion: REGION,
          },
        ],
      },
    ]);
  });

  it('wakes for a message that comes later and keeps to the batch size', async () => {
    const queue = createQueue();
    const sizes: number[] = [];
    const running = start(queue, (bodies) => sizes.push(bodies.length), {
      batchSize: 2,
      maximumConcurrency: 1,
    });
    send(queue, 'a', 'b', 'c', 'd', 'e');
    await running.drained();
    expect(sizes.reduce((sum, one) => sum + one, 0)).toBe(5);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(2);
  });

  it('gathers a batch larger than ten within its window', async () => {
    const queue = createQueue();
    send(queue, ...Array.from({ length: 15 }, (_, i) => String(i)));
    const sizes: number[] = [];
    const options = { batchSize: 15, maximumBatchingWindowSeconds: 2, maximumConcurrency: 1 };
    await start(queue, (bodies) => sizes.push(bodies.length), options).drained();
    expect(sizes).toEqual([15]);
  });

  it('runs as many batches at a time as its concurrency', async () => {
    const queue = createQueue();
    send(queue, ...Array.from({ length: 12 }, (_, i) => String(i)));
    let now = 0;
    let most = 0;
    const handler = async (): Promise<void> => {
      now += 1;
      most = Math.max(most, now);
      await new Promise((resolve) => setTimeout(resolve, 20));
      now -= 1;
    };
    await start(queue, handler, { batchSize: 1, maximumConcurrency: 3 }).drained();
    expect(most).toBe(3);
  });
});

describe('a failure', () => {
  it('of part of a batch returns only that part, and then leads to the dead letter queue', async () => {
    const dead = createQueue();
    const queue = createQueue({
      VisibilityTimeout: '1',
      RedrivePolicy: JSON.stringify({ deadLetterTargetArn: arnOf(dead), maxReceiveCount: '2' }),
    });
    send(queue, 'good', 'bad');
    const seen: string[] = [];
    const errors: string[] = [];
    const handler: Handler = (bodies, { Records }) => {
      seen.push(...bodies);
      const failed = Records.filter(({ body }) => body === 'bad');
      return { batchItemFailures: failed.map(({ messageId }) => ({ itemIdentifier: messageId })) };
    };
    start(queue, handler, { reportBatchItemFailures: true, onError: (text) => errors.push(text) });
    await expect.poll(() => bodiesIn(dead), { timeout: 8000 }).toEqual(['bad']);
    expect(seen.toSorted()).toEqual(['bad', 'bad', 'good']);
    expect(errors).toHaveLength(2);
    expect(errors[0]).toMatch(/^deliver: 1 of [12] messages failed, as the function reported\.$/);
  });

  it('of the function returns the whole batch', async () => {
    const queue = createQueue({ VisibilityTimeout: '1' });
    send(queue, 'a', 'b');
    const seen: string[] = [];
    let calls = 0;
    const handler: Handler = (bodies) => {
      seen.push(...bodies);
      calls += 1;
      if (calls === 1) throw new Error('not now');
    };
    await start(queue, handler, { maximumConcurrency: 1, maximumBatchingWindowSeconds: 0 }).drained();
    expect(seen.toSorted()).toEqual(['a', 'a', 'b', 'b']);
  });

  it.each([
    ['an empty list', { batchItemFailures: [] }, 0],
    ['no answer', null, 0],
    ['an unknown id', { batchItemFailures: [{ itemIdentifier: 'ghost' }] }, 1],
    ['a null id', { batchItemFailures: [{ itemIdentifier: null }] }, 1],
    ['a wrong key', { batchItemFailures: [{ id: 'x' }] }, 1],
    ['no list', { batchItemFailures: 'x' }, 1],
  ])('reported as %s keeps %s message %d times', async (_name, answer, kept) => {
    const queue = createQueue({ VisibilityTimeout: '30' });
    send(queue, 'a');
    const { promise: called, resolve } = Promise.withResolvers<void>();
    const handler: Handler = () => {
      resolve();
      return answer;
    };
    const running = start(queue, handler, { reportBatchItemFailures: true });
    await called;
    await running.stop();
    expect(server.inspectQueue(queue)?.messages.inflight).toHaveLength(kept);
  });

  it('of the queue is reported and outlived', async () => {
    const errors: string[] = [];
    const seen: string[] = [];
    start('late-queue', (bodies) => seen.push(...bodies), { onError: (text) => errors.push(text) });
    await expect.poll(() => errors.length).toBeGreaterThan(0);
    expect(errors[0]).toMatch(/late-queue did not answer/);
    server.createQueue('late-queue', { region: REGION });
    send('late-queue', 'x');
    await expect.poll(() => seen).toEqual(['x']);
  });
});

describe('stopping', () => {
  it('ends an idle poll at once and waits for a running batch', async () => {
    const idle = start(createQueue(), () => null);
    const began = performance.now();
    await idle.stop();
    expect(performance.now() - began).toBeLessThan(500);

    const queue = createQueue();
    send(queue, 'a');
    const { promise: started, resolve } = Promise.withResolvers<void>();
    const busy = start(queue, async () => {
      resolve();
      await new Promise((done) => setTimeout(done, 100));
    });
    await started;
    await busy.stop();
    expect(server.inspectQueue(queue)?.messages).toMatchObject({ ready: [], inflight: [] });
  });

  it('does not wait longer than told', async () => {
    const queue = createQueue();
    send(queue, 'a');
    const { promise: started, resolve } = Promise.withResolvers<void>();
    const busy = start(queue, async () => {
      resolve();
      await new Promise((done) => setTimeout(done, 1000));
    });
    await started;
    const began = performance.now();
    await busy.stop({ timeoutMs: 50 });
    expect(performance.now() - began).toBeLessThan(500);
  });
});
