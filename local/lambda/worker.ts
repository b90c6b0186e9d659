// The inside of one function instance: loads the bundle, runs one event at a time and answers as the Node 24 runtime does.
//
// Not reproduced: the freeze between two events (timers go on running), streaming responses, extensions, /tmp of its own,
// and a time zone of its own (TZ is the whole process's).
import { existsSync } from 'node:fs';
import module from 'node:module';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { pathToFileURL } from 'node:url';
import { parentPort, workerData } from 'node:worker_threads';
import type { FromWorker, InstanceSettings, ToWorker } from './instance.ts';

type Handler = (event: unknown, context: object) => unknown;

const settings = workerData as InstanceSettings;
const MAX_RESPONSE_BYTES = 6_291_556; // Lambda's own figure: 6 MB and a little room for its envelope
let requestId: string | undefined;

function send(message: FromWorker): void {
  parentPort?.postMessage(message);
}

class RuntimeError extends Error {
  constructor(type: string, message: string) {
    super(message);
    this.name = type;
  }
}

function describe(
  error: unknown,
  type?: string,
): { errorType: string; errorMessage: string; trace: string[] } {
  const known = error instanceof Error;
  return {
    errorType: type ?? (known ? error.name : typeof error),
    errorMessage: known ? error.message : String(error),
    trace: known ? (error.stack ?? '').split('\n') : [],
  };
}

// Sent as messages, so that a line is not lost when the instance is killed right after it was written.
for (const stream of [process.stdout, process.stderr]) {
  stream.write = ((chunk: string | Uint8Array, encoding?: unknown, done?: unknown) => {
    const text = typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString();
    send({ kind: 'log', requestId, text });
    const callback = typeof encoding === 'function' ? encoding : done;
    if (typeof callback === 'function') callback();
    return true;
  }) as typeof stream.write;
}

function crash(error: unknown, type?: string): void {
  send({ kind: 'crash', requestId, ...describe(error, type) });
  process.exit(129);
}
process.on('uncaughtException', (error) => crash(error));
process.on('unhandledRejection', (reason) => crash(reason, 'Runtime.UnhandledPromiseRejection'));

async function loadHandler(): Promise<Handler> {
  const [file = '', ...names] = settings.handler.split('.');
  const path = ['.mjs', '.js', '.cjs']
    .map((extension) => join(settings.directory, file + extension))
    .find(existsSync);
  if (path === undefined) {
    throw new RuntimeError('Runtime.ImportModuleError', `Error: Cannot find module '${file}'`);
  }
  const loaded = (await import(pathToFileURL(path).href)) as Record<string, unknown>;
  const handler = names.reduce<unknown>((value, name) => (value as Record<string, unknown>)?.[name], loaded);
  if (typeof handler !== 'function') {
    throw new RuntimeError('Runtime.HandlerNotFound', `${settings.handler} is undefined or not exported`);
  }
  if (handler.length >= 3) {
    throw new RuntimeError(
      'Runtime.CallbackHandlerDeprecated',
      'Callback-based handlers are not supported from Node.js 24 on: return a promise instead.',
    );
  }
  return handler as Handler;
}

function contextOf(message: ToWorker): object {
  const end = performance.now() + message.remainingMs;
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionName: settings.functionName,
    functionVersion: '$LATEST',
    invokedFunctionArn: settings.arn,
    memoryLimitInMB: String(settings.memoryMb),
    awsRequestId: message.requestId,
    logGroupName: settings.logGroupName,
    logStreamName: settings.logStreamName,
    getRemainingTimeInMillis: () => Math.max(0, Math.floor(end - performance.now())),
  };
}

function serialise(value: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value ?? null);
  } catch (error) {
    throw new RuntimeError('Runtime.MarshalError', `Unable to stringify response body as json: ${error}`);
  }
  if (text === undefined) throw new RuntimeError('Runtime.MarshalError', 'Unable to stringify response body');
  // No character is longer than three bytes, so that only a long text has to be measured.
  if (text.length > MAX_RESPONSE_BYTES / 3 && Buffer.byteLength(text) > MAX_RESPONSE_BYTES) {
    throw new RuntimeError(
      'Function.ResponseSizeTooLarge',
      `Response payload size exceeded maximum allowed payload size (${MAX_RESPONSE_BYTES} bytes).`,
    );
  }
  return text;
}

async function run(handler: Handler, message: ToWorker): Promise<void> {
  requestId = message.requestId;
  try {
    const value = await handler(JSON.parse(message.payload), contextOf(message));
    send({ kind: 'result', requestId: message.requestId, payload: serialise(value) });
  } catch (error) {
    send({ kind: 'failure', requestId: message.requestId, ...describe(error) });
  }
}

module.enableCompileCache(); // a bundle is compiled once, not by each instance
try {
  const handler = await loadHandler();
  module.flushCompileCache(); // an instance is killed, which would lose it
  parentPort?.on('message', (message: ToWorker) => void run(handler, message));
  send({ kind: 'ready' });
} catch (error) {
  // A module that throws while it loads is its own error; the runtime's are named above.
  crash(error, error instanceof Error && error.name.startsWith('Runtime.') ? undefined : 'Runtime.InitError');
}
