// The instances of one function: started when needed, one event each, and a bounded queue in front of them.
import { randomUUID } from 'node:crypto';
import { Instance, type InstanceSettings, KILLED, type Outcome } from './instance.ts';

export interface PoolSettings extends InstanceSettings {
  environment: Record<string, string>;
  timeoutMs: number;
  maxConcurrency: number;
  queueLimit: number;
}

export interface PoolHooks {
  line(line: string, requestId: string | undefined): void;
  fault?: (point: 'before' | 'after', requestId: string) => Promise<'ok' | 'terminate'> | undefined;
}

interface Waiting {
  requestId: string;
  payload: string;
  settle: (outcome: Outcome) => void;
}

/** Starting many threads at once on few cores makes each of them, and the events already running, slow. */
const STARTS_AT_ONCE = 2;

export class Pool {
  readonly settings: PoolSettings;
  readonly #hooks: PoolHooks;
  readonly #all = new Set<Instance>();
  readonly #idle: Instance[] = [];
  readonly #queue: Waiting[] = [];
  #starting = 0;
  #busy = 0;
  #onQuiet: (() => void)[] = [];

  constructor(settings: PoolSettings, hooks: PoolHooks) {
    this.settings = settings;
    this.#hooks = hooks;
  }

  get instances(): number {
    return this.#all.size;
  }

  run(requestId: string, payload: string, abandon?: AbortSignal): Promise<Outcome> {
    const { maxConcurrency, queueLimit } = this.settings;
    if (this.#queue.length >= queueLimit + maxConcurrency - this.#busy) {
      return Promise.resolve({
        ok: false,
        kind: 'throttled',
        errorType: 'TooManyRequestsException',
        errorMessage: 'Rate Exceeded.',
      });
    }
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    const waiting: Waiting = { requestId, payload, settle: resolve };
    this.#queue.push(waiting);
    abandon?.addEventListener('abort', () => this.#forget(waiting), { once: true });
    this.#next();
    return promise;
  }

  /** Kills the instance that has been busy longest. */
  async terminate(): Promise<boolean> {
    const [victim] = [...this.#all]
      .filter((one) => one.busySince !== undefined)
      .sort((a, b) => (a.busySince ?? 0) - (b.busySince ?? 0));
    await victim?.kill();
    return victim !== undefined;
  }

  /** Resolves when nothing runs and nothing waits. */
  quiet(): Promise<void> {
    if (this.#busy === 0 && this.#queue.length === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onQuiet.push(resolve));
  }

  async close(): Promise<void> {
    for (const waiting of this.#queue.splice(0)) waiting.settle(CLOSED);
    await Promise.all([...this.#all].map((one) => one.kill('The embedded stack is stopping')));
  }

  #next(): void {
    while (this.#queue.length > 0) {
      const instance = this.#idle.pop();
      if (instance === undefined) break;
      const waiting = this.#queue.shift();
      if (instance.ready && waiting !== undefined) void this.#serve(instance, waiting);
      else if (waiting !== undefined) this.#queue.unshift(waiting);
    }
    const free = this.settings.maxConcurrency - this.#all.size;
    const wanted = Math.min(this.#queue.length - this.#starting, free, STARTS_AT_ONCE - this.#starting);
    for (let n = 0; n < wanted; n += 1) this.#start();
    if (this.#busy === 0 && this.#queue.length === 0)
      for (const resolve of this.#onQuiet.splice(0)) resolve();
  }

  #start(): void {
    this.#starting += 1;
    const settings = { ...this.settings, logStreamName: `${dayOf(new Date())}/[$LATEST]${randomUUID()}` };
    const environment = { ...settings.environment, AWS_LAMBDA_LOG_STREAM_NAME: settings.logStreamName };
    const instance = new Instance(settings, environment, {
      ready: () => {
        this.#starting -= 1;
        this.#idle.push(instance);
        this.#next();
      },
      gone: (failure) => this.#gone(instance, failure),
      line: this.#hooks.line,
    });
    this.#all.add(instance);
  }

  #gone(instance: Instance, failure: Outcome | undefined): void {
    this.#all.delete(instance);
    const position = this.#idle.indexOf(instance);
    if (position >= 0) this.#idle.splice(position, 1);
    if (failure !== undefined) {
      this.#starting -= 1;
      // The event that asked for this instance fails with it, as Lambda answers an error of the initialisation.
      this.#queue.shift()?.settle(failure);
    }
    this.#next();
  }

  async #serve(instance: Instance, waiting: Waiting): Promise<void> {
    this.#busy += 1;
    const { requestId, payload, settle } = waiting;
    const { fault } = this.#hooks;
    if (fault !== undefined && (await fault('before', requestId)) === 'terminate') {
      await instance.kill();
      settle(KILLED);
      return this.#done(instance);
    }
    let outcome = await instance.run(requestId, payload, this.settings.timeoutMs);
    if (fault !== undefined && (await fault('after', requestId)) === 'terminate') {
      await instance.kill();
      outcome = KILLED;
    }
    settle(outcome);
    this.#done(instance);
  }

  #done(instance: Instance): void {
    this.#busy -= 1;
    if (instance.ready) this.#idle.push(instance);
    this.#next();
  }

  #forget(waiting: Waiting): void {
    const position = this.#queue.indexOf(waiting);
    if (position >= 0) this.#queue.splice(position, 1);
  }
}

export const CLOSED: Outcome = {
  ok: false,
  kind: 'rejected',
  errorType: 'ServiceUnavailableException',
  errorMessage: 'The embedded stack is stopping.',
};

function dayOf(date: Date): string {
  return date.toISOString().slice(0, 10).replaceAll('-', '/');
}
