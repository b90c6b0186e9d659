// Watchtower on money: each thing that can be wrong with wallets, payouts and backfills turns its own check and the verdict.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fakeClock } from '../../local/schedule/clock.ts';
import { plant } from '../support/reconciliation.ts';
import { openStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;
let secret: string;
beforeAll(async () => {
  stack = await openStack({ clock: fakeClock(new Date()) }); // no schedule mends what a test has planted
  secret = stack.state.secret(
    stack.resource('AWS::SecretsManager::Secret', 'CronSecret').ref.split(':').at(-1) ?? '',
  );
  expect((await watchtower()).body).toMatchObject({ code: 'WATCHTOWER_OK', failure_count: 0 });
});
afterAll(() => stack?.close());

interface Trouble {
  what: string;
  check: string;
  level: 'degraded' | 'alarm';
  plant: string;
  mend: string;
  more?: object;
}

const tables = [
  'reconciliation_findings',
  'payout_attempts',
  'withdrawals',
  'data_migration_items',
  'data_migrations',
  'provider_events',
];
const clean = tables.map((table) => `delete from ${table}`).join(';');
const id = '00000000-0000-4000-8000-000000000060';

const finding = (severity: string, n: number, status = 'OPEN') =>
  `insert into reconciliation_findings (provider, finding_type, severity, status, message) select 'x', 'planted', '${severity}', '${status}', 'x' from generate_series(1, ${n})`;
const attempt = (minutes: number, status: string) =>
  `insert into payout_attempts (id, withdraw_tx_id, tenant_id, attempt_no, provider, idempotency_key, status, created_by, created_at)
   values ('${id}', '${id}', 'x', 1, 'x', 'x', '${status}', 'x', now() - interval '${minutes} minutes')`;
const withdrawal = (minutes: number, state: string) =>
  `insert into withdrawals (id, tenant_id, player_id, currency, amount, method, state, idempotency_key, flags, metadata, updated_at)
   values ('${id}', 'x', '${id}', 'USD', 1, 'x', '${state}', 'x', '{}', '{}', now() - interval '${minutes} minutes')`;
const run = (minutes: number, errors: number) =>
  `insert into reconciliation_runs (provider, status, created_at, stats_json)
   values ('wallet_ledger', 'completed', now() - interval '${minutes} minutes', '{"errors": "${errors}"}')`;
const backfill = (name: string, type: string, hours: number) =>
  `insert into data_migrations (id, type, status, created_by, metadata, created_at, completed_at)
   values ('${name}', '${type}', 'failed', 'x', '{"tenant_id": "x"}', now() - interval '${hours} hours', now())`;
const dead = (of: string, item: string) =>
  `insert into data_migration_items (migration_id, nth, item, attempts, status) values ('${of}', 1, '${item}', 5, 'dead')`;
const event = `insert into provider_events (id, occurred_at, tenant_id, provider, event_id, type, status, payload_hash, payload)
  values ('${id}', now(), 'x', 'x', 'x', 'x', 'dead', sha256('x'), '{}')`;
const heard = (status: string, minutes: number) =>
  `insert into provider_events (id, occurred_at, received_at, tenant_id, provider, event_id, type, source, status, payload_hash, payload)
   values ('${id}', now(), now() - interval '${minutes} minutes', 'x', 'x', 'x', 'x', 'webhook', '${status}', sha256('x'), '{}')`;
const applied = `update provider_events set status = 'processed', processed_at = now()`;
const match = (minutes: number, status: string) =>
  `insert into reconciliation_runs (provider, status, created_at) values ('mockpsp', '${status}', now() - interval '${minutes} minutes')`;

const troubles: Trouble[] = [
  {
    what: 'two findings are open, none of them grave',
    check: 'moneyFindings',
    level: 'degraded',
    plant: `${finding('HIGH', 1)}; ${finding('WARN', 1)}`,
    mend: `update reconciliation_findings set status = 'RESOLVED'`,
    more: { count: 2, severities: { HIGH: '1', WARN: '1' } },
  },
  ...['ERROR', 'CRITICAL'].map((severity) => ({
    what: `a finding of severity ${severity} is open`,
    check: 'moneyFindings',
    level: 'alarm' as const,
    plant: `${finding(severity, 1)}; ${finding('INFO', 2)}`,
    mend: `update reconciliation_findings set status = 'RESOLVED'`,
    more: { count: 3, severities: { [severity]: '1', INFO: '2' } },
  })),
  {
    what: 'the last run left wallets that it could not heal',
    check: 'walletErrors',
    level: 'alarm',
    plant: run(10, 2),
    mend: run(5, 0),
    more: { count: 2 },
  },
  {
    what: 'a provider has not said for 16 minutes what became of a payout',
    check: 'payoutsUnknown',
    level: 'alarm',
    plant: attempt(16, 'unknown'),
    mend: `update payout_attempts set status = 'succeeded'`,
    more: { count: 1 },
  },
  {
    what: 'a withdrawal is at the provider for 61 minutes',
    check: 'payoutsStuck',
    level: 'degraded',
    plant: withdrawal(61, 'payout_pending'),
    mend: `update withdrawals set state = 'paid'`,
    more: { count: 1 },
  },
  {
    what: 'an event of a backfill was given up, in two backfills',
    check: 'backfillDead',
    level: 'degraded',
    plant: `${backfill('a', 'webhook_replay', 2)}; ${backfill('b', 'webhook_replay', 1)}; ${dead('a', id)}; ${dead('b', id)}; ${event}`,
    mend: `update provider_events set status = 'processed', processed_at = now()`,
    more: { count: 1 },
  },
  {
    what: 'a wallet was left out by the last backfill of its tenant',
    check: 'backfillDead',
    level: 'degraded',
    plant: `${backfill('w', 'wallet_snapshots', 2)}; ${dead('w', `${id}|USD`)}`,
    mend: backfill('v', 'wallet_snapshots', 1),
    more: { count: 1 },
  },
  {
    what: 'an event of a provider has waited for eleven minutes',
    check: 'paymentsWaiting',
    level: 'alarm',
    plant: heard('received', 11),
    mend: applied,
    more: { waiting: '1', dead: '0' },
  },
  {
    what: 'an event of a provider could not be applied',
    check: 'paymentsDead',
    level: 'alarm',
    plant: heard('dead', 1),
    mend: applied,
    more: { count: 1 },
  },
  {
    what: 'the last reconciliation of a provider had a gap in its list',
    check: 'matchIncomplete',
    level: 'degraded',
    plant: match(10, 'incomplete'),
    mend: match(5, 'completed'),
    more: { count: 1 },
  },
];

describe('watchtower says', () => {
  test.each(troubles)('$check $level when $what, and ok when it is mended', async (trouble) => {
    const { check, level, plant: sql, mend, more } = trouble;
    await plant(stack.database, sql);
    try {
      const { status, body } = await watchtower('?strict=1');
      expect(body).toMatchObject({
        code: `WATCHTOWER_${level.toUpperCase()}`,
        failure_count: 1,
        checks: { [check]: { status: level, ...more } },
      });
      expect(status).toBe(level === 'alarm' ? 503 : 200);
      await plant(stack.database, mend);
      expect((await watchtower()).body).toMatchObject({
        code: 'WATCHTOWER_OK',
        checks: { [check]: { status: 'ok', count: 0 } },
      });
    } finally {
      await plant(stack.database, clean);
    }
  });

  test('ok of a payout that is asked for, a withdrawal that is new at the provider, and a finding that is resolved', async () => {
    await plant(
      stack.database,
      [
        finding('CRITICAL', 3, 'RESOLVED'),
        attempt(14, 'unknown'),
        withdrawal(59, 'payout_pending'),
        attempt(90, 'pending').replaceAll(id, id.replace('60', '61')),
        withdrawal(90, 'requested').replaceAll(id, id.replace('60', '61')),
      ].join(';'),
    );
    expect((await watchtower()).body).toMatchObject({ code: 'WATCHTOWER_OK', failure_count: 0 });
    await plant(stack.database, clean);
  });
});

test('what the watchtower asks of money is answered by indexes alone, however long the history is', async () => {
  await plant(
    stack.database,
    `${finding('INFO', 20_000, 'RESOLVED')};
     insert into withdrawals (id, tenant_id, player_id, currency, amount, method, state, idempotency_key, flags, metadata)
       select gen_random_uuid(), 'x', '${id}', 'USD', 1, 'x', 'paid', 'x', '{}', '{}' from generate_series(1, 20000);
     insert into payout_attempts (id, withdraw_tx_id, tenant_id, attempt_no, provider, idempotency_key, status, created_by)
       select gen_random_uuid(), gen_random_uuid(), 'x', 1, 'x', 'x', 'succeeded', 'x' from generate_series(1, 20000);
     insert into data_migration_items (migration_id, nth, item, status) select 'x', s, 'x', 'done' from generate_series(1, 20000) s;
     insert into reconciliation_runs (provider, status, created_at) select 'wallet_ledger', 'completed', now() - interval '1 day' * s from generate_series(1, 20000) s`,
  );
  await stack.database.query(
    'analyze reconciliation_findings, withdrawals, payout_attempts, data_migration_items, reconciliation_runs',
  );
  const scanned = async () => {
    await stack.database.query('select pg_stat_force_next_flush()');
    const { rows } = await stack.database.query(
      `select relname, seq_tup_read::int read from pg_stat_user_tables
        where relname in ('reconciliation_findings', 'withdrawals', 'payout_attempts', 'data_migration_items', 'reconciliation_runs') order by 1`,
    );
    return rows;
  };
  const before = await scanned();
  await stack.database.query('select money_checks()');
  expect(await scanned()).toEqual(before);
  await stack.database.query(`select count(*) from withdrawals where method = 'y'`);
  expect(await scanned()).not.toEqual(before); // a full scan would have been seen
});

async function watchtower(query = '') {
  const response = await fetch(`${stack.url}/api/cron/watchtower${query}`, {
    headers: { authorization: `Bearer ${secret}` },
  });
  return { status: response.status, body: await response.json() };
}
