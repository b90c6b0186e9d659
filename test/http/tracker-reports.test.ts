// What trackers say of their own work: counted with the events that it came with, shown by month, and never believed too far.
import { beforeAll, expect, test } from 'vitest';
import { sharedStack } from '../support/shared-stack.ts';
import type { TestStack } from '../support/stack.ts';

const hour_ms = 3_600_000;
const origin = 'https://example.com';

let stack: TestStack;
beforeAll(async () => {
  stack = await sharedStack();
});

/** A page load that begins now, or then. */
function load(at_ms = Date.now()): string {
  const time = at_ms.toString(16).padStart(12, '0');
  const random = crypto.randomUUID().slice(15);
  return `${time.slice(0, 8)}-${time.slice(8)}-7${random}`;
}

const numbered = (p: string, ...numbers: unknown[]) =>
  numbers.map((n) => ({ i: `${p}-${n}`, t: Date.now(), p, n, u: `${origin}/`, ec: 'page', ea: 'view' }));
const body = (s: string, e: object[], more: object = {}) => ({
  ...{ s, v: 1, sdk: 'browser/0.1.0', st: Date.now(), r: 0, e },
  ...more,
});
const health = async (site: string) => (await stack.admin('GET', `/sites/${site}/tracker`)).body;

test('a gap in the numbers of a page load is a measured loss, and what the tracker says it dropped explains it', async () => {
  const { public_id: s } = await stack.site();
  const [a, b] = [load(), load()];
  const [first, ...others] = numbered(a, 1, 2, 5, 6);
  await stack.sync(body(s, [{ ...first, d: { full: 2 } }, ...others]));
  await stack.sync(body(s, numbered(b, 3)));
  const { loss } = await health(s);
  expect(loss).toEqual({
    ...{ numbered: '9', arrived: '5', missing: '4', lost: '4', rate: '0.444444' },
    reported: { full: '2' },
  });
  await stack.delivered();
  expect((await health(s)).loss).toEqual(loss);
});

test('what a page load dropped last leaves no gap, and is a loss by its report', async () => {
  const { public_id: s } = await stack.site();
  await stack.sync(body(s, numbered(load(), 1)));
  const [event] = numbered(load(), 1);
  await stack.sync(body(s, [{ ...event, d: { full: 2, refused: 4 } }]));
  expect((await health(s)).loss).toMatchObject({ missing: '0', lost: '6', rate: '0.75' });
});

test('a report that comes again with its event is counted once, and the retry as a retry', async () => {
  const { public_id: s } = await stack.site();
  const [event] = numbered(load(), 4);
  const sent = body(s, [{ ...event, d: { full: 3 } }]);
  expect((await stack.sync(sent)).body.status).toBe('queued');
  for (const r of [1, 2]) expect((await stack.sync({ ...sent, r, st: 1 })).body.status).toBe('duplicate');
  const { loss, requests } = await health(s);
  expect(loss).toMatchObject({ numbered: '4', missing: '3', lost: '3', reported: { full: '3' } });
  expect(requests).toEqual({ batches: '3', retried: '2', retry_rate: '0.666667' });
});

test('a clock two hours off is counted, noted with the event, and leaves its own time as it was', async () => {
  const { id, public_id: s } = await stack.site();
  for (const off_ms of [0, 2 * hour_ms, -2 * hour_ms, 600_000]) {
    const now = Date.now() + off_ms;
    const [event] = numbered(load(now), 1);
    await stack.sync(body(s, [{ ...event, t: now }], { st: now }));
  }
  expect((await health(s)).clocks).toEqual({ within_a_minute: '1', minutes_off: '1', hours_off: '2' });
  await stack.delivered();
  const { rows } = await stack.database.query(
    `select round((payload ->> 'skew_ms')::numeric / 600000)::int skew, round(((payload ->> 't')::numeric - extract(epoch from received_at) * 1000) / 600000)::int t
       from events where site_id = $1 order by id`,
    [id],
  );
  expect(rows).toEqual([
    { skew: null, t: 0 },
    { skew: -12, t: 12 },
    { skew: 12, t: -12 },
    { skew: -1, t: 1 },
  ]);
});

test('an event of this minute is taken from a clock that is years behind, and an old one is not', async () => {
  const { public_id: s } = await stack.site();
  const year_ms = 365 * 24 * hour_ms;
  const [event] = numbered(load(), 1);
  const then = Date.now() - 10 * year_ms;
  expect((await stack.sync(body(s, [{ ...event, t: then }], { st: then + 5_000 }))).status).toBe(200);
  expect((await stack.sync(body(s, [{ ...event, t: then }]))).body.code).toBe('event_too_old');
});

test('a retry after the clock was set is a duplicate, for how far it was off is no part of the event', async () => {
  const { public_id: s } = await stack.site();
  const e = numbered(load(), 1);
  expect((await stack.sync(body(s, e, { st: Date.now() - hour_ms }))).body.status).toBe('queued');
  expect((await stack.sync(body(s, e, { r: 1 }))).body.status).toBe('duplicate');
});

test('versions have a row each, 16 a day, and what is no version none', async () => {
  const { public_id: s } = await stack.site();
  const from = (sdk: unknown, n: number) => stack.sync(body(s, numbered(load(), n), { sdk }));
  for (let n = 0; n < 18; n++) expect((await from(`browser/1.${n}.0`, 1)).status).toBe(200);
  for (const sdk of ['x', 5, null, `browser/1.0.0'; --`, 'other', {}]) {
    expect((await from(sdk, 1)).status).toBe(200);
  }
  const { sdks, requests } = await health(s);
  expect(requests.batches).toBe('18');
  expect(sdks).toHaveLength(17);
  expect(sdks[0]).toEqual({ sdk: 'other', batches: '2' });
});

test('numbers, drops and page loads that are none are passed over', async () => {
  const { public_id: s } = await stack.site();
  const p = load();
  const odd = [-1, 0, 1.5, 1e10, '7', null, [], {}].map((n, at) => ({
    ...numbered(p, n)[0],
    i: `odd-${at}`,
  }));
  const drops = [{ full: 'x' }, { full: -1 }, { 'no reason!': 1 }, { full: 1e9 }, [1], 'x', 5].map(
    (d, at) => ({
      ...{ ...numbered(p, 1)[0], i: `drop-${at}`, d },
    }),
  );
  const strange = ['x', 5, null, {}].map((other, at) => ({ ...numbered(p, 2)[0], i: `p-${at}`, p: other }));
  const { body: answer } = await stack.sync(body(s, [...odd, ...drops, ...strange], { st: 'x', r: {} }));
  expect(answer.status).toBe('queued');
  expect((await health(s)).loss).toMatchObject({ numbered: '1', missing: '0', reported: {} });
});

test('a page that was open when the month began has lost nothing before it, and an erased event is not lost', async () => {
  const { id, public_id: s } = await stack.site();
  const old = load(Date.now() - 40 * 24 * hour_ms);
  await stack.sync(body(s, numbered(old, 1_000, 1_001, 1_003)));
  expect((await health(s)).loss).toMatchObject({ numbered: '4', missing: '1' });
  const { body: sent } = await stack.sync(body(s, numbered(load(), 1, 2)));
  await stack.delivered();
  await stack.database.query(
    `select erase_site_payloads($1, jsonb_build_object('ingest_id', $2::text), 1, 'test')`,
    [id, sent.ingest_id],
  );
  expect((await health(s)).loss.missing).toBe('1');
});

test('a body without a tracker is counted as none, and its site has no report', async () => {
  const { public_id: s } = await stack.site();
  await stack.sync({ s, url: `${origin}/`, i: 'a' });
  await stack.sync({ s, v: 1, e: [{ i: 'b', u: `${origin}/` }] });
  expect(await health(s)).toMatchObject({ requests: { batches: '0' }, loss: { numbered: '0', rate: '0' } });
});
