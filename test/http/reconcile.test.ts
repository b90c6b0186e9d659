// Reconciliation's queue and doors: what is queued, again or not, how a job ends, and what the cron's calls answer.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { fakeClock } from '../../local/schedule/clock.ts';
import { callsOf, told, userOf } from '../support/callers.ts';
import { freezeMonth, monthsAgo } from '../support/frozen-month.ts';
import { type JsonAnswer, openStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;
let secret: string;
let site: string;
let month: string;
beforeAll(async () => {
  stack = await openStack({ clock: fakeClock(new Date()) }); // no schedule takes a job away from a test
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

describe('a job', () => {
  test('of a month that was frozen while it waited changes nothing, and is not queued again', async () => {
    await stack.database.query('update site_usage_monthly set event_count = 7 where site_id = $1', [site]);
    const backfill = () => cron('/backfill', 'POST', { site_id: site, from: month, to: month, force: true });
    expect((await backfill()).body).toMatchObject({ enqueued: 1 });
    await stack.database.query(
      `insert into invoice_snapshot (site_id, year_month, event_count, overage_count) values ($1, $2, 30, 0)`,
      [site, month],
    );
    expect((await cron('/run')).body.results).toEqual([
      { site_id: site, year_month: month, status: 'COMPLETED', skipped: 'frozen', drift_pct: 0 },
    ]);
    expect(await stack.counts(site)).toMatchObject({ billable: 30, usage: 7 });
    expect((await backfill()).body).toMatchObject({ ok: true, enqueued: 0 });
  });

  test('that nothing has touched since is not queued again; an event queues it', async () => {
    await cron('/enqueue');
    expect(await jobs(`status = 'COMPLETED'`)).toBe(1);
    await stack.sync({ s: await publicId(), i: 'one-more', url: 'https://example.com/' });
    await cron('/enqueue');
    expect(await jobs(`status = 'QUEUED'`)).toBe(1);
    await settle();
  });

  test('is queued again when an operator of the site asks, also one that was given up, and the wish is audited', async () => {
    await stack.admin('PUT', `/sites/${site}/members/${userOf('operator').id}`, { role: 'operator' });
    const ask = (body: object) => callsOf(stack)('operator', 'POST', `/api/sites/${site}/jobs`, body);
    const queued = { status: 200, body: { queued: true, job: { status: 'QUEUED' } } };
    expect(await ask({ year_month: month })).toMatchObject(queued);
    expect(await ask({ year_month: month })).toMatchObject({ status: 200, body: { queued: false } });
    await stack.database.query(
      `update billing_reconciliation_jobs set status = 'DEAD', attempt_count = 8 where site_id = $1`,
      [site],
    );
    expect(await ask({ year_month: month })).toMatchObject(queued);
    expect((await cron('/run')).body.results).toMatchObject([{ site_id: site, status: 'COMPLETED' }]);
    expect((await ask({ year_month: monthsAgo(5) })).body).toMatchObject({ queued: false, job: null });
    await freezeMonth(stack.database, site, monthsAgo(2), 0);
    expect(told(await ask({ year_month: monthsAgo(2) }))).toEqual([409, 'month_frozen']);
    for (const body of [{}, { year_month: '2026-13' }, { year_month: month, force: true }])
      expect(told(await ask(body))).toEqual([400, 'invalid_request']);
    expect((await ask([])).body.error).toBe('The body must be a JSON object.');
    const { rows } = await stack.database.query(
      `select actor_id, payload from audit_log where action = 'reconciliation_requested' and site_id = $1`,
      [site],
    );
    const wish = { actor_id: userOf('operator').id, payload: { year_month: month } };
    expect(rows).toEqual([wish, wish]);
  });

  test('that keeps failing is tried with growing delays and is dead after eight attempts', async () => {
    const id = (
      await stack.database.query('select id from billing_reconciliation_jobs where site_id = $1', [site])
    ).rows[0].id;
    const delays: number[] = [];
    for (let attempt = 1; attempt <= 8; attempt++) {
      await stack.database.query(
        `update billing_reconciliation_jobs set status = 'PROCESSING', attempt_count = $2 where id = $1`,
        [id, attempt],
      );
      await stack.database.query(`select finish_reconciliation($1, $2, 'broken', null, null)`, [id, attempt]);
      const { rows } = await stack.database.query(
        'select extract(epoch from next_attempt_at - updated_at)::float8 delay_s from billing_reconciliation_jobs where id = $1',
        [id],
      );
      delays.push(rows[0].delay_s);
    }
    expect(delays[0]).toBeGreaterThan(29);
    expect(delays).toEqual(delays.toSorted((a, b) => a - b));
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
