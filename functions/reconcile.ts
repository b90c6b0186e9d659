// Every 15 minutes, and at /api/cron/reconcile-usage: queues what changed, works on it, corrects what is beside the ledger.

import { usageCounter } from '../shared/adapters/dynamodb.ts';
import { ledger } from '../shared/adapters/ledger.ts';
import {
  build_variables,
  database_variables,
  environment,
  type ReconcileEnvironment,
} from '../shared/config.ts';
import { readJson } from '../shared/input.ts';
import { enqueue, type JobResult, jobs_max, readRange, runJobs } from '../shared/reconciliation.ts';
import { type JobResult as Answer, type JobCall, job, logger, metrics } from './runtime.ts';

const time_budget_ms = 20_000;

const env = environment<ReconcileEnvironment>(
  ...build_variables,
  ...database_variables,
  'CRON_SECRET_ARN',
  'USAGE_TABLE',
);
const database = ledger(env);
const counter = usageCounter(env.USAGE_TABLE);

export const handler = job(env, { name: 'reconcile', database }, async (call): Promise<Answer> => {
  const step = call.path.split('/').at(-1);
  if (step === 'enqueue') return { ok: true, ...(await enqueue(database)) };
  if (step === 'backfill') return backfill(call);
  if (step === 'run') return { ok: true, ...(await run()) };
  const queued = await enqueue(database);
  const ran = await run();
  return {
    ok: true,
    ...queued,
    ...ran,
    enqueue: queued,
    run: { processed: ran.processed, completed: ran.completed, failed: ran.failed },
  };
});

async function backfill({ body }: JobCall): Promise<Answer> {
  const { months, ...range } = readRange(readJson(body));
  const { enqueued, active_sites } = await enqueue(database, range);
  return { ok: true, enqueued, months, sites: active_sites };
}

async function run() {
  const results = await runJobs(database, counter, Date.now() + time_budget_ms, jobs_max);
  for (const result of results) report(result);
  const completed = results.filter(({ status }) => status === 'COMPLETED').length;
  const drifted = results.filter(({ drift_pct }) => (drift_pct ?? 0) > 0.01).length;
  metrics.addMetric('billing_reconciliation_runs_ok_total', 'Count', completed);
  metrics.addMetric('billing_reconciliation_runs_failed_total', 'Count', results.length - completed);
  metrics.addMetric('billing_reconciliation_drift_sites', 'Count', drifted);
  return { processed: results.length, completed, failed: results.length - completed, results };
}

function report(result: JobResult): void {
  if (result.status !== 'COMPLETED') logger.error('BILLING_RECONCILE_FAILED', { ...result });
  else logger.info('BILLING_RECONCILE_OK', { ...result });
  const lost = Number(result.undelivered ?? 0) + Number(result.ledgerless ?? 0);
  if (lost > 0) metrics.addMetric('billing_delivery_drift_total', 'Count', lost);
}
