// The sites of a member with their usage: no operation lists them together, so each is asked for what the role may see there.
import { useQuery } from '@tanstack/react-query';
import { type Answer, ApiError, call, type Plan, type PlanInForce } from '../../api/client.ts';
import type { List } from '../../api/query.ts';
import type { SiteAccess } from '../../session/viewer.ts';

/** A site with its usage, as admins and members see it; what the role does not open is undefined. */
export interface SiteRow {
  id: string;
  public_id: string;
  name: string;
  closed: boolean;
  /** An admin's list does not tell of an unblock, but its limit is the one in force. */
  plan?: (Plan & Partial<Pick<PlanInForce, 'billing_enforcement' | 'unblock'>>) | undefined;
  limit?: string | undefined;
  used?: string | undefined;
  ledger?: string | undefined;
  drift?: string | undefined;
  rejected?: string | undefined;
  last_event_at?: string | null | undefined;
  failed?: boolean;
}

export const own_sites_max = 50;
const at_once = 6;
const live_sites_max = 10;
const live_every_ms = 15_000;

/** @param month undefined is this month. */
export function useOwnSites(
  sites: readonly SiteAccess[],
  month: string | undefined,
  live = false,
): List<SiteRow> {
  const asked = sites.slice(0, own_sites_max);
  const query = useQuery({
    queryKey: ['own sites', asked.map(({ id }) => id), month],
    queryFn: () => inTurns(asked, (site) => readSite(site, month)),
    ...(live && asked.length <= live_sites_max && { refetchInterval: live_every_ms }),
  });
  return {
    rows: query.data,
    as_of_ms: query.dataUpdatedAt || undefined,
    loading: query.isLoading,
    error: query.error,
    retry: () => void query.refetch(),
    all: async () => query.data ?? [],
  };
}

/** The answers in the order of the things, a few at a time. */
export async function inTurns<Thing, Result>(
  things: readonly Thing[],
  ask: (thing: Thing) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  for (let n = 0; n < things.length; n += at_once)
    results.push(...(await Promise.all(things.slice(n, n + at_once).map(ask))));
  return results;
}

async function readSite(site: SiteAccess, month: string | undefined): Promise<SiteRow> {
  const { id, public_id, name, status } = site;
  const row = { id, public_id, name, closed: status === 'closed' };
  const path = { ref: id };
  try {
    if (site.capabilities.includes('billing:view')) {
      const [usage, { plan }] = await Promise.all([
        call('GET /api/sites/{ref}/usage', { path, query: { month } }),
        call('GET /api/sites/{ref}/plan', { path }),
      ]);
      return { ...row, ...ofUsage(usage), plan };
    }
    if (month !== undefined) return row;
    const { quota } = await call('GET /api/sites/{ref}/quota', { path });
    return { ...row, limit: quota.limit, used: quota.used };
  } catch (error) {
    // One site's refusal is its own; a network that is away is everybody's.
    if (error instanceof ApiError) return { ...row, failed: true };
    throw error;
  }
}

function ofUsage({ ledger, usage_row, limit, drift }: Answer<'GET /api/sites/{ref}/usage'>) {
  return {
    ...{ limit, drift, ledger: ledger.billable, rejected: ledger.rejected },
    used: usage_row?.event_count ?? '0',
  };
}

/** As the operators' list has it. */
export function rowOf({ usage, status, ...site }: Answer<'GET /api/admin/usage'>['sites'][number]): SiteRow {
  const { id, public_id, name, billing_enforcement } = site;
  const { ledger, drift, rejected, limit, last_event_at } = usage;
  return {
    ...{ id, public_id, name, closed: status === 'closed' },
    plan: { ...site.plan, billing_enforcement },
    ...{ limit, ledger, drift, rejected, last_event_at, used: usage.event_count },
  };
}
