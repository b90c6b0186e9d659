// Every alarm's metric is really emitted: the stack is driven into each condition, and what it emits makes the synthesized alarm fire.
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { HEARTBEATS } from '../../infra/alarm-settings.ts';
import { fakeClock } from '../../local/schedule/clock.ts';
import { monthsAgo } from '../support/frozen-month.ts';
import { emitted } from '../support/metric-documents.ts';
import { caller, openPlayer } from '../support/money-doors.ts';
import { type NamedFaults, namedFaults } from '../support/named-faults.ts';
import { plant } from '../support/reconciliation.ts';
import { openStack, type TestStack } from '../support/stack.ts';
import { kernelAlarms, type WatchedAlarm } from '../support/watched-alarms.ts';

const alarms = kernelAlarms(inject('assembly'));
const proven = new Set<string>();
const rare = Object.entries(HEARTBEATS).flatMap(([job, { everyMinutes }]) =>
  everyMinutes > 60 ? [job] : [],
);
const gauges = alarms.filter(
  ({ name, metrics }) =>
    name !== 'watchtower-heartbeat' && metrics.value?.metric?.dimensions.service === 'watchtower',
);

let stack: TestStack;
let faults: NamedFaults;
let site: string;
beforeAll(async () => {
  faults = namedFaults();
  // No schedule runs but those that a test starts.
  stack = await openStack({ clock: fakeClock(new Date()), doorFault: faults.doorFault });
  site = (await stack.site()).id;
});
afterAll(async () => {
  await stack?.close();
  faults?.close();
});

/** Runs this, and waits until what it emitted makes the alarms fire, or not; `given` is what AWS itself would say. */
async function expectFiring(
  names: string[],
  run: () => Promise<unknown>,
  { firing = true, given = {} as Record<string, number[]> } = {},
): Promise<void> {
  const since = stack.logs.length;
  await run();
  for (const name of names) {
    const { metrics, fires } = alarmOf(name);
    const values = () =>
      Object.fromEntries(
        Object.entries(metrics).map(([id, { metric }]) => [
          id,
          metric ? emitted(stack, metric, since) : given[id],
        ]),
      );
    await expect
      .poll(
        () =>
          Object.values(values()).every((found) => found && found.length > 0) &&
          fires(values() as Record<string, number[]>),
        {
          message: `${name}: ${JSON.stringify(values())}`,
          timeout: 5_000,
        },
      )
      .toBe(firing);
    for (const { metric } of Object.values(metrics)) if (metric) proven.add(labelOf(metric));
  }
}

function alarmOf(name: string): WatchedAlarm {
  const found = alarms.find((alarm) => alarm.name === name);
  if (!found) throw new Error(`The template has no alarm ${name}.`);
  return found;
}

const labelOf = ({ name, dimensions }: { name: string; dimensions: Record<string, string> }) =>
  `${dimensions.service} ${name}`;
const trigger = (job: string) =>
  stack.schedules.trigger(
    stack.resource('AWS::Scheduler::Schedule', `Schedules${job.charAt(0).toUpperCase()}${job.slice(1)}`).ref,
  );
const namesOf = (found: WatchedAlarm[]) => found.map(({ name }) => name);

describe('the watchtower', () => {
  test('says of a well stack what no alarm fires at', async () => {
    await expectFiring(namesOf(gauges), () => trigger('watchtower'), { firing: false });
  });

  test('says of each trouble what its alarm fires at', async () => {
    const player = await openPlayer(stack);
    const platform = await caller(stack, ['platform-admin']);
    const rows = [{ player_id: player.id, available: '20000', held: '0' }];
    await platform('POST', '/admin/legacy-balances?tenant_id=default', { rows });
    expect((await player.withdraw('100')).status).toBe(200); // by the legacy balance, of which the ledger knows nothing
    const others = rare.map((job) => `'${job}'`).join(', ');
    await stack.database.query(
      `insert into site_usage_monthly (site_id, year_month, event_count) values ($1, '${monthsAgo(3)}', 1)`,
      [site],
    );
    await stack.database.query(
      `insert into seal_checks (site_id, year_month, ok, since, proof) values ($1, '${monthsAgo(3)}', false, now(), '{}')`,
      [site],
    );
    await stack.database.query(
      `insert into billing_reconciliation_jobs (site_id, year_month, status, last_drift_pct, last_result)
       values ($1, '${monthsAgo(0)}', 'COMPLETED', 0.02, '{"undelivered": "2", "ledgerless": "0"}')`,
      [site],
    );
    await stack.database.query(
      `insert into ingest_fallback_buffer (id, created_at, next_attempt_at, batch_id, site_id, status, payload)
       values (1e15, now() - interval '31 minutes', now() + interval '1 hour', gen_random_uuid(), $1, 'PENDING', '{}')`,
      [site],
    );
    await plant(
      stack.database,
      `insert into reconciliation_findings (provider, finding_type, severity, status, message)
         select 'x', 'planted', 'ERROR', 'OPEN', 'x' from generate_series(1, 30);
       update job_heartbeats set interval_s = 1, installed_at = now() - interval '1 day', last_ok_at = now() - interval '1 hour' where job in (${others})`,
    );
    await expectFiring(namesOf(gauges), () => trigger('watchtower'));
  });

  test('says how many withdrawals of a week were refused for want of funds, by the hour, but for the hour that runs', async () => {
    const metric = alarmOf('insufficient-funds').metrics.usual?.metric;
    if (!metric) throw new Error('The alarm asks for no mean.');
    await plant(
      stack.database,
      `insert into idempotency_keys (id, created_at, tenant_id, scope, key, verb, body_hash, answer)
       select gen_random_uuid(), now() - age, 'default', 'planted', age::text, 'withdraw', sha256('x'), '{"outcome": "refused", "code": "INSUFFICIENT_FUNDS"}'
         from (select interval '61 minutes' + n * interval '29 minutes' age from generate_series(1, 336) n
               union all select n * interval '1 second' from generate_series(1, 50) n
               union all select interval '170 hours' + n * interval '1 minute' from generate_series(1, 50) n) planted`,
    );
    const since = stack.logs.length;
    await trigger('watchtower');
    await expect.poll(() => emitted(stack, metric, since)).toEqual([2]);
  });
});

describe('a job', () => {
  const heartbeat = (job: string) => ({
    namespace: 'RevenueKernel/dev',
    name: `job_${job}_ok_total`,
    dimensions: { service: job },
  });

  test.each(Object.keys(HEARTBEATS))('%s that runs on its schedule is heard', async (job) => {
    const since = stack.logs.length;
    const result = await trigger(job);
    expect(result.ok || result.errorMessage).toBe(true);
    await expect.poll(() => emitted(stack, heartbeat(job), since)).toEqual([1]);
    if (rare.includes(job)) return;
    const { metrics, fires } = alarmOf(`${job}-heartbeat`);
    expect(metrics.value?.metric).toEqual(heartbeat(job));
    expect([fires({ value: [1] }), fires({ value: [] })]).toEqual([false, true]);
    proven.add(labelOf(heartbeat(job)));
  });

  test.each([
    ['assure', 'begin_reconciliation'],
    ['match', 'claim_run'],
    ['cleanup', 'expire_personal_data'],
    ['freeze', 'sites_to_freeze'],
  ])('%s that fails is heard, and so is the error of the ledger', async (job, routine) => {
    await stack.database.query(`alter function ${routine} rename to ${routine}_gone`);
    try {
      await expectFiring([`${job}-failed`, 'ledger-statement'], () => trigger(job));
    } finally {
      await stack.database.query(`alter function ${routine}_gone rename to ${routine}`);
    }
  });
});

describe('what is asked over HTTP', () => {
  const event = (n: number) => ({ url: 'https://example.com/', ec: 'x', ea: 'y', i: `alarm-${n}` });
  const sync = async (count: number, status: number) => {
    const { public_id } = await stack.site();
    const answers = await Promise.all(
      Array.from({ length: count }, (_, n) => stack.sync({ s: public_id, ...event(n) })),
    );
    expect(answers.map((answer) => answer.status)).toEqual(Array(count).fill(status));
  };
  const ingest = () => stack.functionName('ingest');
  const windows = namesOf(alarms).filter((name) => /^ingest-fails-/.test(name));

  test('events that cannot be taken burn the budget of failures in every window, and taken ones do not', async () => {
    expect(windows).toHaveLength(4);
    const given = { died: [0], throttled: [0], calls: [6] };
    await expectFiring(windows, () => sync(6, 200), { firing: false, given });
    const away = {
      caller: ingest(),
      service: 'rds-data',
      error: 'DatabaseUnavailableException',
      status: 504,
    };
    await expectFiring(windows, () => faults.during(away, () => sync(6, 500)), { given });
  });

  test('a queue that refuses messages is heard, while the events are taken', async () => {
    const refusing = { caller: ingest(), service: 'sqs', error: 'AccessDenied', status: 403 };
    await expectFiring(['publish-failures'], () => faults.during(refusing, () => sync(1, 200)));
  });

  test('a table of the rate limit that does not answer is heard, while the events are taken', async () => {
    const throttled = {
      ...{ caller: ingest(), service: 'dynamodb', error: 'ProvisionedThroughputExceededException' },
    };
    const twoSites = () => Promise.all([sync(15, 200), sync(15, 200)]); // each within the fifth that one instance allows
    await expectFiring(['rate-limit-fallback'], () => faults.during(throttled, twoSites));
  });

  test('withdrawals without funds are the first trigger, when they are more than usual', async () => {
    const metrics = alarmOf('insufficient-funds').metrics;
    const player = await openPlayer(stack);
    const since = stack.logs.length;
    const answers = await Promise.all(Array.from({ length: 5 }, () => player.withdraw('100')));
    expect(answers.map(({ body }) => body.code)).toEqual(Array(5).fill('INSUFFICIENT_FUNDS'));
    const [refused, asked] = ['refused', 'asked'].map((id) => metrics[id]?.metric);
    if (!refused || !asked) throw new Error('The alarm asks for no counts.');
    await expect.poll(() => emitted(stack, refused, since)).toEqual([1, 1, 1, 1, 1]);
    const values = { refused: emitted(stack, refused, since), asked: emitted(stack, asked, since) };
    const { fires } = alarmOf('insufficient-funds');
    expect(fires({ ...values, usual: [9.9] })).toBe(true);
    expect(fires({ ...values, usual: [10] })).toBe(false); // 5 in a quarter of an hour are twice 10 in an hour
    expect(fires({ ...values, asked: Array(501).fill(1), usual: [0] })).toBe(false); // below 1 %
    for (const { metric } of Object.values(metrics)) if (metric) proven.add(labelOf(metric));
  });

  test('the answer to a withdrawal that is given again is not counted again', async () => {
    const metric = alarmOf('insufficient-funds').metrics.asked?.metric;
    if (!metric) throw new Error('The alarm asks for no counts.');
    const player = await openPlayer(stack);
    const key = { 'idempotency-key': 'the same' };
    const since = stack.logs.length;
    for (const replayed of [false, true])
      expect(await player.withdraw('100', key)).toMatchObject({ status: 400, replayed });
    await player.withdraw('100'); // one that is counted, behind them
    await expect.poll(() => emitted(stack, metric, since)).toEqual([1, 1]);
  });

  test('webhooks with a wrong signature are the second trigger', async () => {
    const headers = { 'stripe-signature': `t=${Math.floor(Date.now() / 1000)},v1=${'0'.repeat(64)}` };
    const send = () =>
      fetch(`${stack.url}/api/v1/payments/webhook/stripe`, { method: 'POST', headers, body: '{}' });
    await expectFiring(['signatures-refused'], async () => {
      const answers = await Promise.all(Array.from({ length: 5 }, send));
      expect(answers.map(({ status }) => status)).toEqual(Array(5).fill(401));
    });
  });
});

test.each([
  ['unavailable', 11, { error: 'DatabaseResumingException' }],
  ['throttled', 11, { error: 'ThrottlingException' }],
  ['timeout', 4, { error: 'StatementTimeoutException' }],
  ['secret', 1, { error: 'SecretsErrorException' }],
  ['refused', 1, { error: 'AccessDeniedException', status: 403 }],
  ['unsupported', 1, { error: 'UnsupportedResultException' }],
  ['contention', 21, { error: 'DatabaseErrorException', message: 'ERROR: canceling; SQLState: 55P03' }],
  ['statement', 1, { error: 'DatabaseErrorException', message: 'ERROR: no such table; SQLState: 42P01' }],
])('the ledger that fails as %s is heard, whichever function called it', async (failure, calls, fault) => {
  const health = () => fetch(`${stack.url}/api/health`);
  const api = { caller: stack.functionName('api'), service: 'rds-data', ...fault };
  await expectFiring([`ledger-${failure}`], () =>
    faults.during(api, async () => {
      const answers = await Promise.all(Array.from({ length: calls }, health));
      expect(answers.every(({ ok }) => !ok)).toBe(true);
    }),
  );
});

test('no metric of an alarm was left out', () => {
  const watched = alarms.flatMap(({ metrics }) =>
    Object.values(metrics).flatMap(({ metric }) => (metric ? [labelOf(metric)] : [])),
  );
  expect([...proven].sort()).toEqual([...new Set(watched)].sort());
});
