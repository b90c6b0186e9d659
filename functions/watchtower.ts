// Every 15 minutes, and at /api/cron/watchtower: asks ledger, dead-letter queues and a canary whether the kernel is well.
import { dataApi } from '../shared/adapters/data-api.ts';
import { outcomeCounter } from '../shared/adapters/outcomes.ts';
import { queueDepth } from '../shared/adapters/sqs.ts';
import {
  build_variables,
  database_variables,
  environment,
  type WatchtowerEnvironment,
} from '../shared/config.ts';
import { readMetrics } from '../shared/metrics.ts';
import { type Check, counted, judge, levels, readChecks, sendCanary, verdict } from '../shared/watchtower.ts';
import { job, logger, metrics } from './runtime.ts';

const env = environment<WatchtowerEnvironment>(
  ...build_variables,
  ...database_variables,
  'CRON_SECRET_ARN',
  'API_URL',
  'USAGE_TABLE',
  'DEAD_LETTER_QUEUE_URLS',
);
const database = dataApi(env);
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
    const [ledger, deadLetters, counters] = await Promise.all([
      readChecks(database),
      checkDeadLetters(),
      readMetrics(database, outcomes),
    ]);
    const checks: Record<string, Check> = { ...judge(ledger), deadLetters, canary };
    const status = verdict(checks);
    report(status, checks);
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
