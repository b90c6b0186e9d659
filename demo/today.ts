// What arrives today, through POST /api/sync: browsers and servers, with retries, conflicts, events that are none, and losses.
import type { JsonObject } from '../shared/event.ts';
import { type Random, random } from './random.ts';
import type { Site } from './sites.ts';
import type { Demo } from './stack.ts';
import { visit } from './traffic.ts';

const batch_events = 50;
/** How many pages of a browser are in one of its batches. */
const loads = 5;
const stale_ms = 70 * 24 * 3_600_000;

export interface Sent {
  requests: number;
  events: number;
  outcomes: Record<string, number>;
}

/** Requests of one site follow one another, for its retries come after what they repeat; sites send at once. */
export async function sendToday(demo: Demo, sites: Site[]): Promise<Sent> {
  const sent: Sent = { requests: 0, events: 0, outcomes: {} };
  await Promise.all(
    sites.map(async (site) => {
      for (const { events, ...envelope } of requestsOf(site)) {
        // The first site is a browser's: its tracker sends the compact form.
        const body = site.seed === 1 ? { s: site.public_id, ...envelope, e: events } : { events };
        const answer = await demo.sync(site.origin, body);
        const results = answer.body.results as { status: string }[] | undefined;
        if (!results && answer.status !== 429)
          throw new Error(`POST /api/sync answered ${answer.status}: ${answer.body.error}`);
        sent.requests += 1;
        sent.events += events.length;
        for (const { status } of results ?? []) sent.outcomes[status] = (sent.outcomes[status] ?? 0) + 1;
      }
    }),
  );
  return sent;
}

interface Request {
  events: JsonObject[];
  sdk?: string;
  r?: number;
  st?: number;
}

function requestsOf(site: Site): Request[] {
  const source = random(site.seed * 77);
  const requests: Request[] = [];
  for (let n = 0; n < site.today; n += batch_events) {
    const size = Math.min(batch_events, site.today - n);
    const events = Array.from({ length: size }, (_, k) => ({
      ...(site.seed !== 1 && { s: site.public_id }),
      ...visit(source, site.origin, `today-${n + k + 1}`, new Date()),
    }));
    requests.push(site.seed === 1 ? numbered(source, events) : { events });
    if (n === batch_events) requests.push(spoiled(site, events));
  }
  const again = requests[0]; // an answer was lost on its way: everything comes again
  if (again) requests.push({ ...again, r: 1 });
  return requests;
}

/** As the tracker numbers the events of a page; a number is missing where one was lost. */
function numbered(source: Random, events: JsonObject[]): Request {
  const size = Math.ceil(events.length / loads);
  const pages = Array.from({ length: loads }, () => loadId(source));
  const lost = source.below(10) < 3 ? source.below(events.length) : events.length;
  const told = events.map((event, n) => ({
    ...{ ...event, p: pages[Math.floor(n / size)] ?? '', n: (n % size) + 1 + Number(n >= lost) },
    ...(n === events.length - 1 && source.below(9) === 0 && { d: { full: 1 } }),
  }));
  const late_ms = source.below(12) === 0 ? 5 * 60_000 : 0; // a clock that is wrong
  return { events: told, sdk: 'browser/0.1.0', r: 0, st: Date.now() - late_ms };
}

/** What goes wrong in the world: ids that come again with another payload, and events that are none. */
function spoiled({ seed, public_id, origin }: Site, events: JsonObject[]): Request {
  const conflicts = events.slice(0, 3).map((event) => ({ ...event, el: 'changed on the way' }));
  const own = seed === 1 ? {} : { s: public_id };
  const invalid = [
    { ...own, i: 'no-address', ec: 'page' },
    { ...own, i: 'too-old', url: `${origin}/`, t: Date.now() - stale_ms },
    { ...own, i: ' ', url: `${origin}/` },
  ];
  return {
    events: [...conflicts, ...events.slice(3, 8), ...invalid],
    sdk: 'browser/0.1.0',
    r: 1,
    st: Date.now(),
  };
}

/** A UUIDv7: the tracker's name of a page load carries its time. */
function loadId(source: Random): string {
  const time = Date.now().toString(16).padStart(12, '0');
  const rest = source.uuid().slice(15);
  return `${time.slice(0, 8)}-${time.slice(8)}-7${rest}`;
}
