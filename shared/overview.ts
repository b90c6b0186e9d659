// What operators read of the whole kernel: the overview, the usage of all sites, jobs, and the audit log.
import * as z from 'zod';
import { ask, askMany } from './ask.ts';
import { parse, readCursor, writeCursor } from './input.ts';
import { requireMonth } from './invoice.ts';
import type { Database, OutcomeCounter } from './ports.ts';
import { judge } from './watchtower.ts';

const job_states = ['QUEUED', 'PROCESSING', 'COMPLETED', 'FAILED', 'DEAD', 'STUCK'] as const;
/** A page of the audit log goes on before this id. */
const audit_cursor = z
  .string()
  .regex(/^\d{1,18}$/, 'must be one that this list gave')
  .optional();
const short = z.string().max(200, 'must be a text of at most 200 characters').optional();
export const auditFilter = z.object({
  actor: short,
  action: short,
  resource_type: short,
  resource_id: short,
  site_id: z.uuid('must be the id of a site').optional(),
});
export const jobFilter = z.object({
  status: z.enum(job_states, `must be one of ${job_states.join(', ')}`).optional(),
});

/** The ledger's side in one snapshot; outcomes that never became rows come from the counters, null when these are away. */
export async function readOverview(database: Database, outcomes: OutcomeCounter) {
  const [overview, turnedAway] = await Promise.all([
    ask(database, 'kernel_overview()'),
    outcomes.totals().catch(() => null),
  ]);
  return { overview: { ...overview, judged: judge(overview.checks), outcomes: turnedAway } };
}

/** @throws KernelError `invalid_request` for a month or a cursor that is none. */
export async function listSiteUsage(
  database: Database,
  month: string | undefined,
  cursor: string | undefined,
  limit: number,
) {
  const after = cursor === undefined ? null : readCursor(cursor);
  const rows = await database.query<{ site: string; cursor: string }>(
    'select site::text, cursor from list_site_usage(:month, :after::timestamptz, :after_id::uuid, :limit::integer)',
    {
      month: month === undefined ? null : requireMonth(month),
      after: after?.[0] ?? null,
      after_id: after?.[1] ?? null,
      limit: String(limit),
    },
  );
  const last = rows.slice(0, limit).at(-1);
  return {
    sites: rows.slice(0, limit).map(({ site }) => JSON.parse(site)),
    next_cursor: rows.length > limit && last ? writeCursor(last.cursor) : null,
  };
}

/** @throws KernelError `invalid_request` for a filter or a cursor that is none. */
export async function listAudit(
  database: Database,
  { cursor, limit: _, ...query }: Record<string, string | undefined>,
  limit: number,
) {
  const rows = await askMany(database, 'list_audit(:filter::jsonb, :before::bigint, :limit::integer)', {
    filter: JSON.stringify(parse(auditFilter, query)),
    before: parse(z.object({ cursor: audit_cursor }), { cursor }).cursor ?? null,
    limit: String(limit),
  });
  const page = rows.slice(0, limit);
  return { entries: page, next_cursor: rows.length > limit ? page.at(-1).id : null };
}

/** @throws KernelError `invalid_request` for a status that is none. */
export async function listSiteJobs(database: Database, status: string | undefined, limit: number) {
  const jobs = await askMany(database, 'list_site_jobs(:status, :limit::integer)', {
    status: parse(jobFilter, { status }).status ?? null,
    limit: String(limit),
  });
  return { jobs };
}
