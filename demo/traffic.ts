// What visitors of a site do: events with a daily and a weekly rhythm, the same for the same seed.
import type { JsonObject } from '../shared/event.ts';
import type { Random } from './random.ts';

const hour_ms = 3_600_000;
/** The fewer events a site has, the longer it collects what it sends at once. */
const slot_hours_max = 3;
const batch_events_usual = 8;
const batch_events_max = 500;
/** Share of the busiest hour, in percent, for each hour of the day in UTC. */
const hours = [18, 12, 9, 8, 9, 14, 26, 44, 66, 82, 90, 94, 88, 90, 96, 100, 97, 92, 88, 86, 78, 62, 44, 28];
/** From Sunday on. */
const weekdays = [58, 92, 96, 100, 98, 94, 66];
const jitter_percent = 60;
const pages = [
  '/',
  '/',
  '/products',
  '/products/kettle',
  '/products/grinder',
  '/cart',
  '/blog/water',
  '/help/returns',
];
const referrers = ['https://www.google.com/', 'https://duckduckgo.com/', 'https://news.example.net/'];
/** Of a hundred events. */
const kinds: [upto: number, ec: string, ea: string, el?: string][] = [
  [62, 'page', 'view'],
  [80, 'click', 'click', 'add to cart'],
  [90, 'interaction', 'view', 'gallery'],
  [96, 'interaction', 'scroll_depth', '75'],
  [99, 'conversion', 'purchase', 'order'],
  [100, 'system', 'heartbeat'],
];

/** Events that reached the kernel in one request. */
export interface Batch {
  at: Date;
  events: JsonObject[];
}

/** One event, as a tracker or a server sends it a moment later. */
export function visit(source: Random, origin: string, id: string, at: Date): JsonObject {
  const dice = source.below(100);
  const [, ec, ea, el] = kinds.find(([upto]) => dice < upto) as (typeof kinds)[0];
  return {
    ...{ i: id, url: `${origin}${source.pick(pages)}`, ec, ea, ...(el && { el }) },
    ...{ sid: `s${source.below(9_000)}`, t: at.getTime() - 200 - source.below(40_000) },
    ...(source.below(3) === 0 && { r: source.pick(referrers) }),
  };
}

/** Exactly so many events between two instants, in batches at the most one slot apart, in order of time. */
export function* history(
  source: Random,
  origin: string,
  prefix: string,
  from: Date,
  to: Date,
  count: number,
): Generator<Batch> {
  const slots = slotsOf(source, from.getTime(), to.getTime(), count);
  const total = slots.reduce((sum, { weight }) => sum + weight, 0);
  let [passed, sent] = [0, 0];
  for (const { begins, ends, weight } of slots) {
    passed += weight;
    const upto = Math.round((count * passed) / total);
    const at = new Date(begins + source.below(Math.max(1, ends - begins)));
    while (sent < upto) {
      const size = Math.min(upto - sent, batch_events_max);
      const events = Array.from({ length: size }, (_, n) =>
        visit(source, origin, `${prefix}-${sent + n + 1}`, at),
      );
      sent += size;
      yield { at, events };
    }
  }
}

function slotsOf(source: Random, from_ms: number, to_ms: number, count: number) {
  const hours_a_batch = Math.round((batch_events_usual * (to_ms - from_ms)) / hour_ms / Math.max(1, count));
  const slot_ms = Math.min(Math.max(hours_a_batch, 1), slot_hours_max) * hour_ms;
  const slots: { begins: number; ends: number; weight: number }[] = [];
  for (let begins = from_ms; begins < to_ms || slots.length === 0; begins += slot_ms) {
    const at = new Date(begins);
    const ends = Math.min(begins + slot_ms, to_ms);
    const busy = (hours[at.getUTCHours()] ?? 1) * (weekdays[at.getUTCDay()] ?? 1);
    const weight =
      (busy * (100 - jitter_percent / 2 + source.below(jitter_percent)) * (ends - begins)) / slot_ms;
    slots.push({ begins, ends, weight: Math.max(weight, 1) });
  }
  return slots;
}
