// Reconciliation: jobs that bring usage row and fast counter back to the ledger, and name what was billed but not delivered.
import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { ask } from './ask.ts';
import { KernelError } from './errors.ts';
import type { Database, UsageCounter } from './ports.ts';

export const jobs_max = 50;
export const months_max = 12;
const lease_s = 120;
/** A counter is corrected beyond max(10, 1 %). */
const tolerance_events = 10n;
/** A difference beyond this fraction is looked at again after a commit's counter write has had time to arrive. */
const drift_alarm = 0.01;
const settle_ms = 500;

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
    const compared = await compare(database, job);
    const drift = compared.skipped
      ? { drift_pct: 0 }
      : await reconcileCounter(database, counter, job, compared);
    const status = await finish(database, job, null, drift.drift_pct, { ...compared, ...drift });
    return { site_id, year_month, status, ...compared, ...drift };
  } catch (error) {
    const reason = (error as Error).message;
    return { site_id, year_month, status: await finish(database, job, reason, null, null), error: reason };
  }
}

const compare = async (database: Database, { site_id, year_month }: Job): Promise<Comparison> =>
  (await ask(database, 'reconcile_site(:site::uuid, :month)', {
    site: site_id,
    month: year_month,
  })) as Comparison;

interface CounterDrift {
  counter_before: string | null;
  counter_drift: string;
  drift_pct: number;
}

/** The counter is corrected to the ledger when it is missing or off by more than the tolerance; both signs count. */
async function reconcileCounter(
  database: Database,
  counter: UsageCounter,
  job: Job,
  compared: Comparison,
): Promise<CounterDrift> {
  const { site_id, year_month } = job;
  const usage = sizeOf(BigInt(compared.usage_delta));
  let billable = BigInt(compared.billable);
  let as_of = compared.as_of;
  let found = await counter.get(site_id, year_month);
  let drift = (found?.used ?? 0n) - billable;
  if (fraction(drift, billable) > drift_alarm) {
    await sleep(settle_ms);
    found = await counter.get(site_id, year_month);
    const again = await compare(database, job);
    if (!again.skipped) {
      drift = outside(found?.used ?? 0n, billable, BigInt(again.billable));
      billable = BigInt(again.billable);
      as_of = again.as_of;
    }
  }
  const size = sizeOf(drift);
  const tolerated = billable / 100n > tolerance_events ? billable / 100n : tolerance_events;
  if (size > tolerated || (found === null && billable > 0n))
    await counter.set(site_id, year_month, billable, BigInt(as_of));
  return {
    counter_before: found === null ? null : String(found.used),
    counter_drift: String(drift),
    drift_pct: fraction(size > usage ? size : usage, billable),
  };
}

const sizeOf = (difference: bigint): bigint => (difference < 0n ? -difference : difference);

/** Of an empty ledger any difference is the whole. */
const fraction = (difference: bigint, whole: bigint): number =>
  whole === 0n ? Number(difference !== 0n) : Number((sizeOf(difference) * 1_000_000n) / whole) / 1_000_000;

/** How far the counter lies outside what the ledger counted before and after it was read: between them it moved with the traffic. */
const outside = (used: bigint, before: bigint, after: bigint): bigint =>
  used < before ? used - before : used > after ? used - after : 0n;

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
