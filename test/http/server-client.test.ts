// The server client against the running stack: each event is settled with the kernel's own answer, and counts once whatever fails.
import { beforeAll, expect, test } from 'vitest';
import { type ClientOptions, createClient, type Outcome } from '../../tracker/server.ts';
import { random } from '../support/random.ts';
import { sharedStack } from '../support/shared-stack.ts';
import type { TestStack } from '../support/stack.ts';

const many = Number(process.env.EVENTS ?? (process.env.PROOF ? 100_000 : 5_000));
const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);

let stack: TestStack;
beforeAll(async () => {
  stack = await sharedStack();
});

async function open(more: Partial<ClientOptions> = {}, limit = 1_000_000) {
  const { id, public_id: site, api_key: key = '' } = await stack.site({ api_key: true, limit });
  const client = createClient({ site, key, url: `${stack.url}/api/sync`, wait_ms: 20, ...more });
  const ledger = async () => {
    const { rows } = await stack.database.query(
      `select count(*) filter (where billable)::int billable, count(*)::int "rows" from ingest_idempotency where site_id = $1`,
      [id],
    );
    return rows[0];
  };
  const health = async () => (await stack.admin('GET', `/sites/${site}/tracker`)).body;
  return { client, site, key, ledger, health };
}

/** A network that fails for a share of the requests: before the kernel, after it, or with an answer of something in between. */
function unreliable(share: number): typeof fetch {
  const source = random(seed);
  return async (input, init) => {
    if (source.below(1_000) >= share * 1_000) return fetch(input, init);
    const kind = source.below(4);
    if (kind === 0) throw new TypeError('connection refused');
    if (kind === 1) return new Response('Bad Gateway', { status: 502, headers: { 'retry-after': '0' } });
    if (kind === 2) return new Response('{}', { status: 429, headers: { 'retry-after': '1' } });
    await (await fetch(input, init)).arrayBuffer();
    throw new TypeError('connection reset');
  };
}

const words = (outcomes: Outcome[]) =>
  outcomes.reduce<Record<string, number>>((sum, { status }) => {
    sum[status] = (sum[status] ?? 0) + 1;
    return sum;
  }, {});

test(`${many} events with 5 % of the requests failing count once each (SEED=${seed})`, async () => {
  const share = Math.max(0.05, 2 / (many / 100));
  const { client, ledger, health } = await open({
    ...{ fetch: unreliable(share), batch_events: 100, queue_events_max: 2_000, give_up_ms: 600_000 },
  });
  const settled: Promise<Outcome>[] = [];
  for (let n = 0; n < many; n++) {
    await client.room();
    settled.push(client.track('job', 'done', { value: n }));
  }
  await client.flush();
  const told = words(await Promise.all(settled));
  expect((told.queued ?? 0) + (told.duplicate ?? 0)).toBe(many);
  expect(await ledger()).toEqual({ billable: many, rows: many });
  const { loss, sdks } = await health();
  expect(loss).toMatchObject({ numbered: String(many), missing: '0', reported: {} });
  expect(sdks).toMatchObject([{ sdk: 'node/0.1.0' }]);
}, 600_000);

test('flush means flushed: what was tracked before it is in the ledger when it resolves', async () => {
  const { client, ledger } = await open({ wait_ms: 60_000 });
  const outcomes = Array.from({ length: 7 }, (_, n) => client.track('job', 'done', { label: `${n}` }));
  await client.flush();
  expect((await ledger()).billable).toBe(7);
  const [first] = await Promise.all(outcomes);
  expect(first).toMatchObject({ status: 'queued', ingest_id: expect.stringMatching(/^[0-9a-f-]{36}$/) });
  await client.flush();
});

test('each event gets its own answer: taken, known, refused by the quota, invalid, too large', async () => {
  const { client, health } = await open({}, 2);
  const all = await Promise.all([
    client.track('job', 'done', { id: 'a' }),
    client.track('job', 'done', { id: 'b' }),
    client.track('job', 'done', { id: 'c' }),
    client.track('job', 'done', { id: 'x'.repeat(129) }),
    client.track('job', 'done', { id: 'd', meta: { text: 'x'.repeat(40_000) } }),
    client.track('job', 'done', { id: 'e', meta: { big: 1n } }),
  ]);
  expect(all).toMatchObject([
    { id: 'a', status: 'queued' },
    { id: 'b', status: 'queued' },
    { id: 'c', status: 'rejected_quota', retry_after: expect.any(Number) },
    { status: 'invalid', code: 'event_id_invalid' },
    { id: 'd', status: 'invalid', code: 'event_invalid' },
    { id: 'e', status: 'invalid', code: 'event_invalid' },
  ]);
  expect((await client.track('job', 'other', { id: 'a' })).status).toBe('conflict');
  await stack.admin('PUT', `/sites/${(await health()).public_id}/plan`, { monthly_limit: '10' });
  expect((await client.track('job', 'done')).status).toBe('queued'); // carries what was lost
  expect((await health()).loss.reported).toEqual({ refused: '2', invalid: '2', quota: '1' });
});

test('the same id from another process is a duplicate', async () => {
  const { client, site, key } = await open();
  expect((await client.track('order', 'paid', { id: 'order-7', value: '9.90' })).status).toBe('queued');
  const other = createClient({ site, key, url: `${stack.url}/api/sync`, wait_ms: 1 });
  const again = await other.track('order', 'paid', { id: 'order-7', value: '9.90' });
  expect(again.status).toBe('duplicate');
});

test('no more requests are under way than were allowed, and none is larger', async () => {
  let now = 0;
  let most = 0;
  const sizes: number[] = [];
  const counting: typeof fetch = async (input, init) => {
    most = Math.max(most, ++now);
    sizes.push(JSON.parse(String(init?.body)).e.length);
    return fetch(input, init).finally(() => now--);
  };
  const { client, ledger } = await open({ fetch: counting, concurrency: 2, batch_events: 1_000 });
  const outcomes = Array.from({ length: 1_700 }, () => client.track('job', 'done'));
  await client.flush();
  expect(words(await Promise.all(outcomes))).toEqual({ queued: 1_700 });
  expect(most).toBe(2);
  expect(Math.max(...sizes)).toBeLessThanOrEqual(500);
  expect((await ledger()).billable).toBe(1_700);
});

test('a full queue makes its caller wait; who does not is told so, and the kernel hears of it', async () => {
  const { client, ledger, health } = await open({ queue_events_max: 10 });
  const outcomes = Array.from({ length: 25 }, () => client.track('job', 'done'));
  let roomy = false;
  const room = client.room().then(() => {
    roomy = true;
  });
  await Promise.resolve();
  expect(roomy).toBe(false);
  expect(words(await Promise.all(outcomes))).toEqual({ queued: 20, dropped: 5 });
  await room;
  await client.track('job', 'done');
  expect((await ledger()).billable).toBe(21);
  expect((await health()).loss).toMatchObject({ missing: '5', reported: { full: '5' }, lost: '5' });
});

test('without an answer an event is unknown, not lost: sent again with its id it counts once', async () => {
  let lost = 0;
  const silent: typeof fetch = async (input, init) => {
    await (await fetch(input, init)).arrayBuffer();
    lost++;
    throw new TypeError('connection reset');
  };
  const { client, site, key, ledger } = await open({ fetch: silent, give_up_ms: 300 });
  expect(await client.track('job', 'done', { id: 'one' })).toEqual({ id: 'one', status: 'unknown' });
  expect(lost).toBeGreaterThan(0);
  const other = createClient({ site, key, url: `${stack.url}/api/sync`, wait_ms: 1 });
  expect((await other.track('job', 'done', { id: 'one' })).status).toBe('duplicate');
  expect((await ledger()).rows).toBe(1);
});

test('a key that is none is an answer and no reason to try again, and a stopped client sends nothing', async () => {
  const { client, ledger } = await open({ key: 'rk_none' });
  expect(await client.track('job', 'done')).toMatchObject({ status: 'refused', code: 'http_403' });
  await client.stop();
  expect(await client.track('job', 'done')).toMatchObject({ status: 'dropped', code: 'stopped' });
  expect((await ledger()).rows).toBe(0);
});
