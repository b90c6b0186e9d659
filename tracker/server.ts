// The server build for Node 20 and later: batches, a few requests at a time, and for each event the answer that the kernel gave.
import type { AnyEvents, Details, EventMap, Track } from './events.ts';
import { backoff, type Drops, event_chars_max, retryAfter, uuid7, version, type WireResult } from './wire.ts';

export type { AnyEvents, Details, EventMap } from './events.ts';

export interface ClientOptions {
  /** Public id of the site. */
  site: string;
  /** A live API key of the site. */
  key: string;
  /** Of the kernel, with the path: `https://…/api/sync`. */
  url: string;
  /** Events of a request; 500, which is the most. */
  batch_events?: number;
  /** How long an event waits for others; 100. */
  wait_ms?: number;
  /** Requests at a time; 4. */
  concurrency?: number;
  /** Events that wait or are on their way; 10,000. There `room()` waits; at twice as many `track` answers `dropped`. */
  queue_events_max?: number;
  /** After so long without an answer a batch is given up as `unknown`; 90,000. */
  give_up_ms?: number;
  /** How long one request may take; 10,000. */
  timeout_ms?: number;
  fetch?: typeof fetch;
  /** The clock, in milliseconds; `Date.now`. */
  now?: () => number;
}

/**
 * What became of an event. `queued` and `overage` are billed now, `duplicate` was before. `rejected_quota`, `conflict`, `invalid` and
 * `refused` never were. `unknown`: nobody answered; it may be sent again with the same id. `dropped`: it was never sent.
 */
export type Outcome =
  | { id: string; status: 'queued' | 'overage'; ingest_id: string }
  | { id: string; status: 'duplicate' | 'conflict' | 'unknown' }
  | { id: string; status: 'rejected_quota'; retry_after: number }
  | { id: string; status: 'invalid' | 'refused' | 'dropped'; code: string };

export interface ServerDetails extends Details {
  /**
   * The event's id, for retries that may come from another process; a new UUID unless given. With it the event is sent without number and,
   * unless `at_ms` is given, without time: nothing in it may differ from one process to the other, or the kernel sees a conflict.
   */
  id?: string;
  /** When it happened, in milliseconds; now unless given. */
  at_ms?: number;
}

export interface Client<Events = AnyEvents> {
  /** Never rejects; resolves when the event is settled. */
  track: Track<Events, Promise<Outcome>, ServerDetails>;
  /** Resolves when the queue has room. */
  room(): Promise<void>;
  /** Sends everything at once and resolves when all that was tracked before is settled. */
  flush(): Promise<void>;
  /** Flushes; from then on `track` answers `dropped`. */
  stop(): Promise<void>;
}

interface Waiting {
  id: string;
  /** Whether the caller chose the id. */
  own: boolean;
  json: string;
  /** The losses that it reports. */
  drops?: Drops;
  settle: (outcome: Outcome) => void;
}

const batch_events_most = 500;
const batch_bytes_max = 900 * 1024; // of the MiB that the kernel takes with a key

export function createClient<Events extends EventMap<Events> = AnyEvents>(
  options: ClientOptions,
): Client<Events> {
  const engine = new Engine(options);
  return {
    track: (category, action, ...[details]) => engine.track(category, action, details),
    room: () => engine.room(),
    flush: () => engine.flush(),
    stop: () => engine.stop(),
  };
}

class Engine {
  readonly #options: ClientOptions;
  readonly #now: () => number;
  readonly #process: string;
  readonly #queue: Waiting[] = [];
  /** Events that wait or are on their way. */
  readonly #unsettled = new Set<Promise<Outcome>>();
  readonly #waiters: (() => void)[] = [];
  #n = 0;
  /** Losses that no event reports yet. */
  #drops: Drops = {};
  /** So many at the front wait no longer for others. */
  #due = 0;
  #requests = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Until then the kernel asked for silence. */
  #silence_until_ms = 0;
  #stopped = false;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#process = uuid7(this.#now());
  }

  async track(category: string, action: string, details: ServerDetails = {}): Promise<Outcome> {
    const t = this.#now();
    const { id = uuid7(t), at_ms, label: el, value: ev, url: u = 'server:', meta } = details;
    if (this.#stopped) return { id, status: 'dropped', code: 'stopped' };
    const own = details.id !== undefined;
    const told = own ? { t: at_ms } : { t: at_ms ?? t, p: this.#process, n: ++this.#n };
    const json = serialize({ i: id, ...told, u, ec: category, ea: action, el, ev, meta });
    if (json === undefined) return this.#dropped('invalid', { id, status: 'invalid', code: 'event_invalid' });
    if (this.#unsettled.size >= 2 * this.#most())
      return this.#dropped('full', { id, status: 'dropped', code: 'queue_full' });
    const outcome = new Promise<Outcome>((settle) => this.#queue.push({ id, own, json, settle }));
    this.#unsettled.add(outcome);
    if (this.#queue.length - this.#due >= this.#batchEvents()) this.#send(this.#queue.length);
    else this.#timer ??= setTimeout(() => this.#send(this.#queue.length), this.#options.wait_ms ?? 100);
    const settled = await outcome;
    this.#unsettled.delete(outcome);
    this.#waiters.shift()?.();
    return settled;
  }

  async room(): Promise<void> {
    while (this.#unsettled.size >= this.#most()) await new Promise<void>((wake) => this.#waiters.push(wake));
  }

  async flush(): Promise<void> {
    this.#send(this.#queue.length);
    await Promise.all(this.#unsettled);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.flush();
  }

  #most(): number {
    return this.#options.queue_events_max ?? 10_000;
  }

  #batchEvents(): number {
    return Math.min(this.#options.batch_events ?? batch_events_most, batch_events_most);
  }

  #dropped(reason: string, outcome: Outcome): Outcome {
    this.#drops[reason] = (this.#drops[reason] ?? 0) + 1;
    return outcome;
  }

  #send(due: number): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#due = due;
    while (this.#due > 0 && this.#requests < (this.#options.concurrency ?? 4)) {
      this.#requests++;
      const batch = this.#take();
      this.#due -= batch.length;
      void this.#deliver(batch).finally(() => {
        this.#requests--;
        this.#send(this.#due);
        if (this.#queue.length > 0)
          this.#timer ??= setTimeout(() => this.#send(this.#queue.length), this.#options.wait_ms ?? 100);
      });
    }
  }

  /** What one request carries; one of its events reports the losses, once and for good, for it counts once. */
  #take(): Waiting[] {
    let bytes = 0;
    let end = 0;
    for (const { json } of this.#queue.slice(0, this.#batchEvents())) {
      bytes += Buffer.byteLength(json);
      if (end > 0 && bytes > batch_bytes_max) break;
      end++;
    }
    const batch = this.#queue.splice(0, end);
    const reporter = batch.find(({ own }) => !own);
    if (reporter && Object.keys(this.#drops).length > 0) {
      reporter.drops = this.#drops;
      reporter.json = `${reporter.json.slice(0, -1)},"d":${JSON.stringify(this.#drops)}}`;
      this.#drops = {};
    }
    return batch;
  }

  /** Asks until the kernel has answered; the events keep their ids, so nothing counts twice. */
  async #deliver(batch: Waiting[]): Promise<void> {
    const began_ms = performance.now();
    for (let retries = 0; ; retries++) {
      const silence_ms = this.#silence_until_ms - performance.now();
      if (silence_ms > 0) await pause(silence_ms + backoff(0));
      const { status, results, wait_ms } = await this.#ask(batch, retries);
      const refused = !results && status >= 400 && status < 500 && status !== 429 && status !== 408;
      if (results || refused)
        return batch.forEach((waiting, n) => {
          this.#settle(waiting, results ? results[n] : { status: 'refused', code: `http_${status}` });
        });
      if (wait_ms > 0) this.#silence_until_ms = performance.now() + wait_ms;
      const next_ms = wait_ms + backoff(retries);
      if (performance.now() - began_ms + next_ms > (this.#options.give_up_ms ?? 90_000))
        return batch.forEach((waiting) => {
          this.#settle(waiting, undefined);
        });
      await pause(next_ms);
    }
  }

  async #ask(batch: Waiting[], retries: number) {
    const { site, key, url, fetch: request = fetch, timeout_ms = 10_000 } = this.#options;
    const events = batch.map(({ json }) => json);
    try {
      const answer = await request(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-api-key': key },
        body: `{"s":${JSON.stringify(site)},"v":1,"sdk":"node/${version}","st":${this.#now()},"r":${retries},"e":[${events}]}`,
        signal: AbortSignal.timeout(timeout_ms),
      });
      const { results } = (await answer.json().catch(() => ({}))) as { results?: WireResult[] };
      const wait_ms = retryAfter(answer.headers.get('retry-after'), this.#now());
      return { status: answer.status, results, wait_ms };
    } catch {
      return { status: 0, results: undefined, wait_ms: 0 };
    }
  }

  /** A loss that an event would have reported is reported by a later one, when it is known that the kernel did not take it. */
  #settle({ id, drops, settle }: Waiting, result: WireResult | undefined): void {
    const outcome = outcomeOf(id, result);
    const { status } = outcome;
    const lost =
      status === 'rejected_quota' ? 'quota' : /^(invalid|conflict|refused)$/.test(status) && 'refused';
    if (lost) {
      for (const [reason, count] of Object.entries({ ...drops }))
        this.#drops[reason] = (this.#drops[reason] ?? 0) + count;
      this.#drops[lost] = (this.#drops[lost] ?? 0) + 1;
    }
    settle(outcome);
  }
}

function outcomeOf(id: string, result: WireResult | undefined): Outcome {
  const { status, ingest_id = '', retry_after = 0, code = '' } = result ?? {};
  switch (status) {
    case 'queued':
    case 'overage':
      return { id, status, ingest_id };
    case 'rejected_quota':
      return { id, status, retry_after };
    case 'invalid':
    case 'refused':
      return { id, status, code };
    case 'duplicate':
    case 'conflict':
      return { id, status };
    default:
      return { id, status: 'unknown' };
  }
}

/** The JSON of an event that can travel. */
function serialize(event: object): string | undefined {
  try {
    const json = JSON.stringify(event);
    return json.length > event_chars_max ? undefined : json;
  } catch {
    return undefined;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
