// Guarantee 9: one reconcile run names exactly the drift that was planted, repairs what may be repaired, and leaves the ledger as it was.
import { setTimeout as sleep } from 'node:timers/promises';
import { DeleteItemCommand, DynamoDBClient, UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { fakeClock } from '../../local/schedule/clock.ts';
import type { JobResult } from '../../shared/reconciliation.ts';
import { type JsonAnswer, openStack, type TestStack } from '../support/stack.ts';

const billed = 30;
const runners = 4;

let stack: TestStack;
let secret: string;
let dynamodb: DynamoDBClient;
let month: string;
/** A site where nothing is wrong, in every run. */
let sound: string;
let site: string;
beforeAll(async () => {
  stack = await openStack({ clock: fakeClock(new Date()) }); // no schedule takes a job away from a test
  dynamodb = new DynamoDBClient(stack.client);
  secret = stack.state.secret(
    stack.resource('AWS::SecretsManager::Secret', 'CronSecret').ref.split(':').at(-1) ?? '',
  );
  month = (await stack.database.query('select utc_year_month(now()) value')).rows[0].value;
  sound = await deliveredSite();
});
afterAll(async () => {
  dynamodb?.destroy();
  await stack?.close();
});
beforeEach(async () => {
  site = await deliveredSite();
});

interface Kind {
  drift: string;
  /** Returns the ids that the run must name. */
  plant: () => Promise<string[] | undefined>;
  /** What differs from the result of a site where nothing is wrong. */
  named: (ids: string[]) => object;
  /** Whether a second run finds nothing. */
  repaired: boolean;
}

const kinds: Kind[] = [
  ...[
    { drift: 'a counter that is too high', used: 500, off: '470', drift_pct: 15.666666 },
    { drift: 'a counter that is too low', used: 2, off: '-28', drift_pct: 0.933333 },
  ].map(({ drift, used, off, drift_pct }) => ({
    drift,
    plant: () => setCounter(used),
    named: () => ({ counter_before: String(used), counter_drift: off, drift_pct }),
    repaired: true,
  })),
  {
    drift: 'a counter that is missing',
    plant: loseCounter,
    named: () => ({ counter_before: null, counter_drift: '-30', drift_pct: 1 }),
    repaired: true,
  },
  ...[
    { drift: 'a usage row that is too high', events: 5_000, overage: 40, drift_pct: 165.666666 },
    { drift: 'a usage row that is too low', events: 1, overage: 0, drift_pct: 0.966666 },
    { drift: 'a usage row with a wrong overage', events: 30, overage: 3, drift_pct: 0 },
  ].map(({ drift, events, overage, drift_pct }) => ({
    drift,
    plant: () =>
      plant(
        'update site_usage_monthly set event_count = $2, overage_count = $3 where site_id = $1',
        events,
        overage,
      ),
    named: () => ({
      usage_before: { event_count: String(events), overage_count: String(overage) },
      usage_delta: String(billed - events),
      overage_delta: String(-overage),
      drift_pct,
    }),
    repaired: true,
  })),
  {
    drift: 'a usage row that is missing',
    plant: () => plant('delete from site_usage_monthly where site_id = $1'),
    named: () => ({
      usage_before: { event_count: '0', overage_count: '0' },
      usage_delta: '30',
      drift_pct: 1,
    }),
    repaired: true,
  },
  {
    drift: 'billed events that were neither delivered nor wait',
    plant: () =>
      plant(
        'delete from events where id in (select id from events where site_id = $1 order by id limit 2) returning id::text',
      ),
    named: (ids) => ({ undelivered: '2', undelivered_ids: ids }),
    repaired: false,
  },
  {
    drift: 'a delivered event without a ledger row',
    plant: () =>
      plant(
        `insert into events (id, site_id, received_at, payload) values ((select 1000000 + max(id) from events), $1, now(), '{}') returning id::text`,
      ),
    named: (ids) => ({ ledgerless: '1', ledgerless_ids: ids }),
    repaired: false,
  },
];

describe('a run names exactly', () => {
  test.each(kinds)('$drift', async ({ plant, named, repaired }) => {
    const ledger = await ledgerHash();
    const ids = (await plant()) ?? [];
    expect(await forcedRun()).toEqual(both(named(ids.toSorted())));
    expect(await forcedRun()).toEqual(both(repaired ? {} : named(ids.toSorted())));
    if (repaired) expect(await stack.counts(site)).toMatchObject({ billable: 30, usage: 30, counter: 30 });
    expect(await ledgerHash()).toBe(ledger);
  });

  test('a stuck job, once its lease has passed, and nothing when there is none', async () => {
    const ledger = await ledgerHash();
    await plant(
      `update billing_reconciliation_jobs set status = 'PROCESSING', lease_until = now() - interval '1 second' where site_id = $1`,
    );
    expect(await stuckJobs()).toBe(1);
    expect(await run()).toEqual([nothingWrong(site)]);
    expect(await stuckJobs()).toBe(0);
    expect(await run()).toEqual([]);
    expect(await ledgerHash()).toBe(ledger);
  });

  test('the drift of a counter that is off by no more than ten, which it leaves alone', async () => {
    await setCounter(40);
    expect(await forcedRun()).toEqual(
      both({ counter_before: '40', counter_drift: '10', drift_pct: 0.333333 }),
    );
    expect(await stack.counts(site)).toMatchObject({ counter: 40 });
    await setCounter(41);
    await forcedRun();
    expect(await stack.counts(site)).toMatchObject({ counter: 30 });
  });

  test('no drift when the counter of a commit arrives a moment after the commit', async () => {
    await setCounter(2);
    await queue();
    const ran = run();
    await sleep(250);
    await setCounter(billed);
    expect(await ran).toEqual([nothingWrong(site)]);
  });
});

describe('runners', () => {
  test(`of ${runners} that start at once work on each of 120 jobs once`, async () => {
    await plantJobs(120);
    const ran = await Promise.all(Array.from({ length: runners }, () => run()));
    const worked = ran.flat().map(({ site_id }) => site_id);
    expect(ran.filter((results) => results.length > 0).length).toBeGreaterThan(1);
    expect([worked.length, new Set(worked).size]).toEqual([120, 120]);
    const { rows } = await stack.database.query(
      `delete from billing_reconciliation_jobs where year_month = '2026-01' returning status, attempt_count`,
    );
    expect(rows).toEqual(Array.from({ length: 120 }, () => ({ status: 'COMPLETED', attempt_count: 1 })));
  });

  test('on 8 connections never claim the same job', async () => {
    await plantJobs(400);
    const claimed = await onConnections(8, async (client) => {
      const ids: string[] = [];
      for (;;) {
        const { rows } = await client.query('select id from claim_billing_reconciliation_jobs(3)');
        if (rows.length === 0) return ids;
        ids.push(...rows.map(({ id }) => id));
      }
    });
    expect(claimed.filter((ids) => ids.length > 0).length).toBeGreaterThan(1);
    expect([claimed.flat().length, new Set(claimed.flat()).size]).toEqual([400, 400]);
    await stack.database.query(`delete from billing_reconciliation_jobs where year_month = '2026-01'`);
  });

  test('that are killed in the middle of a job lose nothing: it is taken over after the lease, and a late finish is LOST', async () => {
    await plant('update site_usage_monthly set event_count = 7 where site_id = $1');
    const release = await holdUsageRow();
    await queue();
    const killed = post('/run');
    const { pid, id, attempt_count } = await atWork(1);
    expect(await stack.functions.terminate(stack.functionName('reconcile'))).toBe(true);
    await stack.database.query('select pg_terminate_backend($1)', [pid]);
    expect((await killed).status).toBe(500);
    await release();
    expect(await stack.counts(site)).toMatchObject({ billable: 30, usage: 7 });
    expect(await run()).toEqual([]); // the lease still holds
    await endLease();
    const [taken] = await run();
    expect(taken).toMatchObject({ site_id: site, status: 'COMPLETED', usage_delta: '23' });
    const late = `select finish_reconciliation($1, $2, null, 0, '{}') status`;
    expect((await stack.database.query(late, [id, attempt_count])).rows).toEqual([{ status: 'LOST' }]);
    expect(await stack.counts(site)).toMatchObject({ billable: 30, usage: 30 });
    expect(await run()).toEqual([]);
  });

  test('that were only slow answer LOST when another has taken the job over', async () => {
    const release = await holdUsageRow();
    await queue();
    const slow = run();
    await atWork(1);
    await endLease();
    const next = run();
    await atWork(2);
    await release();
    expect(await slow).toEqual([{ ...nothingWrong(site), status: 'LOST' }]);
    expect(await next).toEqual([nothingWrong(site)]);
  });

  test('that work on the same month at once correct its usage row once', async () => {
    await plant('update site_usage_monthly set event_count = 99 where site_id = $1');
    const release = await holdUsageRow();
    await queue();
    const slow = run();
    await atWork(1);
    await endLease();
    const next = run();
    await atWork(2);
    await release();
    await Promise.all([slow, next]);
    expect(await stack.counts(site)).toMatchObject({ billable: 30, usage: 30 });
  });
});

/** A site with 30 billed and delivered events, reconciled once. */
async function deliveredSite(): Promise<string> {
  const { id, public_id } = await stack.site();
  const events = Array.from({ length: billed }, (_, i) => ({
    s: public_id,
    i: `e${i}`,
    url: 'https://example.com/',
  }));
  await stack.sync({ events });
  await stack.delivered();
  await cron('');
  return id;
}

function nothingWrong(site_id: string): JobResult {
  const none = { undelivered: '0', undelivered_ids: [], ledgerless: '0', ledgerless_ids: [] };
  const counted = { event_count: '30', overage_count: '0' };
  return {
    ...{
      site_id,
      year_month: month,
      status: 'COMPLETED',
      billable: '30',
      overage: '0',
      as_of: expect.any(String),
    },
    ...{ usage_before: counted, usage_delta: '0', overage_delta: '0', ...none },
    ...{ counter_before: '30', counter_drift: '0', drift_pct: 0 },
  };
}

/** The results of a run over both sites, of which one is sound. */
function both(planted: object): unknown {
  return [nothingWrong(sound), { ...nothingWrong(site), ...planted }];
}

async function forcedRun(): Promise<JobResult[]> {
  for (const each of [sound, site]) await queue(each);
  return (await run()).toSorted((a) => (a.site_id === sound ? -1 : 1));
}

async function queue(site_id = site): Promise<void> {
  expect(await cron('/backfill', { site_id, from: month, to: month, force: true })).toMatchObject({
    enqueued: 1,
  });
}

async function run(): Promise<JobResult[]> {
  return (await cron('/run')).results;
}

async function cron(path: string, body?: object): Promise<JsonAnswer['body']> {
  return (await post(path, body)).json();
}

function post(path: string, body?: object): Promise<Response> {
  return fetch(`${stack.url}/api/cron/reconcile-usage${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${secret}` },
    ...(body && { body: JSON.stringify(body) }),
  });
}

async function plant(sql: string, ...values: unknown[]): Promise<string[]> {
  const { rows } = await stack.database.query(sql, [site, ...values]);
  return rows.map(({ id }) => id);
}

/** Jobs of sites without events. */
async function plantJobs(count: number): Promise<void> {
  await stack.database.query(
    `insert into billing_reconciliation_jobs (site_id, year_month) select gen_random_uuid(), '2026-01' from generate_series(1, $1)`,
    [count],
  );
}

async function setCounter(used: number): Promise<undefined> {
  await dynamodb.send(
    new UpdateItemCommand({
      ...counterItem(),
      UpdateExpression: 'SET used = :used',
      ExpressionAttributeValues: { ':used': { N: String(used) } },
    }),
  );
}

async function loseCounter(): Promise<undefined> {
  await dynamodb.send(new DeleteItemCommand(counterItem()));
}

function counterItem() {
  return {
    TableName: stack.resource('AWS::DynamoDB::GlobalTable', 'Usage').ref,
    Key: { site_id: { S: site }, year_month: { S: month } },
  };
}

async function ledgerHash(): Promise<string> {
  const { rows } = await stack.database.query(
    `select md5(string_agg(l::text, ',' order by id)) value from ingest_idempotency l`,
  );
  return rows[0].value;
}

async function stuckJobs(): Promise<number> {
  return (await stack.database.query('select reconciliation_summary() value')).rows[0].value.stuck;
}

/** Stops every correction of the site's usage until the answer is called. */
async function holdUsageRow(): Promise<() => Promise<void>> {
  const holder = new pg.Client({ connectionString: stack.postgres.superuserUrl });
  await holder.connect();
  await holder.query('begin');
  await holder.query('select from site_usage_monthly where site_id = $1 for update', [site]);
  return () => holder.end();
}

/** Resolves when so many runners wait within the site's job; the last one's backend and the job. */
async function atWork(count: number): Promise<{ pid: number; id: string; attempt_count: number }> {
  for (;;) {
    const { rows } = await stack.database.query(
      `select a.pid, j.id, j.attempt_count
         from pg_stat_activity a, billing_reconciliation_jobs j
        where a.wait_event_type = 'Lock' and a.query like '%reconcile_site%' and j.site_id = $1 and j.status = 'PROCESSING'
        order by a.query_start desc`,
      [site],
    );
    if (rows.length === count) return rows[0];
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function endLease(): Promise<void> {
  await plant(
    `update billing_reconciliation_jobs set lease_until = now() - interval '1 second' where site_id = $1`,
  );
}

async function onConnections<T>(count: number, work: (client: pg.Client) => Promise<T>): Promise<T[]> {
  const one = async () => {
    const client = new pg.Client({ connectionString: stack.postgres.superuserUrl });
    await client.connect();
    try {
      return await work(client);
    } finally {
      await client.end();
    }
  };
  return Promise.all(Array.from({ length: count }, one));
}
