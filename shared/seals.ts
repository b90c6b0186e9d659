// The seals of frozen months, proved again: those that were broken first, then those that nobody has proved for the longest.
import { ask } from './ask.ts';
import type { Database } from './ports.ts';

export const seals_a_run = 1_000;
/** A month is proved so often; one that is broken, at each run. */
const proved_every_days = 7;

export interface BrokenSeal {
  site_id: string;
  year_month: string;
  /** The days whose rows are not those that were sealed; null where the invoice itself is gone. */
  changed_days: string[] | null;
}

export interface SealChecks {
  checked: number;
  broken: BrokenSeal[];
  /** A month that could not be proved, with the reason. */
  failed: { site_id: string; year_month: string; ok: false; error: string }[];
  remaining: boolean;
}

/** @param until_ms when to stop; the next run goes on where this one ended. */
export async function checkSeals(database: Database, until_ms: number): Promise<SealChecks> {
  const due = await database.query<{ site_id: string; year_month: string }>(
    'select site_id::text, year_month from seals_to_check(:days::integer, :limit::integer)',
    { days: String(proved_every_days), limit: String(seals_a_run) },
  );
  const checks: SealChecks = { checked: 0, broken: [], failed: [], remaining: due.length === seals_a_run };
  for (const month of due) {
    if (Date.now() >= until_ms) return { ...checks, remaining: true };
    try {
      const proof = (await ask(database, 'check_seal(:site_id::uuid, :year_month)', month)) as {
        ok: boolean;
        changed_days: string[] | null;
      };
      checks.checked += 1;
      if (!proof.ok) checks.broken.push({ ...month, changed_days: proof.changed_days });
    } catch (error) {
      checks.failed.push({ ...month, ok: false, error: (error as Error).message });
    }
  }
  return checks;
}
