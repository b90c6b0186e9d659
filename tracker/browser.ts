// The browser build: what a page calls, and what of the page's life the tracker must know.
import type { AnyEvents, Details, EventMap, Track } from './events.ts';
import { openQueue } from './queue.ts';
import { openSender, type SenderOptions } from './sender.ts';
import { event_chars_max, uuid7 } from './wire.ts';

export type { AnyEvents, Details, EventMap } from './events.ts';

export type Consent = 'pending' | 'granted' | 'denied';
/** The first three are reported to the kernel; the others are a person's or the page's own choice, and stay here. */
export type DropReason = 'full' | 'invalid' | 'refused' | 'gpc' | 'denied' | 'stopped';

export interface Options extends SenderOptions {
  gpc?: 'count-only' | 'drop' | 'ignore';
  consent?: Consent;
  onDrop?: (reason: DropReason) => void;
  storage?: Storage;
}

/** No verb throws. */
export interface Tracker<Events = AnyEvents> {
  track: Track<Events, void>;
  /** `track('page', 'view')`. */
  page(details?: Details): void;
  /** Sends what waits; true when nothing is left, false when the kernel cannot be asked now. */
  flush(): Promise<boolean>;
  /** Denied wipes the queue, of this tab and of tabs that are gone. */
  consent(state: Consent): void;
  /** Ends everything; what waits is sent by the next page. */
  stop(): void;
}

export function createTracker<Events extends EventMap<Events> = AnyEvents>(
  options: Options,
): Tracker<Events> {
  const { site, gpc, onDrop, now = Date.now } = options;
  let state: string = options.consent ?? 'granted';
  let load: string;
  let n: number;
  let storage = {} as Storage;
  try {
    if (navigator.locks) ({ storage = localStorage } = options);
  } catch {} // disabled
  const tell = (reason: string) => {
    try {
      onDrop?.(reason as DropReason);
    } catch {} // the page's own code must not break the queue
  };
  const granted = () => state === 'granted';
  const queueing = openQueue(`rk:${site}:`, storage, tell, granted, () => schedule());
  const [queue, drop, save, , , adopt, own, wipe] = queueing;
  const [schedule, send, pause, beacon, online] = openSender(options, queueing, granted);

  /** From here events are numbered from 1. */
  const start = () => {
    load = uuid7(now());
    n = 0;
    own(load);
    pause();
    void adopt();
  };
  const track = (category: string, action: string, details: Details = {}) => {
    const asked = gpc !== 'ignore' && (navigator as { globalPrivacyControl?: boolean }).globalPrivacyControl;
    if (/^[ds]/.test(state)) return tell(state);
    if (asked && gpc === 'drop') return tell('gpc');
    const t = now();
    const bare = { i: uuid7(t), t, p: load, n: ++n, ec: category, ea: action };
    try {
      const { label: el, value: ev, url: u = location.href, meta } = details;
      const json = JSON.stringify(asked ? { ...bare, u: location.origin } : { ...bare, u, el, ev, meta });
      if (json[event_chars_max]) throw 0;
      queue.push(json);
    } catch {
      drop('invalid');
    }
    save();
  };
  start();
  addEventListener('pagehide', beacon);
  addEventListener('pageshow', ({ persisted }) => persisted && start());
  addEventListener('online', online);
  addEventListener('visibilitychange', () => document.hidden && send());
  return {
    track,
    page: (details) => track('page', 'view', details),
    async flush() {
      while (await send()) if (!queue[0]) break;
      return !queue[0];
    },
    consent(next) {
      state = next;
      if (next === 'denied') {
        queue.map(() => tell(next));
        wipe();
        start(); // anew: what a person refused is no gap
      }
      save();
      void adopt();
    },
    stop() {
      state = 'stopped';
    },
  };
}
