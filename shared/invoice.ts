// Invoices: a month is frozen a site at a time: barrier, count, seal; what was frozen can be verified by anyone.
import { ask } from './ask.ts';
import { KernelError } from './errors.ts';
import type { Database } from './ports.ts';

/** Sites that one call reads at once. */
const page_sites = 200;

export interface FrozenSite {
  site_id: string;
  ok: boolean;
  inserted?: boolean;
  event_count?: string;
  overage_count?: string;
  snapshot_hash?: string;
  ledger_hash?: string;
  error?: string;
}

/** The UTC month before the one that holds the instant, YYYY-MM. */
export function previousMonth(at: Date): string {
  return new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth() - 1, 1)).toISOString().slice(0, 7);
}

/** @throws KernelError `invalid_request` unless the text is a month YYYY-MM. */
export function requireMonth(month: string): string {
  if (!/^\d{4}-(0[1-9]|1[0-2])$/.test(month) || month < '2000-01')
    throw new KernelError('invalid_request', 'A month is written YYYY-MM.');
  return month;
}

/**
 * Freezes the month for every site that has no invoice for it yet; one site's failure does not stop the others.
 * @param until_ms when to stop; the next run goes on.
 * @returns a result for each site tried, and whether sites remain.
 * @throws KernelError `month_open` when the month has not ended by the ledger's clock.
 */
export async function freezeMonth(
  database: Database,
  month: string,
  commit: string,
  by: string,
  until_ms: number,
) {
  await database.query('select require_ended_month(:month) ended', { month });
  const results: FrozenSite[] = [];
  let after: string | null = null;
  for (;;) {
    const sites: { site_id: string }[] = await database.query<{ site_id: string }>(
      'select site_id::text from sites_to_freeze(:month, :after::uuid, :limit::integer)',
      { month, after, limit: String(page_sites) },
    );
    for (const { site_id } of sites) {
      if (Date.now() >= until_ms) return { results, remaining: true };
      results.push(await freezeSite(database, site_id, month, commit, by));
      after = site_id;
    }
    if (sites.length < page_sites) return { results, remaining: false };
  }
}

async function freezeSite(
  database: Database,
  site: string,
  month: string,
  commit: string,
  by: string,
): Promise<FrozenSite> {
  try {
    await database.query('select freeze_barrier(:site::uuid, :month) drained', { site, month });
    const parameters = { site, month, commit, by };
    const frozen = await ask(database, 'freeze_invoice(:site::uuid, :month, :commit, :by)', parameters);
    const seal = await ask(database, 'seal_invoice(:site::uuid, :month)', { site, month });
    return { site_id: site, ok: true, ...frozen, ...seal };
  } catch (error) {
    if (error instanceof KernelError && error.code === 'month_open') throw error;
    return { site_id: site, ok: false, error: (error as Error).message };
  }
}
