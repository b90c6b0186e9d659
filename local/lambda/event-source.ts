// Moves messages from a queue to a function as Lambda's event source mapping for SQS does.
//
// Not reproduced: the order of FIFO groups, event filters, metrics, scaling of the pollers by the queue's depth (there are
// as many as MaximumConcurrency allows), and the back-off of a mapping whose function is throttled.
import { setTimeout as wait } from 'node:timers/promises';
import {
  DeleteMessageBatchCommand,
  GetQueueAttributesCommand,
  type Message,
  ReceiveMessageCommand,
  SQSClient,
  type SQSClientConfig,
} from '@aws-sdk/client-sqs';
import type { Functions, InvokeResult } from './functions.ts';

export interface EventSourceOptions {
  queueUrl: string;
  queueArn: string;
  functionName: string;
  functions: Pick<Functions, 'invoke'>;
  /** Endpoint, region and credentials of the queue. */
  client: SQSClientConfig;
  batchSize?: number;
  maximumBatchingWindowSeconds?: number;
  /** `ScalingConfig.MaximumConcurrency`: batches at the same time. */
  maximumConcurrency?: number;
  /** `FunctionResponseTypes` holds ReportBatchItemFailures. */
  reportBatchItemFailures?: boolean;
  /** Told of a queue that does not answer and of a batch that failed; both are tried again. */
  onError?: (message: string) => void;
}

export interface EventSource {
  /** Ends polling and waits for running batches, at most as long as told. */
  stop(options?: { timeoutMs?: number }): Promise<void>;
  /** Resolves when the queue holds nothing, waiting or in flight, and no batch runs. */
  drained(options?: { timeoutMs?: number }): Promise<void>;
}

const MAX_RECEIVE = 10; // SQS's own limit for one call
const POLL_SECONDS = 20;
const RETRY_MS = 250;
const STOP_TIMEOUT_MS = 5_000;
const DRAIN_TIMEOUT_MS = 30_000;

type Received = Message & { MessageId: string; ReceiptHandle: string };

export function createEventSource(options: EventSourceOptions): EventSource {
  const client = new SQSClient({ maxAttempts: 2, ...options.client });
  const stopping = new AbortController();
  const state = { running: 0 };
  const pollers = Array.from({ length: options.maximumConcurrency ?? 2 }, () =>
    poll(client, options, stopping.signal, state),
  );
  return {
    async stop({ timeoutMs = STOP_TIMEOUT_MS } = {}) {
      stopping.abort();
      const limit = new AbortController();
      const late = wait(timeoutMs, undefined, { signal: limit.signal }).catch(() => undefined);
      await Promise.race([Promise.all(pollers), late]);
      limit.abort();
      client.destroy();
    },
    async drained({ timeoutMs = DRAIN_TIMEOUT_MS } = {}) {
      const end = performance.now() + timeoutMs;
      while (state.running > 0 || (await depth(client, options.queueUrl)) > 0) {
        if (performance.now() > end) {
          throw new Error(`The queue ${options.queueUrl} was not empty within ${timeoutMs} ms.`);
        }
        await wait(20);
      }
    },
  };
}

async function poll(
  client: SQSClient,
  options: EventSourceOptions,
  stopping: AbortSignal,
  state: { running: number },
): Promise<void> {
  while (!stopping.aborted) {
    try {
      const batch = await collect(client, options, stopping);
      if (batch.length === 0) continue;
      state.running += 1;
      try {
        await deliver(client, options, batch);
      } finally {
        state.running -= 1;
      }
    } catch (error) {
      if (stopping.aborted) return;
      options.onError?.(`The queue ${options.queueUrl} did not answer: ${error}.`);
      await wait(RETRY_MS, undefined, { signal: stopping }).catch(() => undefined);
    }
  }
}

/** A batch: what one call gives, or more of them while the batching window is open. */
async function collect(
  client: SQSClient,
  options: EventSourceOptions,
  stopping: AbortSignal,
): Promise<Received[]> {
  const { queueUrl, batchSize = 10, maximumBatchingWindowSeconds: window = 0 } = options;
  const batch: Received[] = [];
  let end = Number.POSITIVE_INFINITY;
  do {
    const left = Math.max(0, Math.ceil((end - performance.now()) / 1000));
    const command = new ReceiveMessageCommand({
      QueueUrl: queueUrl,
      MaxNumberOfMessages: Math.min(MAX_RECEIVE, batchSize - batch.length),
      WaitTimeSeconds: Math.min(POLL_SECONDS, left),
      MessageSystemAttributeNames: ['All'],
      MessageAttributeNames: ['All'],
    });
    let received: Message[];
    try {
      received = (await client.send(command, { abortSignal: stopping })).Messages ?? [];
    } catch (error) {
      // What has been received is delivered even when the next call fails: it is invisible to everybody else by now.
      if (batch.length === 0) throw error;
      return batch;
    }
    batch.push(...(received as Received[]));
    if (batch.length > 0 && !Number.isFinite(end)) end = performance.now() + window * 1000;
  } while (batch.length < batchSize && batch.length > 0 && performance.now() < end && !stopping.aborted);
  return batch;
}

async function deliver(client: SQSClient, options: EventSourceOptions, batch: Received[]): Promise<void> {
  const { functions, functionName, queueUrl, onError } = options;
  const event = { Records: batch.map((one) => record(one, options)) };
  const result = await functions.invoke(functionName, event);
  const failed = failedIds(result, batch, options.reportBatchItemFailures ?? false);
  if (failed.size > 0) {
    const cause = result.ok ? 'as the function reported' : `${result.errorType}: ${result.errorMessage}`;
    onError?.(`${functionName}: ${failed.size} of ${batch.length} messages failed, ${cause}.`);
  }
  const done = batch.filter(({ MessageId }) => !failed.has(MessageId));
  for (let i = 0; i < done.length; i += MAX_RECEIVE) {
    const Entries = done
      .slice(i, i + MAX_RECEIVE)
      .map(({ ReceiptHandle }, index) => ({ Id: String(index), ReceiptHandle }));
    await client.send(new DeleteMessageBatchCommand({ QueueUrl: queueUrl, Entries }));
  }
}

/** Failed messages come back after their visibility timeout, and go where the queue's redrive policy says. */
function failedIds(result: InvokeResult, batch: Received[], partial: boolean): Set<string> {
  const all = new Set(batch.map(({ MessageId }) => MessageId));
  if (!result.ok) return all;
  if (!partial) return new Set();
  const list = (result.value as { batchItemFailures?: unknown } | null)?.batchItemFailures;
  if (list === undefined || list === null) return new Set();
  if (!Array.isArray(list)) return all;
  const ids = list.map((one: { itemIdentifier?: unknown } | null) => one?.itemIdentifier);
  // Lambda takes an answer that it cannot match to the batch as the failure of all of it.
  return ids.every((id) => typeof id === 'string' && all.has(id)) ? new Set(ids as string[]) : all;
}

function record(message: Received, { queueArn }: EventSourceOptions): Record<string, unknown> {
  const attributes = Object.entries(message.MessageAttributes ?? {}).map(([name, one]) => [
    name,
    {
      ...(one.StringValue !== undefined && { stringValue: one.StringValue }),
      ...(one.BinaryValue !== undefined && { binaryValue: Buffer.from(one.BinaryValue).toString('base64') }),
      stringListValues: [],
      binaryListValues: [],
      dataType: one.DataType,
    },
  ]);
  return {
    messageId: message.MessageId,
    receiptHandle: message.ReceiptHandle,
    body: message.Body,
    attributes: message.Attributes ?? {},
    messageAttributes: Object.fromEntries(attributes),
    md5OfBody: message.MD5OfBody,
    eventSource: 'aws:sqs',
    eventSourceARN: queueArn,
    awsRegion: queueArn.split(':')[3],
  };
}

async function depth(client: SQSClient, queueUrl: string): Promise<number> {
  const command = new GetQueueAttributesCommand({ QueueUrl: queueUrl, AttributeNames: ['All'] });
  const attributes: Record<string, string | undefined> = (await client.send(command)).Attributes ?? {};
  return ['', 'NotVisible', 'Delayed']
    .map((kind) => Number(attributes[`ApproximateNumberOfMessages${kind}`] ?? 0))
    .reduce((sum, one) => sum + one, 0);
}
