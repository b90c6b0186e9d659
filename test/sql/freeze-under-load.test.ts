// Guarantee 7 at the edge of a month: writers and freezers run while the ledger's clock crosses it, and each event is in exactly one month.
import type pg from 'pg';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { KernelError } from '../../shared/errors.ts';
import { type FrozenSite, freezeMonth } from '../../shared/invoice.ts';
import type { Database } from '../../shared/ports.ts';
import { type MountedDataApi, mountDataApi } from '../support/data-api.ts';
import { ingest, openDatabase, type TestDatabase, v3 } from '../support/database.ts';
import { overlappingBatches, random } from '../support/random.ts';

const seeds = Number(process.env.SEEDS ?? 3);
const first_seed = Number(process.env.FIRST_SEED ?? 1);
const clients = 8;
const freezers = 3;
/** Keys of a site; its plan holds fewer, so that a month's rows are accepted, overage and refused. */
const keys = 600;
const plan_limit = 200n;
const plan = { soft: true, multiplier: '1.5' };

let database: TestDatabase;
let api: MountedDataApi;
let kernel: Database;
beforeAll(async () => {
  database = await openDatabase();
  await moveClock(database.superuser);
  api = await mountDataApi(Number(new URL(inject('superuserUrl')).port), inject('masterPassword'));
  kernel = api.database(new URL(database.url).pathname.slice(1));
});
afterAll(async () => {
  await api?.close();
  await database.close();
});

test(
  `with ${seeds} seeds, ${clients} writers and ${freezers} freezers at a month's end leave every event in exactly one month, and what was frozen stays`,
  async () => {
    const connections = await Promise.all(Array.from({ length: clients }, () => database.connect()));
    let crossed = 0;
    for (let seed = first_seed; seed < first_seed + seeds; seed++) {
      const run = await cross(seed, connections);
      for (const site of run.sites) {
        const { frozen, ledger, usage, verified } = await booksOf(site, run.month);
        expect({ seed, frozen }).toEqual({ seed, frozen: ledger.frozen });
        expect({ seed, usage }).toEqual({ seed, usage: ledger });
        expect({ seed, verified }).toMatchObject({ seed, verified: { hash_ok: true, ledger_ok: true } });
        expect({ seed, billed: ledger.frozen.events + ledger.open.events }).toEqual({
          seed,
          billed: run.admitted.get(site),
        });
        const freezes = run.freezes.filter(({ site_id }) => site_id === site);
        expect({ seed, inserted: freezes.filter(({ inserted }) => inserted).length }).toEqual({
          seed,
          inserted: 1,
        });
        expect(new Set(freezes.map(({ event_count }) => event_count))).toEqual(
          new Set([String(frozen.events)]),
        );
        if (frozen.events > 0n && ledger.open.events > 0n) crossed += 1;
      }
      expect({ seed, failed: run.freezes.filter(({ ok }) => !ok) }).toEqual({ seed, failed: [] });
    }
    expect(crossed).toBeGreaterThan(seeds); // of three sites a seed: the edge was in the middle of the work
  },
  30_000 + seeds * 20_000,
);

test('a clock that goes back over a freeze puts the event in the month after the frozen one', async () => {
  const month = await aim(1_800_000_000n);
  const site = await database.site(10n);
  await ingest(database.superuser, site, [v3('before')]);
  await shift(3_600_000_000n);
  await freezeMonth(kernel, month, 'commit', 'test', Date.now() + 60_000);
  await shift(-7_200_000_000n);
  expect((await ingest(database.superuser, site, [v3('after')])).month > month).toBe(true);
  expect(await booksOf(site, month)).toMatchObject({
    frozen: { events: 1n },
    ledger: { frozen: { events: 1n }, open: { events: 1n } },
    usage: { frozen: { events: 1n }, open: { events: 1n } },
  });
});

interface Run {
  month: string;
  sites: string[];
  admitted: Map<string, bigint>;
  freezes: FrozenSite[];
}

/** Writers take batches, freezers freeze from before the edge until the last batch is in; the edge comes in the middle of the work. */
async function cross(seed: number, connections: pg.Client[]): Promise<Run> {
  const source = random(seed);
  const month = await aim(60_000_000n);
  const sites: string[] = [];
  for (let n = 0; n < 3; n++) sites.push(await database.site(plan_limit, plan));
  const events = Array.from({ length: keys }, (_, i) => v3(`${seed}-${i}`));
  const work = source.shuffle(
    sites.flatMap((site) => overlappingBatches(events, 0.3, 12, source).map((batch) => ({ site, batch }))),
  );
  const admitted = new Map(sites.map((site) => [site, 0n]));
  const edge = Math.floor(work.length * (0.3 + source.below(40) / 100));
  const write = async (client: pg.Client) => {
    for (let item = work.pop(); item; item = work.pop()) {
      const last_of_month = work.length === edge;
      if (last_of_month) await jumpTo(month, BigInt(source.below(30_000)));
      const pause_ms = last_of_month || source.below(30) === 0 ? 50 + source.below(100) : 0;
      const told = await slowly(client, pause_ms, () => ingest(client, item.site, item.batch));
      admitted.set(item.site, (admitted.get(item.site) ?? 0n) + BigInt(told.admitted));
    }
  };
  let writing = true;
  const writers = Promise.all(connections.map(write)).finally(() => {
    writing = false;
  });
  const freezing = Array.from({ length: freezers }, () => freezeUntil(month, sites, () => !writing));
  const [freezes] = await Promise.all([Promise.all(freezing), writers]);
  return { month, sites, admitted, freezes: freezes.flat() };
}

/** A commit comes when it comes: a freeze that did not wait for one that crosses the edge would miss it. */
async function slowly<T>(client: pg.Client, pause_ms: number, write: () => Promise<T>): Promise<T> {
  if (pause_ms === 0) return write();
  await client.query('begin');
  const result = await write();
  await new Promise((resolve) => setTimeout(resolve, pause_ms));
  await client.query('commit');
  return result;
}

/** Freezes the month again and again, first refused because it is open, then as the job does, then each site once more. */
async function freezeUntil(month: string, sites: string[], done: () => boolean): Promise<FrozenSite[]> {
  const frozen: FrozenSite[] = [];
  for (let last = false; ; last = done()) {
    try {
      const { results } = await freezeMonth(kernel, month, 'commit', 'test', Date.now() + 60_000);
      frozen.push(...results);
      for (const site of sites) frozen.push(await again(site, month));
    } catch (error) {
      if (!(error instanceof KernelError && error.code === 'month_open')) throw error;
    }
    if (last) return frozen;
  }
}

/** A freeze of a site that is frozen already, for the job itself would leave it out. */
async function again(site: string, month: string): Promise<FrozenSite> {
  await kernel.query('select freeze_barrier(:site::uuid, :month) drained', { site, month });
  const [row] = await kernel.query<{ frozen: string }>(
    `select freeze_invoice(:site::uuid, :month, 'another commit', 'test')::text frozen`,
    { site, month },
  );
  return { site_id: site, ok: true, ...JSON.parse(row?.frozen ?? '{}') };
}

interface Count {
  events: bigint;
  overage: bigint;
}
interface Books {
  frozen: Count;
  ledger: { frozen: Count; open: Count };
  usage: { frozen: Count; open: Count };
  verified: { hash_ok: boolean; ledger_ok: boolean };
}

async function booksOf(site: string, month: string): Promise<Books> {
  const count = async (sql: string) => {
    const { rows } = await database.superuser.query(sql, [site, month]);
    return { events: BigInt(rows[0].events), overage: BigInt(rows[0].overage) };
  };
  const ledger = (which: string) =>
    count(`select count(*) events, count(*) filter (where billing_state = 'OVERAGE') overage
             from ingest_idempotency where site_id = $1 and billable and year_month ${which} $2`);
  const usage = (which: string) =>
    count(`select coalesce(sum(event_count), 0) events, coalesce(sum(overage_count), 0) overage
             from site_usage_monthly where site_id = $1 and year_month ${which} $2`);
  const { rows } = await database.superuser.query('select verify_invoice($1, $2) value', [site, month]);
  return {
    frozen: await count(
      'select event_count events, overage_count overage from invoice_snapshot where site_id = $1 and year_month = $2',
    ),
    ledger: { frozen: await ledger('='), open: await ledger('<>') },
    usage: { frozen: await usage('='), open: await usage('<>') },
    verified: rows[0].value,
  };
}

/** From here on every function reads the server's clock plus an offset that all connections see at once; nothing else of it changes. */
async function moveClock(superuser: pg.Client): Promise<void> {
  await superuser.query(`
    create sequence test_clock_offset_us minvalue -9000000000000000 start 0;
    create function test_clock() returns timestamptz language sql volatile security definer
    return clock_timestamp() + (select last_value from test_clock_offset_us) * interval '1 microsecond';
    grant execute on function test_clock() to public;`);
  const { rows } = await superuser.query<{ definition: string }>(
    `select pg_get_functiondef(p.oid) definition from pg_proc p
      where p.pronamespace = 'public'::regnamespace and p.proname <> 'test_clock' and p.prosrc || coalesce(pg_get_function_sqlbody(p.oid), '') ~ 'clock_timestamp\\(\\)'`,
  );
  expect(rows.length).toBeGreaterThan(5);
  for (const { definition } of rows)
    await superuser.query(definition.replaceAll('clock_timestamp()', 'public.test_clock()'));
}

let months = 0;

/** Puts the clock to so long before the end of a month that no seed has seen; returns the month. */
async function aim(before_us: bigint): Promise<string> {
  months += 1;
  const { rows } = await database.superuser.query<{ month: string }>(
    `select utc_year_month((date_trunc('month', now() at time zone 'UTC') + make_interval(months => $1)) at time zone 'UTC') as month`,
    [months],
  );
  const month = rows[0]?.month ?? '';
  await jumpTo(month, before_us);
  return month;
}

/** Moves the clock forward to so long before the month's end. */
async function jumpTo(month: string, before_us: bigint): Promise<void> {
  await database.superuser.query(
    `select setval('test_clock_offset_us', (extract(epoch from month_start($1) + interval '1 month' - clock_timestamp()) * 1000000)::bigint - $2::bigint)`,
    [month, before_us],
  );
}

async function shift(by_us: bigint): Promise<void> {
  await database.superuser.query(
    `select setval('test_clock_offset_us', (select last_value from test_clock_offset_us) + $1::bigint)`,
    [by_us],
  );
}
