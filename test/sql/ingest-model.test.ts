// Random histories of a site: after every step ingest() has told, written and counted what a small model of the ledger says.
import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openDatabase, type TestDatabase } from '../support/database.ts';
import { type DrawnEvent, kinds, LedgerModel, wire } from '../support/ledger-model.ts';

const runs = Number(process.env.RUNS ?? process.env.SEEDS ?? 60);
const timeout_ms = 60_000 + runs * 200;

let database: TestDatabase;
let thisMonth: string;
beforeAll(async () => {
  database = await openDatabase();
  thisMonth = (await database.superuser.query('select utc_year_month(clock_timestamp()) "month"')).rows[0]
    .month;
});
afterAll(() => database.close());

type Step =
  | { do: 'ingest'; events: DrawnEvent[]; young: boolean }
  | { do: 'plan'; limit: number; soft: boolean; multiplier: number; policy: 'all' | 'by_kind' }
  | { do: 'enforce'; on: boolean }
  | { do: 'plant and freeze'; age: number; events: { event: DrawnEvent; rejected: boolean }[] }
  | { do: 'deliver'; share: number }
  | { do: 'recover' };

const content = fc.constantFrom(...(Object.keys(kinds) as (keyof typeof kinds)[]));
const id = fc.integer({ min: 0, max: 11 }).map((n) => `id-${n}`);
/** Mostly one content for each id, so that duplicates, conflicts and fresh events are all frequent. */
const withId = fc
  .tuple(id, content, fc.boolean())
  .map(([name, other, changed]) => ({ id: name, content: changed ? other : ('other' as const) }));
/** A request is keyed at one time, so its events without an id share a bucket. */
const request = (max: number) =>
  fc
    .tuple(
      fc.array(fc.oneof({ weight: 3, arbitrary: withId }, fc.record({ content })), {
        minLength: 1,
        maxLength: max,
        size: 'max',
      }),
      fc.integer({ min: 1, max: 4 }),
    )
    .map(([events, bucket]) => events.map((event): DrawnEvent => ({ bucket, ...event })));
const ingestStep = fc.record({
  do: fc.constant('ingest' as const),
  events: fc.oneof(request(30), request(3), request(1)),
  young: fc.boolean(),
});
const planStep = fc.record({
  do: fc.constant('plan' as const),
  limit: fc.integer({ min: 0, max: 14 }),
  soft: fc.boolean(),
  multiplier: fc.constantFrom(1_000, 1_250, 1_333, 1_999, 2_000, 3_500),
  policy: fc.constantFrom('all' as const, 'by_kind' as const),
});
const planted = fc.oneof(
  withId,
  fc.tuple(content, fc.integer({ min: 1, max: 4 })).map(([one, bucket]) => ({ content: one, bucket })),
);
const plantStep = fc.record({
  do: fc.constant('plant and freeze' as const),
  age: fc.integer({ min: 1, max: 3 }),
  events: fc.array(fc.record({ event: planted, rejected: fc.boolean() }), {
    minLength: 1,
    maxLength: 8,
    size: 'max',
  }),
});
const otherStep = fc.oneof(
  fc.record({ do: fc.constant('enforce' as const), on: fc.boolean() }),
  plantStep,
  fc.record({ do: fc.constant('deliver' as const), share: fc.integer({ min: 1, max: 3 }) }),
  fc.record({ do: fc.constant('recover' as const) }),
);
/** Begins with months that are over, for what they refused meets every later rule. */
const history = fc
  .tuple(
    fc.array(plantStep, { maxLength: 3, size: 'max' }),
    fc.array(
      fc.oneof(
        { weight: 5, arbitrary: ingestStep as fc.Arbitrary<Step> },
        { weight: 2, arbitrary: planStep },
        { weight: 3, arbitrary: otherStep },
      ),
      { minLength: 3, maxLength: 14, size: 'max' },
    ),
  )
  .map(([past, steps]): Step[] => [...past, ...steps]);

test(
  `in ${runs} random histories every step leaves outcomes, ledger, usage, outbox, events and conflicts as the model has them`,
  async () => {
    await fc.assert(
      fc.asyncProperty(history, async (steps) => {
        const { site, model } = await begin();
        for (const step of steps) {
          await take(site, model, step);
          expect(await written(site)).toEqual(expected(model));
        }
      }),
      { numRuns: runs },
    );
  },
  timeout_ms,
);

test(
  `in ${runs} random histories events sent one by one fare as they do in batches, and leave the same ledger`,
  async () => {
    await fc.assert(
      fc.asyncProperty(history, async (steps) => {
        const [batched, single] = [await begin(), await begin()];
        for (const step of steps) {
          if (step.do === 'ingest') {
            const alone: string[] = [];
            for (const event of step.events)
              alone.push(...(await send(single, [event], step.young)).outcomes);
            expect(alone).toEqual((await send(batched, step.events, step.young)).outcomes);
          } else for (const { site, model } of [batched, single]) await take(site, model, step);
        }
        const { outbox: _, events: __, ...left } = await written(batched.site);
        expect(await written(single.site)).toMatchObject(left);
        expect(await payloads(single.site)).toEqual(await payloads(batched.site));
      }),
      { numRuns: runs },
    );
  },
  timeout_ms,
);

async function begin() {
  return { site: await database.site(5n), model: new LedgerModel(5n) };
}

const query = (sql: string, ...values: unknown[]) => database.superuser.query(sql, values);

/** Sends the events as one request; what was told must be what the model tells. */
async function send(
  { site, model }: { site: string; model: LedgerModel },
  events: DrawnEvent[],
  young: boolean,
) {
  const batch = randomUUID();
  const sent = events.map((event) => wire(event, young));
  const { rows } = await query(
    'select used, remaining, month, admitted, as_of, results from ingest($1::uuid, $2::uuid, $3::jsonb)',
    site,
    batch,
    JSON.stringify(sent),
  );
  const [row] = rows;
  const outcomes = row.results.map(([outcome]: [string]) => outcome);
  const told = model.ingest(sent, batch, thisMonth);
  expect({
    outcomes,
    used: BigInt(row.used),
    remaining: BigInt(row.remaining),
    month: row.month,
  }).toEqual({ ...told, month: thisMonth });
  const ids = row.results.filter(([, ingest_id]: [string, string | null]) => ingest_id !== null);
  expect([ids.length, row.as_of !== null]).toEqual([Number(row.admitted), ids.length > 0]);
  return told;
}

async function take(site: string, model: LedgerModel, step: Step): Promise<unknown> {
  switch (step.do) {
    case 'ingest':
      return send({ site, model }, step.events, step.young);
    case 'plan':
      Object.assign(model, step, { limit: BigInt(step.limit), multiplier: BigInt(step.multiplier) });
      return query(
        `update site_plans set monthly_limit = $2, soft_limit_enabled = $3, hard_cap_multiplier = $4::numeric / 1000, billing_policy = $5
          where site_id = $1`,
        ...[site, step.limit, step.soft, step.multiplier, step.policy],
      );
    case 'enforce':
      model.enforced = step.on;
      return query('update sites set billing_enforcement = $2 where id = $1', site, step.on);
    case 'plant and freeze':
      return plantAndFreeze(site, model, step);
    case 'deliver': {
      const batches = [...model.waiting.keys()].filter((_, n) => n % step.share === 0);
      for (const batch of batches) model.deliver(batch);
      return query('select from deliver($1)', JSON.stringify(batches));
    }
    case 'recover':
      for (const batch of [...model.waiting.keys()]) model.deliver(batch);
      await query('update ingest_fallback_buffer set next_attempt_at = now() where site_id = $1', site);
      return query('select from recover(10000)');
  }
}

/** Rows of an earlier month as they would have been written then, and that month's invoice. */
async function plantAndFreeze(
  site: string,
  model: LedgerModel,
  { age, events }: Extract<Step, { do: 'plant and freeze' }>,
) {
  const { rows } = await query(
    `select instant, utc_year_month(instant) "month"
       from (select month_start($1) - $2::integer * interval '1 month' + interval '3 days' as instant) x`,
    ...[thisMonth, age],
  );
  const { instant, month } = rows[0];
  for (const { event, rejected } of events) {
    const { key, hash, version } = wire(event, false);
    if (!model.plant({ key, hash }, month, rejected)) continue;
    await query(
      `insert into ingest_idempotency (site_id, idempotency_key, payload_hash, created_at, expires_at, billing_state, billable, billing_reason, idempotency_version)
       values ($1, decode($2, 'hex'), decode($3, 'hex'), $4, $4::timestamptz + interval '90 days', $5, $6, $7, $8)`,
      ...[site, key, hash ?? null, instant, rejected ? 'REJECTED_QUOTA' : 'ACCEPTED', !rejected],
      ...[rejected ? 'rejected_quota' : 'default_billable', version],
    );
  }
  model.frozen.add(month);
  return query(
    'insert into invoice_snapshot (site_id, year_month, event_count, overage_count) values ($1, $2, 0, 0) on conflict do nothing',
    ...[site, month],
  );
}

async function written(site: string) {
  const { rows } = await query(
    `select coalesce((select array_agg(concat_ws(' ', encode(idempotency_key, 'hex'), year_month, billing_state, case when billable then 'true' else 'false' end,
                                                 billing_reason, coalesce(encode(payload_hash, 'hex'), '-'))) from ingest_idempotency where site_id = $1), '{}') ledger,
            coalesce((select array_agg(encode(idempotency_key, 'hex') || ' ' || encode(other_hash, 'hex')) from ingest_conflicts where site_id = $1), '{}') conflicts,
            (select count(*)::int from ingest_idempotency where site_id = $1 and billable and year_month = $2) billable,
            coalesce((select event_count::int from site_usage_monthly where site_id = $1 and year_month = $2), 0) usage,
            coalesce((select overage_count::int from site_usage_monthly where site_id = $1 and year_month = $2), 0) overage,
            (select count(*)::int from ingest_fallback_buffer where site_id = $1) outbox,
            (select count(*)::int from events where site_id = $1) events,
            (select count(*)::int from ingest_idempotency where site_id = $1 and year_month = $2 and billing_state <> 'REJECTED_QUOTA')
              = (select count(*)::int from ingest_fallback_buffer where site_id = $1) + (select count(*)::int from events where site_id = $1) "nothing lost"`,
    ...[site, thisMonth],
  );
  const { ledger, conflicts, ...counts } = rows[0];
  return { ledger: ledger.sort(), conflicts: conflicts.sort(), ...counts };
}

/** As written() reads the site; sorted texts, so that one row too many or too few of a key shows. */
function expected(model: LedgerModel) {
  const { count = 0n, overage = 0n } = model.usage.get(thisMonth) ?? {};
  return {
    ledger: model.rows(),
    conflicts: [...model.conflicts].sort(),
    billable: Number(count),
    usage: Number(count),
    overage: Number(overage),
    outbox: [...model.waiting.values()].reduce((sum, waiting) => sum + waiting, 0),
    events: model.delivered,
    'nothing lost': true,
  };
}

async function payloads(site: string): Promise<unknown[]> {
  const { rows } = await query(
    `select payload from (select id, payload, site_id from events union all select id, payload, site_id from ingest_fallback_buffer) x
      where site_id = $1 order by id`,
    site,
  );
  return rows.map(({ payload }) => payload);
}
