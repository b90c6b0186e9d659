// The local Lambda runtime: isolation, limits, retries and injected crashes.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import {
  createFunctions,
  type FunctionDefinition,
  type Functions,
  type FunctionsOptions,
} from '../../local/lambda/functions.ts';

const directory = mkdtempSync(join(tmpdir(), 'lambda-'));
writeFileSync(
  join(directory, 'index.mjs'),
  `
let count = 0;
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export const echo = async (event) => event;
export const counter = async ({ ms = 0 }) => { count += 1; const mine = count; await wait(ms); return { mine, now: count }; };
export const environment = async () => process.env;
export const context = async (event, context) => {
  await wait(20);
  return { ...context, remaining: context.getRemainingTimeInMillis() };
};
export const slow = async ({ ms }) => { await wait(ms); return 'done'; };
export const loop = async () => { console.log('before the loop'); for (;;); };
export const exit = async ({ code }) => { process.exit(code); };
export const fail = async () => { console.error('about to fail'); throw new RangeError('too far'); };
export const uncaught = async () => { setTimeout(() => { throw new Error('from a timer'); }, 5); await wait(1000); };
export const rejected = async () => { void Promise.reject(new Error('nobody listens')); await wait(1000); };
export const circular = async () => { const a = {}; a.a = a; return a; };
export const big = async ({ bytes }) => 'x'.repeat(bytes);
export const memory = async () => { const all = []; for (;;) all.push(new Array(100_000).fill(all.length)); };
export const withCallback = (event, context, callback) => callback(null, 'ok');
export const nothing = async () => undefined;
`,
);
afterAll(() => rmSync(directory, { recursive: true }));

let functions: Functions | undefined;
afterEach(() => functions?.close({ graceMs: 0 }));

function start(
  handlers: Record<string, Partial<FunctionDefinition>>,
  options: FunctionsOptions = {},
): Functions {
  const definitions = Object.entries(handlers).map(([name, own]) => ({
    name,
    logicalId: name,
    arn: `arn:aws:lambda:eu-west-1:000000000000:function:${name}`,
    directory,
    handler: `index.${name}`,
    environment: {},
    timeoutMs: 3000,
    memoryMb: 128,
    ...own,
  }));
  functions = createFunctions(definitions, options);
  return functions;
}

describe('an instance', () => {
  it('answers with what the handler returns, through JSON', async () => {
    const { invoke } = start({ echo: {}, nothing: {} });
    expect(await invoke('echo', { a: [1, 'ü', null], b: undefined })).toEqual({
      ok: true,
      value: { a: [1, 'ü', null] },
    });
    expect(await invoke('nothing', {})).toEqual({ ok: true, value: null });
  });

  it('is reused for the next event and does not share state with a second one', async () => {
    const { invoke, instances } = start({ counter: {} });
    expect(await invoke('counter', {})).toMatchObject({ value: { mine: 1 } });
    expect(await invoke('counter', {})).toMatchObject({ value: { mine: 2 } });
    expect(instances('counter')).toBe(1);
  });

  it('runs one event at a time', async () => {
    const { invoke } = start({ counter: { maxConcurrency: 1 } });
    const both = await Promise.all([invoke('counter', { ms: 30 }), invoke('counter', { ms: 30 })]);
    expect(both.map((one) => one.ok && one.value)).toEqual([
      { mine: 1, now: 1 },
      { mine: 2, now: 2 },
    ]);
  });

  it('sees only its own environment and the variables of Lambda', async () => {
    process.env.FROM_OUTSIDE = 'leaked';
    const { invoke } = start({ environment: { environment: { MINE: '1' } } });
    const result = await invoke('environment', {});
    delete process.env.FROM_OUTSIDE;
    expect(result.ok && result.value).toMatchObject({
      MINE: '1',
      AWS_REGION: 'eu-west-1',
      AWS_LAMBDA_FUNCTION_NAME: 'environment',
      AWS_LAMBDA_FUNCTION_MEMORY_SIZE: '128',
      _HANDLER: 'index.environment',
    });
    expect(result.ok && result.value).not.toHaveProperty('FROM_OUTSIDE');
    expect(result.ok && result.value).not.toHaveProperty('PATH');
  });

  it('gets a context with a remaining time that runs down', async () => {
    const { invoke } = start({ context: { timeoutMs: 1000 } });
    const result = await invoke('context', {});
    const value = (result.ok ? result.value : {}) as Record<string, unknown>;
    expect(value).toMatchObject({
      functionName: 'context',
      memoryLimitInMB: '128',
      logGroupName: '/aws/lambda/context',
    });
    expect(value.awsRequestId).toMatch(/^[0-9a-f-]{36}$/);
    expect(value.remaining).toBeGreaterThan(500);
    expect(value.remaining).toBeLessThan(990);
  });

  it('has its output collected line by line with the request it belongs to, and its failure as the last line', async () => {
    const entries: { function: string; line: string; requestId?: string }[] = [];
    const { invoke } = start({ fail: {} }, { onLog: (entry) => entries.push(entry) });
    await invoke('fail', {});
    const requestId = entries[0]?.requestId;
    expect(requestId).toMatch(/^[0-9a-f-]{36}$/);
    expect(entries).toEqual([
      { function: 'fail', requestId, line: 'about to fail' },
      { function: 'fail', requestId, line: expect.any(String) },
    ]);
    expect(JSON.parse(entries[1]?.line ?? '')).toEqual({
      level: 'ERROR',
      message: 'Invoke Error',
      function_name: 'fail',
      kind: 'handled',
      errorType: 'RangeError',
      errorMessage: 'too far',
      trace: expect.arrayContaining(['RangeError: too far']),
    });
  });
});

describe('a failing handler', () => {
  it('gives the type, message and trace of what it throws', async () => {
    const { invoke } = start({ fail: {} });
    expect(await invoke('fail', {})).toMatchObject({
      ok: false,
      kind: 'handled',
      errorType: 'RangeError',
      errorMessage: 'too far',
      trace: expect.arrayContaining(['RangeError: too far']),
    });
  });

  it('is killed at its timeout even in a busy loop, its output kept, and replaced', async () => {
    const lines: string[] = [];
    const { invoke, instances } = start(
      { loop: { timeoutMs: 150, maxConcurrency: 1 } },
      { onLog: ({ line }) => lines.push(line) },
    );
    for (let round = 1; round <= 2; round += 1) {
      const result = await invoke('loop', {});
      expect(result).toMatchObject({ ok: false, kind: 'timeout' });
      expect(result.ok ? '' : result.errorMessage).toMatch(/Task timed out after 0\.15 seconds$/);
    }
    const failure = expect.stringMatching(/"message":"Invoke Error".*"errorType":"Sandbox.Timedout"/);
    expect([...lines].sort()).toEqual(['before the loop', 'before the loop', failure, failure]);
    await expect.poll(() => instances('loop')).toBe(0);
  });

  it.each([
    ['exit', { code: 0 }, 'Runtime.ExitError', /without providing a reason/],
    ['exit', { code: 3 }, 'Runtime.ExitError', /exit status 3/],
    ['uncaught', {}, 'Error', /from a timer/],
    ['rejected', {}, 'Runtime.UnhandledPromiseRejection', /nobody listens/],
  ])(
    'ends its instance through %s %j, and the next event gets a new one',
    async (name, event, errorType, message) => {
      const { invoke } = start({ [name]: { maxConcurrency: 1 } });
      for (let round = 1; round <= 2; round += 1) {
        const result = await invoke(name, event);
        expect(result).toMatchObject({ ok: false, kind: 'unhandled', errorType });
        expect(result.ok ? '' : result.errorMessage).toMatch(message);
      }
    },
  );

  it('that fills its memory ends alone', async () => {
    const { invoke } = start({ memory: { memoryMb: 32 }, echo: {} });
    expect(await invoke('memory', {})).toMatchObject({
      ok: false,
      kind: 'unhandled',
      errorType: 'Runtime.OutOfMemory',
    });
    expect(await invoke('echo', 1)).toEqual({ ok: true, value: 1 });
  });

  it('whose answer is not JSON or too large is an error', async () => {
    const { invoke } = start({ circular: {}, big: { memoryMb: 256 } });
    expect(await invoke('circular', {})).toMatchObject({ ok: false, errorType: 'Runtime.MarshalError' });
    expect(await invoke('big', { bytes: 6_291_554 })).toMatchObject({ ok: true });
    expect(await invoke('big', { bytes: 6_291_555 })).toMatchObject({
      ok: false,
      errorType: 'Function.ResponseSizeTooLarge',
    });
  });

  it('that takes a callback, is not exported or has no file fails with the name of the cause', async () => {
    const { invoke } = start({ withCallback: {}, missing: {}, nofile: { handler: 'other.handler' } });
    expect(await invoke('withCallback', {})).toMatchObject({
      errorType: 'Runtime.CallbackHandlerDeprecated',
    });
    expect(await invoke('missing', {})).toMatchObject({ errorType: 'Runtime.HandlerNotFound' });
    expect(await invoke('nofile', {})).toMatchObject({ errorType: 'Runtime.ImportModuleError' });
  });
});

describe('a function', () => {
  it('grows to its concurrency, queues beyond, and throttles beyond the queue', async () => {
    const { invoke, instances } = start({ slow: { maxConcurrency: 2, queueLimit: 3 } });
    const results = await Promise.all(Array.from({ length: 7 }, () => invoke('slow', { ms: 50 })));
    expect(results.filter((one) => one.ok)).toHaveLength(5);
    expect(results.filter((one) => !one.ok)).toEqual(
      Array(2).fill(expect.objectContaining({ kind: 'throttled', errorType: 'TooManyRequestsException' })),
    );
    expect(instances('slow')).toBe(2);
  });

  it('refuses a request over 6 MB and an unknown name', async () => {
    const { invoke } = start({ echo: {} });
    const tooLarge = { ok: false, kind: 'rejected', errorType: 'RequestTooLargeException' };
    expect(await invoke('echo', 'x'.repeat(6_291_455))).toMatchObject(tooLarge);
    expect(await invoke('ghost', {})).toMatchObject({
      kind: 'rejected',
      errorType: 'ResourceNotFoundException',
    });
  });

  it('goes on running when its caller stops waiting, and drops what was only queued', async () => {
    const { invoke } = start({ counter: { maxConcurrency: 1 } });
    await invoke('counter', {});
    const patient = invoke('counter', { ms: 100 });
    const impatient = await invoke('counter', {}, { timeoutMs: 20 });
    expect(impatient).toMatchObject({ ok: false, kind: 'timeout', errorType: 'CallerTimeout' });
    expect(await patient).toMatchObject({ value: { mine: 2 } });
    expect(await invoke('counter', {})).toMatchObject({ value: { mine: 3 } });
  });

  it('closes after the grace at the latest and lets shorter work end', async () => {
    const { invoke, close } = start({ slow: { maxConcurrency: 2 } });
    await Promise.all([invoke('slow', { ms: 1 }), invoke('slow', { ms: 1 })]);
    const short = invoke('slow', { ms: 50 });
    const long = invoke('slow', { ms: 5000 });
    const began = performance.now();
    await close({ graceMs: 300 });
    expect(performance.now() - began).toBeLessThan(1000);
    expect(await short).toEqual({ ok: true, value: 'done' });
    expect(await long).toMatchObject({ ok: false, kind: 'unhandled' });
    expect(await invoke('slow', { ms: 1 })).toMatchObject({ ok: false, kind: 'rejected' });
  });
});

describe('an asynchronous call', () => {
  it('is retried twice with the same request id, then reported once', async () => {
    const ids = new Set<string>();
    const attempts: number[] = [];
    const { invokeAsync } = start({ fail: {} }, { onLog: ({ requestId }) => ids.add(requestId ?? '') });
    const failures: unknown[] = [];
    await invokeAsync(
      'fail',
      { n: 1 },
      { backoffMs: (attempt) => attempts.push(attempt), onFailure: (record) => failures.push(record) },
    );
    expect(attempts).toEqual([0, 1]);
    expect(ids.size).toBe(1);
    expect(failures).toEqual([
      expect.objectContaining({ attempts: 3, errorType: 'RangeError', event: { n: 1 } }),
    ]);
  });

  it('that succeeds is not repeated', async () => {
    const { invokeAsync, invoke } = start({ counter: {} });
    await invokeAsync('counter', {});
    expect(await invoke('counter', {})).toMatchObject({ value: { mine: 2 } });
  });
});

describe('an injected crash', () => {
  it.each(['before', 'after'] as const)('%s the handler loses the instance and the answer', async (point) => {
    let left = 1;
    const calls: string[] = [];
    const { invoke } = start(
      { counter: { maxConcurrency: 1 } },
      {
        fault: async (at, call) => {
          calls.push(`${at} ${call.function}`);
          return at === point && left-- > 0 ? 'terminate' : 'ok';
        },
      },
    );
    expect(await invoke('counter', {})).toMatchObject({
      ok: false,
      kind: 'unhandled',
      errorType: 'Runtime.ExitError',
    });
    expect(calls).toEqual(point === 'before' ? ['before counter'] : ['before counter', 'after counter']);
    expect(await invoke('counter', {})).toMatchObject({ value: { mine: 1 } });
  });

  it('in the middle ends the running event only', async () => {
    const { invoke, terminate } = start({ slow: {} });
    expect(await terminate('slow')).toBe(false);
    await invoke('slow', { ms: 0 });
    const running = invoke('slow', { ms: 5000 });
    expect(await terminate('slow')).toBe(true);
    expect(await running).toMatchObject({ ok: false, kind: 'unhandled' });
    expect(await invoke('slow', { ms: 0 })).toMatchObject({ ok: true });
  });
});
