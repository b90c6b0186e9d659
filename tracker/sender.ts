// Sends what waits, one request at a time: at once, after a pause that the kernel asked for, or as a beacon when the page goes.
import type { Queue } from './queue.ts';
import { backoff, retryAfter, version, type WireResult } from './wire.ts';

export interface SenderOptions {
  /** Public id of the site. */
  site: string;
  /** Where events go; `/api/sync` of the page's own origin. */
  url?: string;
  /** The page's `fetch`. */
  fetch?: typeof fetch;
  /** The clock, in milliseconds; `Date.now`. */
  now?: () => number;
}

export function openSender(
  options: SenderOptions,
  [queue, drop, , take, settle, adopt]: Queue,
  granted: () => boolean,
) {
  const batch_events = 10; // here, not above, for only here the bundler writes them as numbers
  const wait_ms = 2000;
  const timer_max_ms = 2_147_483_647;
  const { site, url = '/api/sync', now = Date.now, fetch: request = fetch } = options;
  let timer: ReturnType<typeof setTimeout> | number | undefined;
  /** 1: as the kernel asked, or the page is gone; 2: for want of an answer, so that coming online ends it. */
  let paused = 0;
  let retries = 0;
  let sending: Promise<unknown> | undefined;

  const schedule = () => {
    if (queue[batch_events - 1]) void send();
    else if (queue[0]) timer ||= setTimeout(resume, wait_ms);
  };
  const pause = (kind = 0, ms?: number) => {
    paused = kind;
    clearTimeout(timer);
    timer = ms && setTimeout(resume, Math.min(ms, timer_max_ms));
  };
  const resume = () => {
    pause();
    void send();
  };
  const body = (events: string[]) =>
    `{"s":"${site}","v":1,"sdk":"browser/${version}","st":${now()},"r":${retries},"e":[${events}]}`;
  /** False when not all of it went, nothing at all when nothing may be sent. */
  const send = () => {
    if (!paused && queue[0] && granted()) sending ??= post();
    return sending;
  };
  const post = async () => {
    let status = 0;
    let wait = 0;
    let results: WireResult[] | undefined;
    let batch: string[] = [];
    // offline it spares the page an error in its console; the await lets `sending` be known before this ends
    if (await navigator.onLine)
      try {
        batch = take(0);
        const answer = await request(url, {
          method: 'POST',
          body: body(batch), // a string goes as text/plain: no preflight
          keepalive: !retries, // the page's share may be used up: a retry does without
          signal: AbortSignal.timeout(30_000),
        });
        status = answer.status;
        wait = retryAfter(answer.headers.get('retry-after'), now());
        results = (await answer.json()).results;
      } catch {}
    const gone = batch.filter((event, n) => {
      const result = results?.[n] ?? {};
      const { status: word = /^4(?!29)/.test(status as never) && 'invalid', retry_after = 0 } = result;
      if (/^[ic]/.test(word as never)) drop('refused', event); // invalid or conflict
      wait ||= retry_after * 1000; // the quota refused it: it stays
      return word && !retry_after;
    });
    settle(gone);
    sending = undefined;
    const done = gone[0] && !batch[gone.length];
    pause();
    if (done) retries = 0;
    else pause(status ? 1 : 2, wait + backoff(retries++));
    if (queue[0]) schedule();
    else void adopt();
    return done;
  };
  /** The page may never come back: what was never sent goes as a beacon, and stays in the store, for a beacon has no answer. */
  const beacon = () => {
    const rest = paused || !granted() ? [] : take();
    if (rest[0]) navigator.sendBeacon(url, body(rest));
    pause(1);
  };
  return [schedule, send, pause, beacon, () => paused > 1 && resume()] as const;
}
