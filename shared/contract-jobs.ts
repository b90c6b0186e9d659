// The contract of the jobs: each is started by GET or POST with the cron secret, and may be started again at any time.
import * as z from 'zod';
import { type Operation, type Reply, requestId } from './contract-operation.ts';
import { count, hash, instant, month, monthParameter, signedCount, uuid } from './contract-schemas.ts';
import { metricFields } from './contract-system.ts';
import type { ErrorCode } from './errors.ts';
import { range } from './reconciliation.ts';
import { levels } from './watchtower.ts';

export const job = <Shape extends z.core.$ZodLooseShape>(shape: Shape) =>
  z.strictObject({
    ok: z.boolean().meta({ description: 'False when any part failed; what failed is named.' }),
    ...shape,
    request_id: requestId,
  });

const enqueued = { enqueued: z.int(), active_sites: z.int() };
const ran = { processed: z.int(), completed: z.int(), failed: z.int() };
const ids = z.array(count).meta({ description: 'The first 20.' });
const reconciledMonth = z
  .strictObject({
    site_id: uuid,
    year_month: month,
    status: z.enum(['COMPLETED', 'FAILED', 'DEAD', 'LOST']),
    skipped: z.literal('frozen').optional(),
    billable: count.optional(),
    overage: count.optional(),
    usage_before: z.strictObject({ event_count: count, overage_count: count }).optional(),
    usage_delta: signedCount.optional(),
    overage_delta: signedCount.optional(),
    undelivered: count.optional(),
    undelivered_ids: ids.optional(),
    ledgerless: count.optional(),
    ledgerless_ids: ids.optional(),
    as_of: count.optional(),
    counter_before: count.nullable().optional(),
    counter_drift: signedCount.optional(),
    drift_pct: z.number().optional().meta({ description: 'A fraction: 0.01 is 1 %.' }),
    error: z.string().optional(),
  })
  .meta({
    id: 'ReconciledMonth',
    description: 'A month of a site compared with the ledger, which is never changed.',
  });
const runResults = { ...ran, results: z.array(reconciledMonth) };
const frozenSite = z
  .strictObject({
    site_id: uuid,
    ok: z.boolean(),
    inserted: z.boolean().optional(),
    event_count: count.optional(),
    overage_count: count.optional(),
    usage_row: count.nullable().optional(),
    snapshot_hash: hash.optional(),
    frozen_at: instant.optional(),
    row_count: count.optional(),
    ledger_hash: hash.optional(),
    error: z.string().optional(),
  })
  .meta({ id: 'FrozenSite' });
const purgedMonth = z
  .strictObject({
    site_id: uuid,
    year_month: month,
    ok: z.boolean(),
    archived: z.boolean().optional(),
    deleted: count.optional(),
    would_delete: count.optional(),
    error: z.string().optional(),
  })
  .meta({ id: 'PurgedMonth' });
const cleanupFields = {
  batch_size: z.int(),
  cutoff: instant,
  archived: z.int(),
  failed: z.int(),
  remaining: z.boolean().meta({ description: 'Whether work is left for the next run.' }),
  months: z.array(purgedMonth),
  seals_checked: z.int().meta({ description: 'Frozen months proved again; each within a week.' }),
  seals_broken: z.array(
    z.strictObject({
      site_id: z.uuid(),
      year_month: z.string(),
      changed_days: z.array(z.string()).nullable(),
    }),
  ),
};

/** `skipped` where there is nothing to judge, `unknown` where the source did not answer. */
const check = <Shape extends z.core.$ZodLooseShape>(shape: Shape) =>
  z.strictObject({ status: z.enum([...levels, 'skipped', 'unknown']), ...shape });
const counted = check({ count: z.int() }).meta({ id: 'CountedCheck' });
const checks = z.strictObject({
  ingestPublishFailuresLast15m: counted,
  outboxAge: check({ count: z.int(), oldest_s: z.int() }),
  outboxFailed: counted,
  billingReconciliationDriftLast1h: counted,
  reconciliationFailed: counted,
  reconciliationDead: counted,
  undelivered: counted,
  ledgerless: counted,
  unfrozenMonths: check({ count: z.int(), first: z.string().nullable() }),
  brokenSeals: check({ count: z.int(), first: z.string().nullable() }),
  exportsDead: counted,
  moneyFindings: check({ count: z.int(), severities: z.record(z.string(), count) }),
  walletErrors: counted,
  payoutsUnknown: counted,
  payoutsStuck: counted,
  backfillDead: counted,
  paymentsWaiting: check({ count: z.int(), held: count, oldest_s: count }),
  paymentsDead: counted,
  matchIncomplete: counted,
  heartbeats: check({ count: z.int(), missed: z.array(z.string()) }),
  sessionsLastHour: check({ last_at: instant.nullable() }),
  deadLetters: check({
    count: z.int().optional(),
    queues: z.record(z.string(), z.int()).optional(),
    error: z.string().optional(),
  }),
  canary: check({
    accepted_ms: z.int().optional(),
    delivered_ms: z.int().optional(),
    stage: z.enum(['ingest', 'delivery']).optional(),
    http_status: z.int().optional(),
    code: z.string().optional(),
    ingest_id: uuid.optional(),
    error: z.string().optional(),
  }),
});
const watched = job({
  code: z.enum(levels.map((level) => `WATCHTOWER_${level.toUpperCase()}`)),
  status: z.enum(levels),
  severity: z.enum(levels),
  failure_count: z.int(),
  checks,
  details: z.strictObject({ timestamp: instant, environment: z.string() }),
  billing_metrics: z.strictObject(metricFields),
}).meta({ id: 'Watchtower' });

interface Job {
  id: string;
  path: string;
  summary: string;
  description: string;
  result: z.ZodType;
  query?: z.ZodObject;
  input?: z.ZodType;
  errors?: ErrorCode[];
  /** What else it may answer; a job that fails in part answers 500 with its result. */
  failure?: Reply;
}
/** The job by POST and, as `…ByGet`, by GET; a body needs POST, whatever a GET with one may do. */
export function started({
  id,
  path,
  summary,
  description,
  result,
  query,
  input,
  errors = [],
  failure,
}: Job): Operation[] {
  const operation: Operation = {
    ...{ id, path: `/api/cron/${path}`, summary, description },
    method: 'post',
    tag: 'jobs',
    caller: 'cron',
    ...(query && { parameters: { query } }),
    ...(input && { body: { 'application/json': input } }),
    replies: [{ status: 200, description: 'Done.', body: result }, ...(failure ? [failure] : [])],
    errors,
  };
  const { body: _, ...byGet } = operation;
  return [operation, { ...byGet, id: `${id}ByGet`, method: 'get', summary: `${summary}, by GET` }];
}

const reconciliation: Operation[] = [
  ...started({
    id: 'reconcileUsage',
    path: 'reconcile-usage',
    summary: 'Reconcile usage',
    description:
      'Queues every month that changed and works on it: usage row and fast counter are brought back to the ledger.',
    result: job({ ...enqueued, ...runResults, enqueue: z.strictObject(enqueued), run: z.strictObject(ran) }),
  }),
  ...started({
    id: 'enqueueReconciliation',
    path: 'reconcile-usage/enqueue',
    summary: 'Queue what changed',
    description: 'Queues every month that changed since it was reconciled.',
    result: job(enqueued),
  }),
  ...started({
    id: 'runReconciliation',
    path: 'reconcile-usage/run',
    summary: 'Work on the queue',
    description: 'Works on at most 50 due jobs; two runners never work on the same one.',
    result: job(runResults),
  }),
  ...started({
    id: 'backfillReconciliation',
    path: 'reconcile-usage/backfill',
    summary: 'Queue a range of months',
    description: 'Queues at most 12 months, of one site or of all; by GET, which has no body, it is refused.',
    result: job({ enqueued: z.int(), months: z.array(month), sites: z.int() }),
    input: range,
    errors: ['invalid_json', 'invalid_request'],
  }).map((operation) => (operation.method === 'get' ? { ...operation, replies: [] } : operation)),
];

const frozen = job({
  year_month: month,
  ...{ frozen: z.int(), inserted: z.int(), skipped: z.int(), failed: z.int(), total_sites: z.int() },
  remaining: z.boolean().meta({ description: 'Whether sites are left for the next run.' }),
  results: z.array(frozenSite).meta({ description: 'The first 1,000.' }),
}).meta({ id: 'Freeze' });
const cleaned = z
  .union([
    job({
      dry_run: z.literal(false),
      ...cleanupFields,
      ...{ deleted: count, events_deleted: count, personal_data_removed: count },
    }),
    job({
      dry_run: z.literal(true),
      ...cleanupFields,
      ...{ would_delete: count, events_would_delete: count, personal_data_would_remove: count },
    }),
  ])
  .meta({ id: 'Cleanup' });

const swept = job({
  expire_holds: z.int().meta({ description: 'Holds that were released.' }),
  expire_promo: z.int().meta({ description: 'Promotional credits that were taken back.' }),
  fold_accounts: z.int().meta({ description: 'Entries of busy accounts that were folded.' }),
  settle_invoices: z.int().meta({ description: 'Frozen invoices that were charged.' }),
  failed: z.array(z.enum(['expire_holds', 'expire_promo', 'fold_accounts', 'settle_invoices'])),
});

export const jobOperations: Operation[] = [
  ...started({
    id: 'watch',
    path: 'watchtower',
    summary: 'Is the kernel well?',
    description:
      'Asks the ledger, the dead-letter queues and a canary event; the worst check is the verdict.',
    query: z.object({
      strict: z.enum(['0', '1']).optional().meta({ description: '1 answers 503 unless it is well.' }),
    }),
    result: watched,
    failure: { status: 503, description: 'Not well, and strict was asked for.', body: watched },
  }),
  ...reconciliation,
  ...started({
    id: 'freezeInvoices',
    path: 'invoice-freeze',
    summary: 'Freeze invoices',
    description: 'Freezes the month that has ended, a site at a time; repeating it freezes nothing twice.',
    query: z.object({
      year_month: monthParameter.meta({
        description: 'A month that has ended; last month unless said otherwise.',
      }),
    }),
    result: frozen,
    errors: ['invalid_request', 'month_open'],
    failure: { status: 500, description: 'Some sites failed; the others are frozen.', body: frozen },
  }),
  ...started({
    id: 'cleanUp',
    path: 'idempotency-cleanup',
    summary: 'Archive and purge',
    description:
      'Archives and purges the months that are frozen and beyond the dispute window, and expires events.',
    query: z.object({
      dry_run: z.enum(['true', 'false']).optional().meta({ description: 'true counts and writes nothing.' }),
    }),
    result: cleaned,
    errors: ['invalid_request'],
    failure: { status: 500, description: 'Some months failed; the others are done.', body: cleaned },
  }),
  ...started({
    id: 'recover',
    path: 'recover',
    summary: 'Recover the outbox',
    description: 'Moves outbox rows that their message did not move.',
    result: job({ claimed: z.int(), recovered: z.int(), retried: z.int(), failed: z.int() }),
  }),
  ...started({
    id: 'sweepMoney',
    path: 'money-sweep',
    summary: 'Expire holds and credits',
    description: 'Releases holds and takes back promotional credits whose time is over, and folds entries.',
    result: swept,
    failure: { status: 500, description: 'Some steps failed; the others are done.', body: swept },
  }),
];
