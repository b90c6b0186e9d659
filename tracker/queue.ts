// The queue of a page, its losses, and where both survive the page: a key in the browser's storage that a lock keeps from other tabs.
import type { Drops } from './wire.ts';

export type Queue = ReturnType<typeof openQueue>;

const batch_events_max = 50;
const batch_chars_max = 16 * 1024; // 48 KiB in UTF-8 at the worst, of the 64 that all keepalive requests of a page share
const store_chars_max = 64 * 1024;
/** What a tab wrote before it crashed may reach others later than its lock does. */
const adopt_ms = 1000;

/** The answer is a tuple, for names of properties are not shortened in the bundle. */
export function openQueue(
  prefix: string,
  storage: Storage,
  tell: (reason: string) => void,
  granted: () => boolean,
  changed: () => void,
) {
  /** Events as JSON; those that were ever sent come first. */
  const queue: string[] = [];
  let sent = 0;
  /** Losses that no event reports yet. */
  let drops: Drops = {};
  let key = '';

  const count = (more: Drops | undefined) => {
    for (const reason in more) drops[reason] = (drops[reason] ?? 0) + (more[reason] ?? 0);
  };
  /** An event that is given up hands on the losses that it would have reported. */
  const drop = (reason: string, event = '{}') => {
    count({ [reason]: 1 });
    count(JSON.parse(event).d);
    tell(reason);
  };
  /** Makes room first; never of an event that was sent, for nobody knows here whether it is counted already. */
  const save = (): unknown => {
    const text = JSON.stringify([queue, drops]);
    if (text[store_chars_max] && queue[sent]) {
      drop('full', queue.splice(sent, 1)[0]);
      return save();
    }
    try {
      if (granted()) storage[text[7] ? 'setItem' : 'removeItem'](key, text); // [[],{}] is nothing
    } catch {} // full, or disabled: the queue lives as long as the page
    return changed();
  };
  /** What one request carries. A loss is reported by one event, for good: the event counts once, and so does its report. */
  const take = (from = sent) => {
    let chars = 0;
    const fitting = queue.slice(from, from + batch_events_max).filter(({ length }) => {
      chars += length;
      return chars <= batch_chars_max || chars === length;
    });
    const end = from + fitting.length;
    if (sent < end) {
      const d = JSON.stringify(drops);
      if (d[2]) queue[sent] = `${queue[sent]?.slice(0, -1)},"d":${d}}`;
      drops = {};
      sent = end;
    }
    save();
    return queue.slice(from, end);
  };
  /** Lets go of events that were sent. */
  const settle = (gone: string[]) => {
    const kept = queue.filter((event) => !gone.includes(event));
    sent -= queue.length - kept.length;
    queue.splice(0, queue.length, ...kept);
    save();
  };
  const keys = () => Object.keys(storage).filter((each) => each.startsWith(prefix));
  /** Takes a key, and its lock for as long as the page lives. */
  const own = (load: string) => {
    key ||= prefix + load; // a page that comes back from the cache finds its own again
    const held = () => new Promise((end) => addEventListener('pagehide', end));
    navigator.locks?.request(key, held).catch(() => {});
  };
  /** Takes over what tabs left that are gone, not beyond what a request carries, so that no bound is met. */
  const adopt = async () => {
    for (const each of keys()) {
      if (!granted() || queue[batch_events_max]) break;
      await navigator.locks
        .request(each, { ifAvailable: true }, async (lock) => {
          await (lock && new Promise((end) => setTimeout(end, adopt_ms)));
          const text = lock && granted() && storage.getItem(each);
          const [events, counts]: [string[], Drops] = JSON.parse(text as string);
          storage.removeItem(each);
          queue.unshift(...events);
          sent += events.length;
          count(counts);
          save();
        })
        .catch(() => {}); // taken by another tab, or nothing that a tracker wrote
    }
  };
  const wipe = () => {
    keys().map((each) => storage.removeItem(each));
    sent = queue.length = 0;
    drops = {};
  };
  return [queue, drop, save, take, settle, adopt, own, wipe] as const;
}
