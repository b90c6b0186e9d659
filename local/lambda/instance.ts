// One instance of a function, seen from outside: a worker thread that is started, given one event at a time and killed.
//
// Not reproduced: CPU share by memory size, a file system per instance, and a memory limit on anything but the heap.
import { Worker } from 'node:worker_threads';

export interface InstanceSettings {
  functionName: string;
  arn: string;
  directory: string;
  handler: string;
  memoryMb: number;
  logGroupName: string;
  logStreamName: string;
}

export interface ToWorker {
  requestId: string;
  payload: string;
  remainingMs: number;
}

interface ErrorDescription {
  errorType: string;
  errorMessage: string;
  trace?: string[];
}

export type FromWorker =
  | { kind: 'ready' }
  | { kind: 'log'; requestId: string | undefined; text: string }
  | { kind: 'result'; requestId: string; payload: string }
  | ({ kind: 'failure'; requestId: string } & ErrorDescription)
  | ({ kind: 'crash'; requestId: string | undefined } & ErrorDescription);

export type FailureKind = 'handled' | 'unhandled' | 'timeout' | 'throttled' | 'rejected';

export type Outcome = { ok: true; payload: string } | ({ ok: false; kind: FailureKind } & ErrorDescription);

export interface InstanceEvents {
  ready(): void;
  /** The instance is gone, whether it was killed or ended by itself; `failure` when it never became ready. */
  gone(failure: Outcome | undefined): void;
  line(line: string, requestId: string | undefined): void;
}

/** What a caller sees of an instance that was lost. */
export const KILLED = {
  ok: false,
  kind: 'unhandled',
  errorType: 'Runtime.ExitError',
  errorMessage: 'Runtime exited with error: signal: killed',
} as const satisfies Outcome;

const INIT_TIMEOUT_MS = 10_000;
/** A worker's own default is small, and collecting it often costs more than the memory. */
const YOUNG_GENERATION_MB = 32;

export class Instance {
  readonly #worker: Worker;
  readonly #events: InstanceEvents;
  readonly #partial = new Map<string | undefined, string>();
  #current: { requestId: string; since: number; settle: (outcome: Outcome) => void } | undefined;
  #initTimer: NodeJS.Timeout | undefined;
  #ready = false;
  #dying = false;
  #gone = false;
  #death: ErrorDescription | undefined;

  constructor(settings: InstanceSettings, environment: Record<string, string>, events: InstanceEvents) {
    this.#events = events;
    this.#worker = new Worker(new URL('./worker.ts', import.meta.url), {
      env: environment,
      workerData: settings,
      execArgv: [],
      stdout: true,
      stderr: true,
      resourceLimits: {
        maxOldGenerationSizeMb: settings.memoryMb,
        maxYoungGenerationSizeMb: YOUNG_GENERATION_MB,
      },
    });
    this.#initTimer = setTimeout(() => this.#initTimedOut(), INIT_TIMEOUT_MS);
    for (const stream of [this.#worker.stdout, this.#worker.stderr]) {
      stream.on('data', (chunk: Buffer) => this.#log(chunk.toString(), this.#current?.requestId));
    }
    this.#worker.on('message', (message: FromWorker) => this.#receive(message));
    this.#worker.on('error', (error) => {
      this.#death ??= describeDeath(error as NodeJS.ErrnoException);
    });
    this.#worker.on('exit', (code) => this.#ended(code));
  }

  get ready(): boolean {
    return this.#ready && !this.#dying && !this.#gone;
  }

  /** When the running event began, for choosing which busy instance to kill. */
  get busySince(): number | undefined {
    return this.#current?.since;
  }

  run(requestId: string, payload: string, timeoutMs: number): Promise<Outcome> {
    if (!this.ready) return Promise.resolve(KILLED);
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    const timer = setTimeout(() => {
      const seconds = (timeoutMs / 1000).toFixed(2);
      const errorMessage = `${new Date().toISOString()} ${requestId} Task timed out after ${seconds} seconds`;
      this.#settle({ ok: false, kind: 'timeout', errorType: 'Sandbox.Timedout', errorMessage });
      void this.kill();
    }, timeoutMs);
    this.#current = {
      requestId,
      since: performance.now(),
      settle: (outcome) => {
        clearTimeout(timer);
        resolve(outcome);
      },
    };
    this.#worker.postMessage({ requestId, payload, remainingMs: timeoutMs } satisfies ToWorker);
    return promise;
  }

  /** Ends the instance now; the running event fails as it does when the machine below is lost. */
  async kill(reason: string = KILLED.errorMessage): Promise<void> {
    this.#dying = true;
    this.#death ??= { errorType: 'Runtime.ExitError', errorMessage: reason };
    await this.#worker.terminate();
  }

  #receive(message: FromWorker): void {
    switch (message.kind) {
      case 'log':
        this.#log(message.text, message.requestId);
        break;
      case 'ready':
        clearTimeout(this.#initTimer);
        this.#ready = true;
        this.#events.ready();
        break;
      case 'crash':
        this.#death ??= message;
        break;
      case 'result':
        if (this.#isCurrent(message)) this.#settle({ ok: true, payload: message.payload });
        break;
      case 'failure':
        if (this.#isCurrent(message)) this.#settle({ ok: false, ...failureOf(message), kind: 'handled' });
        break;
    }
  }

  /** A result of an event that has already timed out is nobody's any more. */
  #isCurrent({ requestId }: { requestId: string }): boolean {
    return requestId === this.#current?.requestId;
  }

  #settle(outcome: Outcome): void {
    const current = this.#current;
    this.#current = undefined;
    current?.settle(outcome);
  }

  #ended(code: number): void {
    if (this.#gone) return;
    this.#gone = true;
    clearTimeout(this.#initTimer);
    const reason = code === 0 ? 'without providing a reason' : `with error: exit status ${code}`;
    const death = this.#death ?? { errorType: 'Runtime.ExitError', errorMessage: `Runtime exited ${reason}` };
    for (const [requestId, text] of this.#partial) if (text !== '') this.#events.line(text, requestId);
    const failure: Outcome = { ok: false, ...failureOf(death), kind: 'unhandled' };
    if (this.#current === undefined && this.#ready && this.#death?.trace !== undefined) {
      this.#events.line(`The idle instance ended: ${death.errorType}: ${death.errorMessage}`, undefined);
    }
    this.#settle(failure);
    this.#events.gone(this.#ready ? undefined : failure);
  }

  #initTimedOut(): void {
    this.#death ??= {
      errorType: 'Sandbox.Timedout',
      errorMessage: `The function did not load within ${INIT_TIMEOUT_MS / 1000} seconds`,
    };
    void this.#worker.terminate();
  }

  #log(text: string, requestId: string | undefined): void {
    const lines = ((this.#partial.get(requestId) ?? '') + text).split('\n');
    const rest = lines.pop() ?? '';
    if (rest === '') this.#partial.delete(requestId);
    else this.#partial.set(requestId, rest);
    for (const line of lines) this.#events.line(line, requestId);
  }
}

function failureOf({ errorType, errorMessage, trace }: ErrorDescription): ErrorDescription {
  return { errorType, errorMessage, ...(trace && { trace }) };
}

function describeDeath(error: NodeJS.ErrnoException): ErrorDescription {
  const outOfMemory = error.code === 'ERR_WORKER_OUT_OF_MEMORY';
  if (outOfMemory) return { errorType: 'Runtime.OutOfMemory', errorMessage: error.message };
  return { errorType: error.name, errorMessage: error.message, trace: (error.stack ?? '').split('\n') };
}
