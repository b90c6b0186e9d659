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
const drift_doubted = 0.01;
const settle_ms = 500;
/** So many jobs at once: while the ledger of one is counted, another writes its counter or ends. */
const lanes = 2;

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
  let taken = 0;
  const work = async () => {
    const doubts: Doubt[] = [];
    while (taken < limit && Date.now() < until_ms) {
      taken += 1;
      const [job] = await database.query<Job>(
        'select id, site_id::text, year_month, attempt_count from claim_billing_reconciliation_jobs(1, :lease::integer)',
        { lease: String(lease_s) },
      );
      if (!job) break;
      const look = await attempt(database, job, () => firstLook(database, counter, job));
      if ('status' in look) results.push(look);
      else doubts.push(look);
      const ripe_ms = Date.now() - settle_ms;
      while (doubts[0] && doubts[0].looked_at_ms <= ripe_ms)
        results.push(await again(database, counter, doubts.shift() as Doubt));
    }
    for (const doubt of doubts) results.push(await again(database, counter, doubt));
  };
  const ended = await Promise.allSettled(Array.from({ length: lanes }, work)); // what one has begun, it ends
  for (const lane of ended) if (lane.status === 'rejected') throw lane.reason;
  return results;
}

/** A job whose counter did not say what the ledger said: perhaps a commit's counter write was on its way. */
interface Doubt {
  job: Job;
  compared: Comparison;
  looked_at_ms: number;
}

async function attempt<Look>(
  database: Database,
  job: Job,
  look: () => Promise<Look>,
): Promise<Look | JobResult> {
  try {
    return await look();
  } catch (error) {
    const { site_id, year_month } = job;
    const reason = (error as Error).message;
    return { site_id, year_month, status: await finish(database, job, reason, null, null), error: reason };
  }
}

async function firstLook(database: Database, counter: UsageCounter, job: Job): Promise<JobResult | Doubt> {
  const compared = await compare(database, job);
  if (compared.skipped) return end(database, job, compared, { drift_pct: 0 });
  const found = await counter.get(job.site_id, job.year_month);
  const billable = BigInt(compared.billable);
  const drift = (found?.used ?? 0n) - billable;
  if (fraction(drift, billable) > drift_doubted) return { job, compared, looked_at_ms: Date.now() };
  return end(database, job, compared, await mend(counter, job, compared, found, drift));
}

/** A doubt waits while other jobs are worked on; the last ones wait here. */
async function again(database: Database, counter: UsageCounter, doubt: Doubt): Promise<JobResult> {
  await sleep(Math.max(0, doubt.looked_at_ms + settle_ms - Date.now()));
  return attempt(database, doubt.job, () => secondLook(database, counter, doubt));
}

/**
 * The counter drifts by what lies outside the two counts around it: between them it moved with the traffic. One that says no
 * more than the first count needs no second one.
 */
async function secondLook(
  database: Database,
  counter: UsageCounter,
  { job, compared: before }: Doubt,
): Promise<JobResult> {
  const found = await counter.get(job.site_id, job.year_month);
  const lacking = (found?.used ?? 0n) - BigInt(before.billable);
  if (lacking <= 0n) return end(database, job, before, await mend(counter, job, before, found, lacking));
  const after = await compare(database, job);
  if (after.skipped) return end(database, job, after, { drift_pct: 0 });
  const beyond = (found?.used ?? 0n) - BigInt(after.billable);
  const now = { ...before, billable: after.billable, as_of: after.as_of };
  return end(database, job, now, await mend(counter, job, now, found, beyond > 0n ? beyond : 0n));
}

const compare = async (database: Database, { site_id, year_month }: Job): Promise<Comparison> =>
  (await ask(database, 'reconcile_site(:site::uuid, :month)', {
    site: site_id,
    month: year_month,
  })) as Comparison;

/** The counter is set to the ledger when it is missing or off by more than the tolerance; both signs count. */
async function mend(
  counter: UsageCounter,
  { site_id, year_month }: Job,
  { billable: counted, usage_delta, as_of }: Comparison,
  found: { used: bigint } | null,
  drift: bigint,
) {
  const billable = BigInt(counted);
  const usage = sizeOf(BigInt(usage_delta));
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

async function end(
  database: Database,
  job: Job,
  compared: Comparison,
  drift: { drift_pct: number },
): Promise<JobResult> {
  const { site_id, year_month } = job;
  const status = await finish(database, job, null, drift.drift_pct, { ...compared, ...drift });
  return { site_id, year_month, status, ...compared, ...drift };
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
