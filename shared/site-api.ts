// What a site's people may read and do: each verb asks for a capability in the ledger, by the verified token's user.
import * as z from 'zod';
import { ask, askMany } from './ask.ts';
import { parse, readCursor, writeCursor } from './input.ts';
import { requireMonth } from './invoice.ts';
import type { Database, OutcomeCounter, Parameter, UsageCounter } from './ports.ts';
import { type Identity, isPlatformAdmin } from './token.ts';

const erase_rows_max = 10_000;
const text = (length_max: number) => z.string().min(1).max(length_max);

/** Exactly one of the three says whose payloads go. */
export const erasureInput = z.union(
  [
    z.strictObject({ ingest_id: z.uuid() }),
    z.strictObject({ sid: text(256) }),
    z.strictObject({ fp: text(256) }),
  ],
  'must hold exactly one of ingest_id, sid and fp',
);

function caller(identity: Identity, ref: string): Record<string, Parameter> {
  return { user: identity.subject, platform_admin: isPlatformAdmin(identity), ref };
}

/** The sites that the user may see, with the role and capabilities there. */
export async function mySites(
  database: Database,
  identity: Identity,
  cursor: string | undefined,
  limit: number,
) {
  const after = cursor === undefined ? null : readCursor(cursor);
  const rows = await database.query<{ site: string; cursor: string }>(
    'select site::text, cursor from my_sites(:user::uuid, :platform_admin, :after::timestamptz, :after_id::uuid, :limit::integer)',
    {
      user: identity.subject,
      platform_admin: isPlatformAdmin(identity),
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

/** Usage of a month from ledger, usage row and fast counter side by side, and what never became usage. */
export async function readUsage(
  database: Database,
  counter: UsageCounter,
  outcomes: OutcomeCounter,
  identity: Identity,
  ref: string,
  month: string | undefined,
) {
  const usage = await ask(database, 'read_site_usage(:user::uuid, :platform_admin, :ref, :month)', {
    ...caller(identity, ref),
    month: month === undefined ? null : requireMonth(month),
  });
  const [mirrored, turnedAway] = await Promise.all([
    counter.get(usage.site_id, usage.year_month).catch(() => null),
    outcomes.ofSite(usage.site_id, usage.year_month).catch(() => null),
  ]);
  return {
    ...usage,
    counter: mirrored && { used: String(mirrored.used), as_of: String(mirrored.asOf) },
    outcomes: turnedAway,
    drift: String(BigInt(usage.usage_row?.event_count ?? 0) - BigInt(usage.ledger.billable)),
  };
}

export async function readPlan(database: Database, identity: Identity, ref: string) {
  return {
    plan: await ask(database, 'read_site_plan(:user::uuid, :platform_admin, :ref)', caller(identity, ref)),
  };
}

export async function readQuota(database: Database, identity: Identity, ref: string) {
  return {
    quota: await ask(database, 'read_site_quota(:user::uuid, :platform_admin, :ref)', caller(identity, ref)),
  };
}

/** Frozen invoices, newest first; the cursor is the month after which to go on. */
export async function readInvoices(
  database: Database,
  identity: Identity,
  ref: string,
  cursor: string | undefined,
  limit: number,
) {
  const invoices = await askMany(
    database,
    'read_invoices(:user::uuid, :platform_admin, :ref, :before, :limit::integer)',
    {
      ...caller(identity, ref),
      before: cursor === undefined ? null : requireMonth(cursor),
      limit: String(limit),
    },
  );
  const page = invoices.slice(0, limit);
  return { invoices: page, next_cursor: invoices.length > limit ? page.at(-1)?.year_month : null };
}

/** The invoice of a month, recomputed from the ledger now. */
export async function proveInvoice(database: Database, identity: Identity, ref: string, month: string) {
  return {
    proof: await ask(database, 'read_invoice_proof(:user::uuid, :platform_admin, :ref, :month)', {
      ...caller(identity, ref),
      month: requireMonth(month),
    }),
  };
}

export async function readJobs(database: Database, identity: Identity, ref: string) {
  return {
    jobs: await askMany(database, 'read_jobs(:user::uuid, :platform_admin, :ref)', caller(identity, ref)),
  };
}

export const jobInput = z.strictObject(
  { year_month: z.string('must be a month such as 2026-01') },
  'must be a JSON object',
);

/**
 * Has an open month reconciled again by the schedule's next run.
 * @throws KernelError `month_frozen`, and `forbidden` without queue:operate.
 */
export async function requestJob(database: Database, identity: Identity, ref: string, input: unknown) {
  const { year_month } = parse(jobInput, input);
  return ask(database, 'request_reconciliation(:user::uuid, :platform_admin, :ref, :month)', {
    ...caller(identity, ref),
    month: requireMonth(year_month),
  });
}

/** Erases the payloads of one event, session or fingerprint; the ledger's proof stays. */
export async function erasePayloads(database: Database, identity: Identity, ref: string, input: unknown) {
  const selector = parse(erasureInput, input);
  return ask(
    database,
    'erase_payloads(:user::uuid, :platform_admin, :ref, :selector::jsonb, :limit::integer)',
    {
      ...caller(identity, ref),
      selector: JSON.stringify(selector),
      limit: String(erase_rows_max),
    },
  );
}
