// Revenue assurance: the daily run over all wallets, page by page, and the invariants of money.
import { ask, askMany } from './ask.ts';
import { KernelError } from './errors.ts';
import type { Database } from './ports.ts';

export const page_owners = 2_000;

/** A run as the ledger tells it; counts and money are decimal strings. */
export interface WalletRun {
  run_id: string;
  date: string;
  run_no: number;
  status: 'running' | 'completed' | 'failed';
  total: string;
  clean: string;
  adjusted: string;
  errors: string;
  total_delta: string;
  digest: string;
}

/** The day that a body asks for, or null for today; a body that is not JSON asks for nothing. */
export function readDate(body: string): string | null {
  let date: unknown;
  try {
    date = (JSON.parse(body) as { date?: unknown } | null)?.date;
  } catch {
    return null;
  }
  if (date === undefined || date === null) return null;
  return requireDay(date, 'date');
}

/** @throws KernelError `invalid_request` unless the value is a day of the calendar. */
export function requireDay(value: unknown, name: string): string {
  const day =
    typeof value === 'string' && /^\d{4}-\d\d-\d\d$/.test(value) ? new Date(`${value}T00:00:00Z`) : undefined;
  if (!day || Number.isNaN(day.getTime()) || day.toISOString().slice(0, 10) !== value)
    throw new KernelError('invalid_request', `${name} must be a day as YYYY-MM-DD.`);
  return value as string;
}

/**
 * Works on the run of a date until it ends or the time is over; what is left, the next call takes up.
 * @param key calls with the same key are one run.
 */
export async function reconcileWallets(
  database: Database,
  { date, by, key, until_ms }: { date: string | null; by: string; key: string | null; until_ms: number },
): Promise<WalletRun> {
  let run = (await ask(database, 'begin_reconciliation(:date::date, :by, :key)', {
    date,
    by,
    key,
  })) as WalletRun;
  while (run.status === 'running') {
    if (Date.now() >= until_ms) {
      await database.query('select release_reconciliation(:run::uuid)', { run: run.run_id });
      break;
    }
    run = (await ask(database, 'reconcile_wallets(:run::uuid, :limit::integer)', {
      run: run.run_id,
      limit: String(page_owners),
    })) as WalletRun;
  }
  return run;
}

/** The reports of a run, its own first. */
export async function readReports(database: Database, { date, run_no }: WalletRun, limit: number) {
  const call = 'list_reports(:date::date, :run_no::integer, null, :limit::integer)';
  const parameters = { date, run_no: String(run_no), limit: String(limit) };
  return (await askMany(database, call, parameters)) as Record<string, unknown>[];
}

/** Writes the findings of the daily invariants. */
export async function checkInvariants(database: Database) {
  return (await ask(database, 'wallet_invariants()')) as {
    findings: string;
    types: Record<string, string>;
  };
}

/** Every invariant of money with the number of its violations; null, and not healthy, where the time was over before it was examined. */
export async function examine(database: Database) {
  const invariants = await database.query<{ invariant: string; violations: string | null }>(
    'select invariant, violations from money_doctor() order by violations desc nulls first, invariant',
  );
  const unexamined = invariants.filter(({ violations }) => violations === null).length;
  const broken = invariants.filter(({ violations }) => violations !== null && violations !== '0').length;
  return { healthy: broken + unexamined === 0, broken, unexamined, invariants };
}
