// Runs the function bundles of the template as Lambda does: isolated instances, one event each, limits and retries.
//
// Not reproduced: authorisation of calls, versions and aliases with code of their own (all run the same folder), provisioned
// concurrency, layers, a durable queue for asynchronous events (it ends with the process), their maximum age, Lambda's
// waiting times between retries (short here), and queueing itself: Lambda throttles at once where this front waits first.
import { randomUUID } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import type { FailureKind, Outcome } from './instance.ts';
import { CLOSED, Pool, type PoolSettings } from './pool.ts';

export interface FunctionDefinition {
  name: string;
  logicalId: string;
  arn: string;
  /** The asset folder. */
  directory: string;
  /** As in the template: "index.handler". */
  handler: string;
  environment: Record<string, string>;
  timeoutMs: number;
  memoryMb: number;
  /** Instances at the same time; 4 unless told. */
  maxConcurrency?: number;
  /** Events that may wait for an instance before the next one is throttled. */
  queueLimit?: number;
}

export interface FaultCall {
  function: string;
  requestId: string;
}

export interface FunctionsOptions {
  region?: string;
  onLog?: (entry: { function: string; requestId?: string; line: string }) => void;
  /** 'terminate' kills the instance before the handler starts, or after it ended and before its result is returned. */
  fault?: (point: 'before' | 'after', call: FaultCall) => Promise<'ok' | 'terminate'> | undefined;
}

export type InvokeFailure = {
  ok: false;
  errorType: string;
  errorMessage: string;
  trace?: string[];
  kind: FailureKind;
};
export type InvokeResult = { ok: true; value: unknown } | InvokeFailure;

export interface AsyncOptions {
  /** Retries after the first attempt; Lambda's default is 2. */
  retries?: number;
  backoffMs?: (attempt: number) => number;
  onFailure?: (
    record: { function: string; requestId: string; event: unknown; attempts: number } & InvokeFailure,
  ) => void;
}

export interface Functions {
  has(name: string): boolean;
  /** Never rejects. With `timeoutMs` the caller stops waiting then; a handler that has begun goes on. */
  invoke(name: string, event: unknown, options?: { timeoutMs?: number }): Promise<InvokeResult>;
  /** Resolves with the last attempt's result, never rejects. */
  invokeAsync(name: string, event: unknown, options?: AsyncOptions): Promise<InvokeResult>;
  /** Kills a busy instance now; false when none is busy. */
  terminate(name: string): Promise<boolean>;
  /** Instances that exist now. */
  instances(name: string): number;
  /** Takes no new events, lets what runs or waits end within the grace, then ends every instance. */
  close(options?: { graceMs?: number }): Promise<void>;
}

export const DEFAULT_CONCURRENCY = 4;
export const DEFAULT_QUEUE_LIMIT = 512;
const MAX_REQUEST_BYTES = 6_291_456;
const MAX_ASYNC_REQUEST_BYTES = 1_048_576;
const DEFAULT_GRACE_MS = 5_000;
const CALLER_TIMEOUT = 'CallerTimeout';

/** Whether the caller's own limit ended the wait, rather than the function's. */
export function callerGaveUp(result: InvokeFailure): boolean {
  return result.errorType === CALLER_TIMEOUT;
}

export function createFunctions(
  definitions: FunctionDefinition[],
  options: FunctionsOptions = {},
): Functions {
  const pools = new Map(definitions.map((one) => [one.name, createPool(one, options)]));
  const closing = new AbortController();

  const invoke: Functions['invoke'] = async (name, event, { timeoutMs } = {}) => {
    const pool = pools.get(name);
    const payload = JSON.stringify(event ?? null);
    const refusal = refuse(name, pool, payload, MAX_REQUEST_BYTES, closing.signal);
    if (pool === undefined || refusal !== undefined) return refusal ?? NOT_FOUND(name);
    const requestId = randomUUID();
    return report(options, name, requestId, await call(pool, requestId, payload, timeoutMs));
  };

  const invokeAsync: Functions['invokeAsync'] = async (name, event, settings = {}) => {
    const { retries = 2, backoffMs = (attempt: number) => 200 * 2 ** attempt, onFailure } = settings;
    const pool = pools.get(name);
    const payload = JSON.stringify(event ?? null);
    const refusal = refuse(name, pool, payload, MAX_ASYNC_REQUEST_BYTES, closing.signal);
    if (pool === undefined || refusal !== undefined) return refusal ?? NOT_FOUND(name);
    const requestId = randomUUID();
    for (let attempt = 0; ; attempt += 1) {
      const result = report(options, name, requestId, await call(pool, requestId, payload));
      if (result.ok) return result;
      const last = attempt >= retries || closing.signal.aborted;
      if (!last) await wait(backoffMs(attempt), undefined, { signal: closing.signal }).catch(() => undefined);
      if (last || closing.signal.aborted) {
        onFailure?.({ function: name, requestId, event, attempts: attempt + 1, ...result });
        return result;
      }
    }
  };

  return {
    has: (name) => pools.has(name),
    invoke,
    invokeAsync,
    terminate: async (name) => (await pools.get(name)?.terminate()) ?? false,
    instances: (name) => pools.get(name)?.instances ?? 0,
    async close({ graceMs = DEFAULT_GRACE_MS } = {}) {
      closing.abort();
      const quiet = Promise.all([...pools.values()].map((pool) => pool.quiet()));
      const grace = new AbortController();
      await Promise.race([quiet, wait(graceMs, undefined, { signal: grace.signal }).catch(() => undefined)]);
      grace.abort();
      await Promise.all([...pools.values()].map((pool) => pool.close()));
    },
  };
}

/** As Lambda does, a failure becomes a line in the function's log, for its caller may never tell. */
function report(
  { onLog }: FunctionsOptions,
  name: string,
  requestId: string,
  result: InvokeResult,
): InvokeResult {
  if (!result.ok) {
    const { kind, errorType, errorMessage, trace } = result;
    const line = JSON.stringify({
      level: 'ERROR',
      message: 'Invoke Error',
      function_name: name,
      kind,
      errorType,
      errorMessage,
      trace,
    });
    onLog?.({ function: name, requestId, line });
  }
  return result;
}

async function call(
  pool: Pool,
  requestId: string,
  payload: string,
  timeoutMs?: number,
): Promise<InvokeResult> {
  if (timeoutMs === undefined) return resultOf(await pool.run(requestId, payload));
  const abandon = new AbortController();
  const { promise, resolve } = Promise.withResolvers<InvokeResult>();
  const timer = setTimeout(() => {
    abandon.abort();
    const errorMessage = `The caller waited ${timeoutMs} ms and no longer.`;
    resolve({ ok: false, kind: 'timeout', errorType: CALLER_TIMEOUT, errorMessage });
  }, timeoutMs);
  const ran = pool.run(requestId, payload, abandon.signal).then((outcome) => {
    clearTimeout(timer);
    return resultOf(outcome);
  });
  return Promise.race([ran, promise]);
}

function resultOf(outcome: Outcome): InvokeResult {
  return outcome.ok ? { ok: true, value: JSON.parse(outcome.payload) } : outcome;
}

function refuse(
  name: string,
  pool: Pool | undefined,
  payload: string,
  limit: number,
  closing: AbortSignal,
): InvokeFailure | undefined {
  if (pool === undefined) return NOT_FOUND(name);
  if (closing.aborted) return CLOSED as InvokeFailure;
  if (payload.length <= limit / 3 || Buffer.byteLength(payload) <= limit) return undefined;
  return {
    ok: false,
    kind: 'rejected',
    errorType: 'RequestTooLargeException',
    errorMessage: `Request must be smaller than ${limit} bytes for the InvokeFunction operation`,
  };
}

const NOT_FOUND = (name: string): InvokeFailure => ({
  ok: false,
  kind: 'rejected',
  errorType: 'ResourceNotFoundException',
  errorMessage: `Function not found: ${name}`,
});

function createPool(definition: FunctionDefinition, options: FunctionsOptions): Pool {
  const { name, arn, directory, handler, timeoutMs, memoryMb } = definition;
  const { onLog, fault, region = 'eu-west-1' } = options;
  const logGroupName = `/aws/lambda/${name}`;
  const settings: PoolSettings = {
    functionName: name,
    arn,
    directory,
    handler,
    timeoutMs,
    memoryMb,
    logGroupName,
    logStreamName: '',
    maxConcurrency: definition.maxConcurrency ?? DEFAULT_CONCURRENCY,
    queueLimit: definition.queueLimit ?? DEFAULT_QUEUE_LIMIT,
    environment: {
      AWS_REGION: region,
      AWS_DEFAULT_REGION: region,
      AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs24.x',
      AWS_LAMBDA_FUNCTION_NAME: name,
      AWS_LAMBDA_FUNCTION_MEMORY_SIZE: String(memoryMb),
      AWS_LAMBDA_FUNCTION_VERSION: '$LATEST',
      AWS_LAMBDA_INITIALIZATION_TYPE: 'on-demand',
      AWS_LAMBDA_LOG_GROUP_NAME: logGroupName,
      LAMBDA_TASK_ROOT: directory,
      LANG: 'en_US.UTF-8',
      TZ: 'UTC',
      _HANDLER: handler,
      ...definition.environment,
    },
  };
  return new Pool(settings, {
    line: (line, requestId) => onLog?.({ function: name, ...(requestId && { requestId }), line }),
    ...(fault && { fault: (point, requestId) => fault(point, { function: name, requestId }) }),
  });
}
