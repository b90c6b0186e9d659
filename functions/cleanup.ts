// Every day at 03:00 UTC, and at /api/cron/idempotency-cleanup: archives and purges what may leave the ledger, expires events, proves seals.
import { ledger } from '../shared/adapters/ledger.ts';
import { s3 } from '../shared/adapters/s3.ts';
import {
  build_variables,
  type CleanupEnvironment,
  database_variables,
  environment,
} from '../shared/config.ts';
import { KernelError } from '../shared/errors.ts';
import { batch_rows, expireEvents, purgeMonths } from '../shared/retention.ts';
import { checkSeals, type SealChecks } from '../shared/seals.ts';
import { type JobCall, job, logger, metrics } from './runtime.ts';

/** A caller over HTTP is answered within 29 s; on its schedule the job has the function's 14 minutes. */
const http_budget_ms = 20_000;
const schedule_budget_ms = 13 * 60_000;
/** As for the freeze: a month of five million rows is hashed in one statement. */
const request_timeout_ms = 44_000;
const months_shown_max = 1_000;

const env = environment<CleanupEnvironment>(
  ...build_variables,
  ...database_variables,
  'CRON_SECRET_ARN',
  'EVIDENCE_BUCKET',
  'DISPUTE_WINDOW_DAYS',
  'EVENTS_RETENTION_DAYS',
  'PERSONAL_DATA_DAYS',
);
/** A dry run writes nothing, not even a proof. */
const no_seals: SealChecks = { checked: 0, broken: [], failed: [], remaining: false };
const database = ledger(env, { request_timeout_ms });
const archive = s3(env.EVIDENCE_BUCKET);
const retention = {
  dispute_window_days: Number(env.DISPUTE_WINDOW_DAYS),
  events_days: Number(env.EVENTS_RETENTION_DAYS),
  personal_data_days: Number(env.PERSONAL_DATA_DAYS),
};

export const handler = job(env, { name: 'cleanup', database }, async (call) => {
  const dry_run = dryRunOf(call);
  const until = Date.now() + (call.path === '' ? schedule_budget_ms : http_budget_ms);
  logger.info('CLEANUP_START', { dry_run });
  const personal = await expireEvents(
    database,
    'expire_personal_data',
    retention.personal_data_days,
    dry_run,
    until,
  );
  const events = await expireEvents(database, 'expire_events', retention.events_days, dry_run, until);
  const { months, remaining } = await purgeMonths(database, archive, retention, dry_run, until);
  const seals = dry_run ? no_seals : await checkSeals(database, until);
  for (const seal of seals.broken) logger.error('SEAL_BROKEN', { ...seal });
  const failed = [...months.filter(({ ok }) => !ok), ...seals.failed];
  for (const { site_id, year_month, error } of failed)
    logger.error('CLEANUP_FAIL', { site_id, year_month, reason: error });
  const total = (name: 'deleted' | 'would_delete') =>
    String(months.reduce((sum, month) => sum + BigInt(month[name] ?? 0), 0n));
  const window_ms = retention.dispute_window_days * 86_400_000;
  const figures = {
    cutoff: new Date(call.scheduled_at.getTime() - window_ms).toISOString(),
    ...(dry_run ? { would_delete: total('would_delete') } : { deleted: total('deleted') }),
    archived: months.filter(({ archived }) => archived).length,
    [dry_run ? 'events_would_delete' : 'events_deleted']: String(events),
    [dry_run ? 'personal_data_would_remove' : 'personal_data_removed']: String(personal),
    failed: failed.length,
    seals_checked: seals.checked,
    remaining: remaining || seals.remaining,
  };
  if (failed.length > 0) metrics.addMetric('ledger_cleanup_failed_total', 'Count', failed.length);
  logger.info('CLEANUP_COMPLETE', { dry_run, ...figures });
  return {
    ok: failed.length === 0,
    dry_run,
    batch_size: batch_rows,
    ...figures,
    months: [...months, ...seals.failed].slice(0, months_shown_max),
    seals_broken: seals.broken.slice(0, months_shown_max),
  };
});

function dryRunOf({ query }: JobCall): boolean {
  const { dry_run } = query;
  if (dry_run === undefined || dry_run === 'false') return false;
  if (dry_run === 'true') return true;
  throw new KernelError('invalid_request', 'The parameter dry_run must be true or false.');
}
