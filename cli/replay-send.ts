// Sends one batch to the ingest endpoint until it is answered: what is worth a retry, how long to wait, when to give up.
import { setTimeout as sleep } from 'node:timers/promises';
import { noAnswer, parseBody, refusal } from './api.ts';
import { Failure } from './command.ts';

export const MAX_ATTEMPTS = 8;
const TIMEOUT_MS = 60_000;
const BASE_DELAY_MS = 200;
const MAX_DELAY_MS = 30_000;
const MAX_RETRY_AFTER_MS = 120_000;

export type EventResult = { id?: string; status: string; code?: string; error?: string };
export type SenderOptions = {
  url: string;
  headers: Record<string, string>;
  /** Events a second over all connections; undefined is as fast as the stack answers. */
  rate: number | undefined;
  signal: AbortSignal;
  onRetry: (attempt: number, reason: string, waitMs: number) => void;
};
export type Sender = (events: string[]) => Promise<EventResult[]>;
type Outcome = { results: EventResult[] } | { reason: string; retryAfter: string | null; limited: boolean };

/** Seconds or an HTTP date, capped, in milliseconds; undefined when the stack asked for nothing. */
export function retryAfterMs(header: string | null, now: number): number | undefined {
  if (header === null) return undefined;
  const wait = /^\d+$/.test(header.trim()) ? Number(header) * 1000 : Date.parse(header) - now;
  return Number.isFinite(wait) ? Math.min(Math.max(wait, 0), MAX_RETRY_AFTER_MS) : undefined;
}

/** Full jitter over an exponential bound; at most a second of it on top of what the stack asked for. */
export function delayMs(
  attempt: number,
  retryAfter: number | undefined,
  random: () => number = Math.random,
): number {
  const bound = Math.min(MAX_DELAY_MS, BASE_DELAY_MS * 2 ** (attempt - 1));
  return Math.ceil(
    retryAfter === undefined ? random() * bound : retryAfter + random() * Math.min(bound, 1000),
  );
}

function judge(response: Response, body: unknown, expected: number): Outcome {
  const results = (body as { results?: unknown } | undefined)?.results;
  const limited = response.status === 429 && response.headers.has('x-opsmantik-ratelimit');
  if (response.status >= 500 || response.status === 408 || limited) {
    const reason = refusal(response.status, body);
    return { reason, retryAfter: response.headers.get('retry-after'), limited };
  }
  if (Array.isArray(results) && results.length === expected) return { results: results as EventResult[] };
  if (response.ok) throw new Failure('The stack answered a batch without one result for each event.');
  throw new Failure(refusal(response.status, body));
}

async function post(options: SenderOptions, events: string[]): Promise<Outcome> {
  const control = new AbortController();
  const stop = (): void => control.abort();
  const timer = setTimeout(stop, TIMEOUT_MS);
  options.signal.addEventListener('abort', stop, { once: true });
  try {
    const response = await fetch(`${options.url}/api/sync`, {
      method: 'POST',
      headers: { ...options.headers, 'content-type': 'application/json', accept: 'application/json' },
      body: `{"events":[${events.join(',')}]}`,
      signal: control.signal,
    });
    return judge(response, parseBody(await response.text()), events.length);
  } catch (error) {
    if (error instanceof Failure || options.signal.aborted) throw error;
    return { reason: noAnswer(options.url, error), retryAfter: null, limited: false };
  } finally {
    clearTimeout(timer);
    options.signal.removeEventListener('abort', stop);
  }
}

/** All connections share the pace and the pause that a rate limit asks for. */
export function createSender(options: SenderOptions): Sender {
  let slot = 0;
  let pausedUntil = 0;

  async function turn(events: number): Promise<void> {
    if (options.rate !== undefined) {
      const at = Math.max(slot, Date.now());
      slot = at + (events * 1000) / options.rate;
      await sleep(at - Date.now(), undefined, { signal: options.signal });
    }
    while (pausedUntil > Date.now()) {
      await sleep(pausedUntil - Date.now(), undefined, { signal: options.signal });
    }
  }

  return async (events) => {
    await turn(events.length);
    for (let attempt = 1; ; attempt += 1) {
      const outcome = await post(options, events);
      if ('results' in outcome) return outcome.results;
      if (attempt === MAX_ATTEMPTS) throw new Failure(`${MAX_ATTEMPTS} attempts failed. ${outcome.reason}`);
      const wait = delayMs(attempt, retryAfterMs(outcome.retryAfter, Date.now()));
      if (outcome.limited) pausedUntil = Math.max(pausedUntil, Date.now() + wait);
      options.onRetry(attempt, outcome.reason, wait);
      await sleep(wait, undefined, { signal: options.signal });
    }
  };
}
