// On the 1st at 00:00 UTC, and at /api/cron/invoice-freeze: freezes the invoices of the month that has ended.
import { ledger } from '../shared/adapters/ledger.ts';
import {
  build_variables,
  database_variables,
  environment,
  type FreezeEnvironment,
} from '../shared/config.ts';
import { freezeMonth, previousMonth, requireMonth } from '../shared/invoice.ts';
import { job, logger, metrics } from './runtime.ts';

const time_budget_ms = 20_000;
/** The Data API ends a statement after 45 s; a month of five million rows is hashed in about half of that. */
const seal_timeout_ms = 44_000;
const results_shown_max = 1_000;

const env = environment<FreezeEnvironment>(...build_variables, ...database_variables, 'CRON_SECRET_ARN');
const database = ledger(env, { request_timeout_ms: seal_timeout_ms });

export const handler = job(env, { name: 'freeze', database }, async ({ query, scheduled_at }) => {
  const month = query.year_month === undefined ? previousMonth(scheduled_at) : requireMonth(query.year_month);
  logger.info('INVOICE_FREEZE_START', { year_month: month });
  const { results, remaining } = await freezeMonth(
    database,
    month,
    env.COMMIT_SHA,
    'invoice-freeze-cron',
    Date.now() + time_budget_ms,
  );
  const failed = results.filter(({ ok }) => !ok);
  for (const { site_id, error } of failed)
    logger.error('INVOICE_FREEZE_SITE_ERROR', { site_id, year_month: month, reason: error });
  const inserted = results.filter((result) => result.inserted).length;
  metrics.addMetric('invoice_frozen_total', 'Count', inserted);
  if (failed.length > 0) metrics.addMetric('invoice_freeze_failed_total', 'Count', failed.length);
  logger.info('INVOICE_FREEZE_COMPLETE', {
    year_month: month,
    frozen: inserted,
    failed: failed.length,
    remaining,
  });
  return {
    ok: failed.length === 0,
    year_month: month,
    frozen: inserted,
    inserted,
    skipped: results.length - inserted - failed.length,
    failed: failed.length,
    total_sites: results.length,
    remaining,
    results: results.slice(0, results_shown_max),
  };
});
