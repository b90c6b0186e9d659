// Every 15 minutes, and at /api/cron/watchtower: asks ledger, dead-letter queues and a canary whether the kernel is well.
import { ledger } from '../shared/adapters/ledger.ts';
import { outcomeCounter } from '../shared/adapters/outcomes.ts';
import { queueDepth } from '../shared/adapters/sqs.ts';
import {
  build_variables,
  database_variables,
  environment,
  type WatchtowerEnvironment,
} from '../shared/config.ts';
import { readMetrics } from '../shared/metrics.ts';
import {
  type Check,
  counted,
  judge,
  type LedgerChecks,
  levels,
  readChecks,
  readSignals,
  sendCanary,
  verdict,
  type WithdrawalSignals,
} from '../shared/watchtower.ts';
import { job, logger, metrics } from './runtime.ts';

const env = environment<WatchtowerEnvironment>(
  ...build_variables,
  ...database_variables,
  'CRON_SECRET_ARN',
  'API_URL',
  'USAGE_TABLE',
  'DEAD_LETTER_QUEUE_URLS',
);
const database = ledger(env);
const outcomes = outcomeCounter(env.USAGE_TABLE);
const depths = Object.entries(JSON.parse(env.DEAD_LETTER_QUEUE_URLS) as Record<string, string>).map(
  ([name, url]) => ({ name, depth: queueDepth(url) }),
);

export const handler = job(
  env,
  {
    name: 'watchtower',
    database,
    alive: () => true, // an alarm is news about the kernel, not about this job
    status: ({ ok }, { query }) => (query.strict === '1' && !ok ? 503 : 200),
  },
  async () => {
    const canary = await sendCanary(database, env.API_URL); // first, so that its own rows are settled when the ledger is asked
    const [ledger, deadLetters, counters, signals] = await Promise.all([
      readChecks(database),
      checkDeadLetters(),
      readMetrics(database, outcomes),
      readSignals(database),
    ]);
    const checks: Record<string, Check> = { ...judge(ledger), deadLetters, canary };
    const status = verdict(checks);
    report(status, checks);
    reportGauges(ledger, signals);
    const wrong = Object.values(checks).filter((check) => !['ok', 'skipped'].includes(check.status));
    return {
      ok: status === 'ok' || status === 'degraded',
      code: `WATCHTOWER_${status.toUpperCase()}`,
      status,
      severity: status,
      failure_count: wrong.length,
      checks,
      details: { timestamp: new Date().toISOString(), environment: env.STAGE },
      billing_metrics: counters.flat,
    };
  },
);

async function checkDeadLetters(): Promise<Check> {
  try {
    const found = await Promise.all(depths.map(async ({ name, depth }) => [name, await depth()] as const));
    const total = found.reduce((sum, [, depth]) => sum + depth, 0);
    return { ...counted(total, 'alarm'), queues: Object.fromEntries(found) };
  } catch (error) {
    return { status: 'unknown', error: (error as Error).message };
  }
}

function report(status: (typeof levels)[number], checks: Record<string, Check>): void {
  metrics.addMetric('watchtower_level', 'Count', levels.indexOf(status));
  const wrong = Object.entries(checks).filter(([, check]) => !['ok', 'skipped'].includes(check.status));
  if (wrong.length === 0) logger.info('WATCHTOWER_OK');
  else logger.error(`WATCHTOWER_${status.toUpperCase()}`, { checks: Object.fromEntries(wrong) });
}

/** What the alarms watch of the ledger: said at each run, whether or not anything is wrong. */
function reportGauges(ledger: LedgerChecks, signals: WithdrawalSignals): void {
  const { outbox, reconciliation, money } = ledger;
  const open = Object.entries(money.open_findings);
  const grave = open.filter(([severity]) => severity === 'ERROR' || severity === 'CRITICAL');
  metrics.addMetric('outbox_age_seconds', 'Seconds', Number(outbox.oldest_s));
  metrics.addMetric('ledger_drift', 'Count', reconciliation.drift_sites_last1h);
  metrics.addMetric('delivery_drift', 'Count', Number(ledger.undelivered) + Number(ledger.ledgerless));
  // Wallets that nobody could heal, and what somebody must settle between provider, withdrawals and ledger.
  metrics.addMetric('money_drift', 'Count', Number(money.wallet_errors) + sum(grave));
  metrics.addMetric('open_findings', 'Count', sum(open));
  metrics.addMetric('unfrozen_months', 'Count', Number(ledger.unfrozen.count));
  metrics.addMetric('broken_seals', 'Count', Number(ledger.seals.broken));
  for (const { job, missed } of ledger.heartbeats)
    metrics.addMetric(`job_${job}_missed`, 'Count', missed ? 1 : 0);
  const { withdrawals_1h, mismatches_1h, largest_mismatch, insufficient_funds_hourly } = signals;
  // A mismatch at a withdrawal that was refused is one too, so that nothing is divided by none.
  const percent = (100 * Number(mismatches_1h)) / Math.max(Number(withdrawals_1h), Number(mismatches_1h), 1);
  metrics.addMetric('balance_mismatch_percent', 'Percent', percent);
  metrics.addMetric('balance_mismatch_largest_minor', 'Count', Number(largest_mismatch));
  metrics.addMetric('insufficient_funds_hourly_mean', 'Count', Number(insufficient_funds_hourly));
}

function sum(counts: [name: string, count: string][]): number {
  return counts.reduce((total, [, count]) => total + Number(count), 0);
}
