// Reconciliation: jobs that bring usage row and fast counter back to the ledger, and name what was billed but not delivered.
import * as z from 'zod';
import { ask } from './ask.ts';
import { KernelError } from './errors.ts';
import type { Database, UsageCounter } from './ports.ts';

export const jobs_max = 50;
export const months_max = 12;
const lease_s = 120;
/** A counter is corrected beyond max(10, 1 %). */
const tolerance_events = 10n;

export interface JobResult {
  site_id: string;
  year_month: string;
  status: string;
  billable?: string;
  usage_delta?: string;
  counter_before?: string | null;
  counter_drift?: string;
  drift_pct?: number;
  undelivered?: string;
  ledgerless?: string;
  error?: string;
}

interface Job {
  id: string;
  site_id: string;
  year_month: string;
  attempt_count: string;
}

interface Comparison {
  skipped?: string;
  billable: string;
  usage_delta: string;
  undelivered: string;
  ledgerless: string;
  as_of: string;
}

export interface Range {
  from?: string | undefined;
  to?: string | undefined;
  site_id?: string | undefined;
  force?: boolean | undefined;
}

const month = z.string().regex(/^20\d{2}-(0[1-9]|1[0-2])$/, 'must be a month YYYY-MM');
export const range = z.strictObject({
  from: month,
  to: month,
  site_id: z.uuid('must be a UUID').optional(),
  force: z.boolean().optional(),
});

/** @throws KernelError `invalid_request` in one sentence. */
export function readRange(body: unknown): Range & { months: string[] } {
  const parsed = range.safeParse(body);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new KernelError(
      'invalid_request',
      `The field ${issue?.path.join('.') || 'body'} ${issue?.message}.`,
    );
  }
  const months = monthsOf(parsed.data.from, parsed.data.to);
  if (months.length === 0) throw new KernelError('invalid_request', 'from must not be after to.');
  if (months.length > months_max)
    throw new KernelError(
      'invalid_request',
      `The range holds ${months.length} months; at most ${months_max} are allowed.`,
    );
  return { ...parsed.data, months };
}

function monthsOf(from: string, to: string): string[] {
  const months: string[] = [];
  for (
    let at = new Date(`${from}-01T00:00:00Z`);
    at.toISOString().slice(0, 7) <= to;
    at.setUTCMonth(at.getUTCMonth() + 1)
  ) {
    months.push(at.toISOString().slice(0, 7));
  }
  return months;
}

/** Queues what is new or has changed; the figures count jobs and sites. */
export async function enqueue(database: Database, { from, to, site_id, force }: Range = {}) {
  const [row] = await database.query<{ enqueued: string; active_sites: string }>(
    'select enqueued, active_sites from enqueue_reconciliation(:from, :to, :site::uuid, :force)',
    { from: from ?? null, to: to ?? null, site: site_id ?? null, force: force ?? false },
  );
  return { enqueued: Number(row?.enqueued ?? 0), active_sites: Number(row?.active_sites ?? 0) };
}

/** Works on due jobs until none is left, the limit is reached or the time is over; a job's failure is its own. */
export async function runJobs(
  database: Database,
  counter: UsageCounter,
  until_ms: number,
  limit = jobs_max,
): Promise<JobResult[]> {
  const results: JobResult[] = [];
  while (results.length < limit && Date.now() < until_ms) {
    const [job] = await database.query<Job>(
      'select id, site_id::text, year_month, attempt_count from claim_billing_reconciliation_jobs(1, :lease::integer)',
      { lease: String(lease_s) },
    );
    if (!job) break;
    results.push(await runJob(database, counter, job));
  }
  return results;
}

async function runJob(database: Database, counter: UsageCounter, job: Job): Promise<JobResult> {
  const { site_id, year_month } = job;
  try {
    const call = 'reconcile_site(:site::uuid, :month)';
    const compared = (await ask(database, call, { site: site_id, month: year_month })) as Comparison;
    const drift = compared.skipped ? { drift_pct: 0 } : await reconcileCounter(counter, job, compared);
    const status = await finish(database, job, null, drift.drift_pct, { ...compared, ...drift });
    return { site_id, year_month, status, ...compared, ...drift };
  } catch (error) {
    const reason = (error as Error).message;
    return { site_id, year_month, status: await finish(database, job, reason, null, null), error: reason };
  }
}

/** The counter is corrected to the ledger when it is missing or off by more than the tolerance; both signs count. */
async function reconcileCounter(counter: UsageCounter, { site_id, year_month }: Job, compared: Comparison) {
  const billable = BigInt(compared.billable);
  const found = await counter.get(site_id, year_month);
  const drift = (found?.used ?? 0n) - billable;
  const size = drift < 0n ? -drift : drift;
  const tolerated = billable / 100n > tolerance_events ? billable / 100n : tolerance_events;
  const usage = BigInt(compared.usage_delta);
  const worst = size > (usage < 0n ? -usage : usage) ? size : usage < 0n ? -usage : usage;
  if (size > tolerated || (found === null && billable > 0n))
    await counter.set(site_id, year_month, billable, BigInt(compared.as_of));
  return {
    counter_before: found === null ? null : String(found.used),
    counter_drift: String(drift),
    drift_pct: billable === 0n ? (worst > 0n ? 1 : 0) : Number((worst * 1_000_000n) / billable) / 1_000_000,
  };
}

async function finish(
  database: Database,
  job: Job,
  error: string | null,
  driftPct: number | null,
  result: object | null,
): Promise<string> {
  const [row] = await database.query<{ status: string }>(
    'select finish_reconciliation(:job::bigint, :attempt::integer, :error, :drift::numeric, :result::jsonb) status',
    {
      job: job.id,
      attempt: job.attempt_count,
      error,
      drift: driftPct === null ? null : String(driftPct),
      result: result && JSON.stringify(result),
    },
  );
  return row?.status ?? 'LOST';
}
