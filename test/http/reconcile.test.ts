// Guarantee 9: each kind of drift is found, named and repaired, the ledger is never changed, and a second run finds nothing.
import { DynamoDBClient, UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type JsonAnswer, openStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;
let secret: string;
let dynamodb: DynamoDBClient;
let site: string;
let month: string;
beforeAll(async () => {
  stack = await openStack();
  dynamodb = new DynamoDBClient(stack.client);
  secret = stack.state.secret(
    stack.resource('AWS::SecretsManager::Secret', 'CronSecret').ref.split(':').at(-1) ?? '',
  );
  month = (await stack.database.query('select utc_year_month(now()) value')).rows[0].value;
});
afterAll(() => stack.close());

/** A site of its own with 30 billed and delivered events, reconciled once. */
beforeEach(async () => {
  const created = await stack.site();
  site = created.id;
  const events = Array.from({ length: 30 }, (_, i) => ({
    s: created.public_id,
    i: `e${i}`,
    url: 'https://example.com/',
  }));
  await stack.sync({ events });
  await stack.delivered();
  await settle();
});

describe('a run', () => {
  test.each([
    ['too high', 5_000],
    ['too low', 1],
  ])('corrects a usage row that is %s by delta', async (_what, count) => {
    await stack.database.query('update site_usage_monthly set event_count = $2 where site_id = $1', [
      site,
      count,
    ]);
    expect(await found()).toMatchObject({
      status: 'COMPLETED',
      usage_delta: String(30 - count),
      billable: '30',
    });
    expect(await stack.counts(site)).toMatchObject({ billable: 30, usage: 30 });
    expect(await found()).toMatchObject({ usage_delta: '0', counter_drift: '0' });
  });

  test('writes a usage row that is missing', async () => {
    await stack.database.query('delete from site_usage_monthly where site_id = $1', [site]);
    expect(await found()).toMatchObject({ usage_delta: '30' });
    expect(await stack.counts(site)).toMatchObject({ usage: 30 });
  });

  test.each([
    ['high', 500, '470'],
    ['low', 2, '-28'],
  ])('corrects a counter that is too %s, with its sign', async (_what, used, drift) => {
    await setCounter(used);
    expect(await found()).toMatchObject({ counter_before: String(used), counter_drift: drift });
    expect(await stack.counts(site)).toMatchObject({ counter: 30 });
    expect(await found()).toMatchObject({ counter_drift: '0', drift_pct: 0 });
  });

  test('leaves a counter alone that is off by no more than ten', async () => {
    await setCounter(35);
    expect(await found()).toMatchObject({ counter_drift: '5' });
    expect(await stack.counts(site)).toMatchObject({ counter: 35 });
  });

  test('names a billed event that was neither delivered nor waits', async () => {
    const { rows } = await stack.database.query(
      'delete from events where id = (select min(id) from events where site_id = $1) returning id::text',
      [site],
    );
    expect(await found()).toMatchObject({ undelivered: '1', undelivered_ids: [rows[0].id], ledgerless: '0' });
  });

  test('names a delivered event without a ledger row', async () => {
    await stack.database.query(
      `insert into events (id, site_id, received_at, payload) values ((select 1000000 + max(id) from events), $1, now(), '{}')`,
      [site],
    );
    expect(await found()).toMatchObject({ ledgerless: '1', undelivered: '0' });
  });

  test('never changes the ledger', async () => {
    const bytes = () =>
      stack.database.query(
        `select md5(string_agg(l::text, ',' order by id)) value from ingest_idempotency l where site_id = $1`,
        [site],
      );
    const before = (await bytes()).rows;
    await stack.database.query('update site_usage_monthly set event_count = 7 where site_id = $1', [site]);
    await found();
    expect((await bytes()).rows).toEqual(before);
  });

  test('skips a frozen month', async () => {
    await stack.database.query(
      `insert into invoice_snapshot (site_id, year_month, event_count, overage_count) values ($1, $2, 0, 0)`,
      [site, month],
    );
    const { body } = await cron('/enqueue');
    expect(body.ok).toBe(true);
    expect(await jobs(`status = 'QUEUED'`)).toBe(0);
  });
});

describe('a job', () => {
  test('that nothing has touched since is not queued again; an event queues it', async () => {
    await cron('/enqueue');
    expect(await jobs(`status = 'COMPLETED'`)).toBe(1);
    await stack.sync({ s: await publicId(), i: 'one-more', url: 'https://example.com/' });
    await cron('/enqueue');
    expect(await jobs(`status = 'QUEUED'`)).toBe(1);
    await settle();
  });

  test('whose holder died is taken over after its lease, and the dead holder can no longer finish it', async () => {
    await stack.database.query(
      `update billing_reconciliation_jobs set status = 'QUEUED', next_attempt_at = now() where site_id = $1`,
      [site],
    );
    const { rows } = await stack.database.query('select * from claim_billing_reconciliation_jobs(1, 1)');
    await stack.database.query(
      `update billing_reconciliation_jobs set lease_until = now() - interval '1 second' where site_id = $1`,
      [site],
    );
    expect(await found(false)).toMatchObject({ status: 'COMPLETED' });
    const late = await stack.database.query(
      `select finish_reconciliation($1, $2, 'late', null, null) status`,
      [rows[0].id, rows[0].attempt_count],
    );
    expect(late.rows[0].status).toBe('LOST');
  });

  test('is never given to two runners at once', async () => {
    await stack.database.query(
      `insert into billing_reconciliation_jobs (site_id, year_month) select gen_random_uuid(), '2026-01' from generate_series(1, 40)`,
    );
    const claims = await Promise.all(
      Array.from({ length: 6 }, () =>
        stack.database.query('select id from claim_billing_reconciliation_jobs(20)'),
      ),
    );
    const ids = claims.flatMap(({ rows }) => rows.map(({ id }) => id));
    expect(new Set(ids).size).toBe(ids.length);
    await stack.database.query(`delete from billing_reconciliation_jobs where year_month = '2026-01'`);
  });

  test('that keeps failing is tried with growing delays and is dead after eight attempts', async () => {
    const id = (
      await stack.database.query('select id from billing_reconciliation_jobs where site_id = $1', [site])
    ).rows[0].id;
    for (let attempt = 1; attempt <= 8; attempt++) {
      await stack.database.query(
        `update billing_reconciliation_jobs set status = 'PROCESSING', attempt_count = $2 where id = $1`,
        [id, attempt],
      );
      await stack.database.query(`select finish_reconciliation($1, $2, 'broken', null, null)`, [id, attempt]);
    }
    const { rows } = await stack.database.query(
      'select status, last_error from billing_reconciliation_jobs where id = $1',
      [id],
    );
    expect(rows[0]).toEqual({ status: 'DEAD', last_error: 'broken' });
  });
});

describe('the doors', () => {
  test('GET and POST of the unified one answer flat and nested figures', async () => {
    for (const method of ['GET', 'POST']) {
      const { status, body } = await cron('', method);
      expect(status).toBe(200);
      expect(body).toMatchObject({
        ok: true,
        enqueued: expect.any(Number),
        processed: expect.any(Number),
        completed: expect.any(Number),
        failed: 0,
        request_id: expect.any(String),
        run: { failed: 0 },
      });
    }
  });

  test('backfill queues the months of a range again when it is told to', async () => {
    const { body } = await cron('/backfill', 'POST', { site_id: site, from: month, to: month, force: true });
    expect(body).toMatchObject({ ok: true, enqueued: 1, months: [month], sites: 1 });
    await settle();
  });

  test.each([
    ['no body', ''],
    ['no range', {}],
    ['a month that is none', { from: '2026-13', to: '2026-13' }],
    ['a range turned round', { from: '2026-05', to: '2026-04' }],
    ['thirteen months', { from: '2025-01', to: '2026-01' }],
    ['a site that is no UUID', { from: '2026-01', to: '2026-01', site_id: 'x' }],
  ])('backfill with %s is refused with one sentence', async (_what, body) => {
    expect(await cron('/backfill', 'POST', body)).toMatchObject({
      status: 400,
      body: { ok: false, error: expect.stringMatching(/\.$/), code: expect.any(String) },
    });
  });

  test('a wrong secret opens none of them', async () => {
    for (const path of ['', '/enqueue', '/run', '/backfill']) {
      expect(await cron(path, 'POST', undefined, 'wrong')).toMatchObject({
        status: 403,
        body: { code: 'CRON_FORBIDDEN' },
      });
    }
  });
});

async function cron(path: string, method = 'POST', body?: unknown, bearer = secret): Promise<JsonAnswer> {
  const response = await fetch(`${stack.url}/api/cron/reconcile-usage${path}`, {
    method,
    headers: { authorization: `Bearer ${bearer}` },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  return { status: response.status, body: await response.json() };
}

/** What a forced run finds of the site. */
async function found(force = true) {
  if (force) await cron('/backfill', 'POST', { site_id: site, from: month, to: month, force: true });
  const { body } = await cron('/run');
  return body.results.find((result: { site_id: string }) => result.site_id === site);
}

async function settle() {
  await cron('');
}

async function jobs(condition: string): Promise<number> {
  const { rows } = await stack.database.query(
    `select count(*)::int value from billing_reconciliation_jobs where site_id = $1 and ${condition}`,
    [site],
  );
  return rows[0].value;
}

async function publicId(): Promise<string> {
  return (await stack.database.query('select public_id from sites where id = $1', [site])).rows[0].public_id;
}

async function setCounter(used: number) {
  await dynamodb.send(
    new UpdateItemCommand({
      TableName: stack.resource('AWS::DynamoDB::GlobalTable', 'Usage').ref,
      Key: { site_id: { S: site }, year_month: { S: month } },
      UpdateExpression: 'SET used = :used',
      ExpressionAttributeValues: { ':used': { N: String(used) } },
    }),
  );
}
