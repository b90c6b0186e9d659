// Every 5 minutes, and at /api/cron/recover: moves outbox rows that their message did not move, so a lost publish is only late.
import { ledger } from '../shared/adapters/ledger.ts';
import {
  build_variables,
  database_variables,
  environment,
  type RecoverEnvironment,
} from '../shared/config.ts';
import { type BadRow, recover, recover_rows_max } from '../shared/delivery.ts';
import { job, logger, metrics, reportBadRows } from './runtime.ts';

/** Below the 29 s in which an HTTP caller must be answered; what is left is the next run's. */
const time_budget_ms = 20_000;

const env = environment<RecoverEnvironment>(...build_variables, ...database_variables, 'CRON_SECRET_ARN');
const database = ledger(env);

export const handler = job(env, { name: 'recover', database }, async () => {
  const end = Date.now() + time_budget_ms;
  let recovered = 0n;
  const bad: BadRow[] = [];
  for (;;) {
    const step = await recover(database);
    recovered += step.moved;
    bad.push(...step.bad);
    if (step.moved + BigInt(step.bad.length) < BigInt(recover_rows_max) || Date.now() >= end) break;
  }
  metrics.addMetric('billing_recovered_total', 'Count', Number(recovered));
  reportBadRows(bad);
  const failed = bad.filter(({ status }) => status === 'FAILED').length;
  logger.info('RECOVER_FALLBACK_OK', { recovered: String(recovered), retried: bad.length - failed, failed });
  return {
    ok: true,
    claimed: Number(recovered) + bad.length,
    recovered: Number(recovered),
    retried: bad.length - failed,
    failed,
  };
});
