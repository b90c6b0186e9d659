// Watchtower: well on a fresh stack, and each thing that can be wrong turns its own check, the verdict and the status of a strict call.
import {
  DeleteMessageCommand,
  ReceiveMessageCommand,
  SendMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fakeClock } from '../../local/schedule/clock.ts';
import { monthsAgo } from '../support/frozen-month.ts';
import { type JsonAnswer, openStack, type TestStack } from '../support/stack.ts';

const month = monthsAgo(3);
const current = monthsAgo(0);

let stack: TestStack;
let sqs: SQSClient;
let secret: string;
let site: string;
let ingestDies = false;
beforeAll(async () => {
  stack = await openStack({
    clock: fakeClock(new Date()), // no schedule beats a heart but those that a test starts
    functionFault: async (point, call) =>
      ingestDies && point === 'before' && call.function === stack.functionName('ingest') ? 'terminate' : 'ok',
  });
  sqs = new SQSClient(stack.client);
  secret = stack.state.secret(
    stack.resource('AWS::SecretsManager::Secret', 'CronSecret').ref.split(':').at(-1) ?? '',
  );
});
afterAll(async () => {
  sqs?.destroy();
  await stack?.close();
});

describe('a fresh stack', () => {
  test('is well, asked by three at once for the first time, with one canary site for all', async () => {
    const answers = await Promise.all([watchtower(), watchtower(), watchtower('?strict=1')]);
    for (const { status, body } of answers) {
      expect(body).toMatchObject({
        ok: true,
        code: 'WATCHTOWER_OK',
        status: 'ok',
        severity: 'ok',
        failure_count: 0,
      });
      expect(status).toBe(200);
      expect(body.checks.canary).toEqual({
        status: 'ok',
        accepted_ms: expect.any(Number),
        delivered_ms: expect.any(Number),
      });
      expect(body.checks.sessionsLastHour).toEqual({ status: 'skipped', last_at: null });
      expect(body.checks.deadLetters).toMatchObject({ status: 'ok', count: 0 });
    }
    expect(await values('select count(*)::int value from sites where synthetic')).toEqual([1]);
  });

  test('opens to the cron secret only', async () => {
    for (const bearer of ['', 'wrong', `${secret}x`])
      expect(await watchtower('', bearer)).toMatchObject({ status: 403, body: { code: 'CRON_FORBIDDEN' } });
  });

  test.each(['Recover', 'Reconcile', 'Freeze', 'Cleanup', 'Watchtower'])(
    'notes a heartbeat of each run of %s by its schedule',
    async (name) => {
      const runs = () =>
        values(`select runs_ok::int value from job_heartbeats where job = '${name.toLowerCase()}'`);
      const [before] = await runs();
      const result = await stack.schedules.trigger(
        stack.resource('AWS::Scheduler::Schedule', `Schedules${name}`).ref,
      );
      expect(result.ok || result.errorMessage).toBe(true);
      expect(await runs()).toEqual([(before as number) + 1]);
      expect(
        await values(
          `select last_ok_at > now() - interval '1 minute' value from job_heartbeats where job = '${name.toLowerCase()}'`,
        ),
      ).toEqual([true]);
    },
  );

  test('notes none of a dry run', async () => {
    const all = () => values('select t::text value from job_heartbeats t order by job');
    const before = await all();
    await call('/api/cron/idempotency-cleanup?dry_run=true');
    expect(await all()).toEqual(before);
  });
});

interface Trouble {
  what: string;
  check: string;
  level: 'degraded' | 'alarm' | 'critical';
  plant: string;
  undo: string;
  more?: object;
}

const failure = (count: number) =>
  `insert into ingest_publish_failures (site_public_id, error_code) select 'x', 'planted' from generate_series(1, ${count})`;
const waiting = (minutes: number, status = 'PENDING') =>
  `insert into ingest_fallback_buffer (id, created_at, next_attempt_at, batch_id, site_id, status, payload)
   values (1e15, now() - interval '${minutes} minutes', now() + interval '1 hour', gen_random_uuid(), $1, '${status}', '{}')`;
const job = (columns: string, values: string) =>
  `insert into billing_reconciliation_jobs (site_id, year_month, ${columns}) values ($1, '${current}', ${values})`;
const no = {
  failure: 'delete from ingest_publish_failures',
  waiting: 'delete from ingest_fallback_buffer where id = 1e15',
  job: 'delete from billing_reconciliation_jobs where site_id = $1',
};

const troubles: Trouble[] = [
  {
    what: 'a publish failed',
    check: 'ingestPublishFailuresLast15m',
    level: 'degraded',
    plant: failure(5),
    undo: no.failure,
    more: { count: 5 },
  },
  {
    what: 'many publishes failed',
    check: 'ingestPublishFailuresLast15m',
    level: 'critical',
    plant: failure(6),
    undo: no.failure,
    more: { count: 6 },
  },
  {
    what: 'an event waits for 11 minutes',
    check: 'outboxAge',
    level: 'degraded',
    plant: waiting(11),
    undo: no.waiting,
    more: { count: 1 },
  },
  {
    what: 'an event waits for 31 minutes',
    check: 'outboxAge',
    level: 'critical',
    plant: waiting(31),
    undo: no.waiting,
    more: { count: 1 },
  },
  {
    what: 'an event was given up',
    check: 'outboxFailed',
    level: 'alarm',
    plant: waiting(1, 'FAILED'),
    undo: no.waiting,
    more: { count: 1 },
  },
  {
    what: 'a site drifted',
    check: 'billingReconciliationDriftLast1h',
    level: 'degraded',
    plant: job('status, last_drift_pct', `'COMPLETED', 0.011`),
    undo: no.job,
    more: { count: 1 },
  },
  {
    what: 'a job failed',
    check: 'reconciliationFailed',
    level: 'degraded',
    plant: job('status', `'FAILED'`),
    undo: no.job,
    more: { count: 1 },
  },
  {
    what: 'a job is stuck',
    check: 'reconciliationFailed',
    level: 'degraded',
    plant: job('status, lease_until', `'PROCESSING', now() - interval '1 second'`),
    undo: no.job,
    more: { count: 1 },
  },
  {
    what: 'a job is dead',
    check: 'reconciliationDead',
    level: 'alarm',
    plant: job('status', `'DEAD'`),
    undo: no.job,
    more: { count: 1 },
  },
  {
    what: 'billed events are undelivered',
    check: 'undelivered',
    level: 'alarm',
    plant: job('status, last_result', `'COMPLETED', '{"undelivered": "2", "ledgerless": "0"}'`),
    undo: no.job,
    more: { count: 2 },
  },
  {
    what: 'a delivered event has no ledger row',
    check: 'ledgerless',
    level: 'critical',
    plant: job('status, last_result', `'COMPLETED', '{"undelivered": "0", "ledgerless": "3"}'`),
    undo: no.job,
    more: { count: 3 },
  },
  {
    what: 'a month that is over is not frozen',
    check: 'unfrozenMonths',
    level: 'alarm',
    plant: `insert into site_usage_monthly (site_id, year_month, event_count) values ($1, '${month}', 1)`,
    undo: `delete from site_usage_monthly where site_id = $1 and year_month = '${month}'`,
    more: { count: 1, first: expect.stringMatching(`^${month} [0-9a-f-]{36}$`) },
  },
  {
    what: 'an export was given up',
    check: 'exportsDead',
    level: 'degraded',
    plant: `insert into dispute_exports (site_id, year_month, max_id, max_adjustment_id, row_count, requested_by, status) values ($1, '${month}', 1, 0, 1, 'x', 'DEAD')`,
    undo: 'delete from dispute_exports where site_id = $1',
    more: { count: 1 },
  },
  {
    what: 'a job has not been well for two of its intervals',
    check: 'heartbeats',
    level: 'alarm',
    // one second: the ledger gives a job two intervals from its own start
    plant: `update job_heartbeats set interval_s = 1, installed_at = now() - interval '1 day', last_ok_at = now() - interval '1 hour' where job = 'recover'`,
    undo: `update job_heartbeats set interval_s = 300, last_ok_at = now() where job = 'recover'`,
    more: { count: 1, missed: ['recover'] },
  },
  {
    what: 'nobody has sent for two hours',
    check: 'sessionsLastHour',
    level: 'degraded',
    plant: `insert into events (id, site_id, received_at, payload) values (0, $1, now() - interval '2 hours', '{}')`,
    undo: 'delete from events where site_id = $1',
  },
];

describe('watchtower says', () => {
  beforeAll(async () => {
    site = (await stack.site()).id;
  });

  test.each(troubles)('$check $level when $what, and ok when it is mended', async (trouble) => {
    const { check, level, plant, undo, more = {} } = trouble;
    const run = (sql: string) => stack.database.query(sql, sql.includes('$1') ? [site] : []);
    await run(plant);
    try {
      await expectVerdict(level, { [check]: expect.objectContaining({ status: level, ...more }) });
    } finally {
      await run(undo);
    }
    expect((await watchtower()).body).toMatchObject({ ok: true, code: 'WATCHTOWER_OK', failure_count: 0 });
  });

  test.each([
    ['delivery', 'DeliveryDeadLetters'],
    ['export', 'ExportDeadLetters'],
    ['payments', 'PaymentsEventsDeadLetters'],
    ['runs', 'PaymentsRunsDeadLetters'],
    ['failed-invocations', 'FailedInvocations'],
    ['schedules', 'SchedulesDeadLetters'],
  ])('deadLetters alarm when a message lies in that of %s', async (name, part) => {
    const QueueUrl = stack.resource('AWS::SQS::Queue', part).ref;
    await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: 'given up' }));
    try {
      const none = { delivery: 0, export: 0, payments: 0, runs: 0, 'failed-invocations': 0, schedules: 0 };
      const queues = { ...none, [name]: 1 };
      await expectVerdict('alarm', { deadLetters: { status: 'alarm', count: 1, queues } });
    } finally {
      const { Messages = [] } = await sqs.send(new ReceiveMessageCommand({ QueueUrl }));
      for (const { ReceiptHandle } of Messages)
        await sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }));
    }
  });

  test('the worst of several', async () => {
    await stack.database.query(failure(1));
    await stack.database.query(waiting(1, 'FAILED'), [site]);
    await expectVerdict('alarm', {
      ingestPublishFailuresLast15m: expect.anything(),
      outboxFailed: expect.anything(),
    });
    await stack.database.query(no.failure);
    await stack.database.query(no.waiting);
  });

  test('ok of what is old: failures of an hour ago, and a drift of two hours ago', async () => {
    await stack.database.query(failure(9));
    await stack.database.query(`update ingest_publish_failures set created_at = now() - interval '1 hour'`);
    await stack.database.query(
      job('status, last_drift_pct, updated_at', `'COMPLETED', 1, now() - interval '2 hours'`),
      [site],
    );
    expect((await watchtower()).body).toMatchObject({ code: 'WATCHTOWER_OK' });
    await stack.database.query(no.failure);
    await stack.database.query(no.job, [site]);
  });
});

describe('the canary', () => {
  test('is critical when ingest fails', async () => {
    ingestDies = true;
    try {
      await expectVerdict('critical', {
        canary: expect.objectContaining({ status: 'critical', stage: 'ingest' }),
      });
    } finally {
      ingestDies = false;
    }
  });

  test('is degraded when its event is accepted but not delivered, and is delivered later', async () => {
    await stack.database.query('begin');
    await stack.database.query('lock table events in share mode'); // deliver waits, everybody else reads
    let found: JsonAnswer;
    try {
      found = await watchtower('?strict=1');
    } finally {
      await stack.database.query('commit');
    }
    expect(found).toMatchObject({
      status: 200,
      body: {
        ok: true,
        status: 'degraded',
        checks: { canary: { status: 'degraded', stage: 'delivery', ingest_id: expect.any(String) } },
      },
    });
    await expect
      .poll(
        async () => {
          await call('/api/cron/recover');
          return (
            await stack.database.query('select canary_arrived($1) arrived', [
              found.body.checks.canary.ingest_id,
            ])
          ).rows;
        },
        { timeout: 30_000, interval: 500 },
      )
      .toEqual([{ arrived: true }]);
  });

  test('is never billed: its rows are not billable, and no figure of money knows its site', async () => {
    const rows = await values(
      `select l.billable || ' ' || l.billing_reason value from ingest_idempotency l join sites s on s.id = l.site_id where s.synthetic`,
    );
    expect(rows.length).toBeGreaterThan(10);
    expect([...new Set(rows)]).toEqual(['false system']);
    expect(
      await values(
        `select coalesce(sum(u.event_count + u.overage_count), 0)::int value from site_usage_monthly u join sites s on s.id = u.site_id where s.synthetic`,
      ),
    ).toEqual([0]);
    const [canary] = await values('select public_id value from sites where synthetic');
    expect((await stack.admin('GET', `/sites/${canary}/usage`)).body).toMatchObject({
      ledger: { billable: '0', overage: '0' },
      usage_row: { event_count: '0', overage_count: '0' },
      counter: { used: '0' },
      drift: '0',
    });
    const { billing_metrics } = (await watchtower()).body;
    expect(billing_metrics).toMatchObject({ billing_ingest_allowed_total: 0, sites_active: 1 });
  });
});

/** The checks given are the only ones that are not well, and a strict call answers 503 from alarm on. */
async function expectVerdict(level: string, wrong: Record<string, unknown>): Promise<void> {
  for (const query of ['', '?strict=1']) {
    const { status, body } = await watchtower(query);
    const found = Object.entries(body.checks as Record<string, { status: string }>);
    expect(
      Object.fromEntries(found.filter(([, check]) => !['ok', 'skipped'].includes(check.status))),
    ).toEqual(wrong);
    expect(body).toMatchObject({
      ok: level === 'degraded',
      code: `WATCHTOWER_${level.toUpperCase()}`,
      status: level,
      severity: level,
      failure_count: Object.keys(wrong).length,
    });
    expect(status).toBe(query !== '' && level !== 'degraded' ? 503 : 200);
  }
}

const watchtower = (query = '', bearer = secret) => call(`/api/cron/watchtower${query}`, bearer);

async function call(path: string, bearer = secret): Promise<JsonAnswer> {
  const response = await fetch(`${stack.url}${path}`, { headers: { authorization: `Bearer ${bearer}` } });
  return { status: response.status, body: await response.json() };
}

async function values(sql: string): Promise<unknown[]> {
  return (await stack.database.query(sql)).rows.map(({ value }) => value);
}
