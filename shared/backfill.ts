// Backfills: what a request may ask for, and the loop that applies one event after the other until none is due.
import { ask } from './ask.ts';
import { requireDay } from './assurance.ts';
import { KernelError } from './errors.ts';
import { readJson } from './input.ts';
import type { Database } from './ports.ts';

export const events_usual = 1_000;
const events_max = 100_000;
/** Events that one call applies, each in a subtransaction of its own. */
const events_a_call = '50';

export interface BackfillOrder {
  type: 'webhook_replay' | 'reversal_backfill';
  start: string;
  end: string;
  dry_run: boolean;
  events: number;
}

/** A backfill as the ledger tells it; counts are decimal strings. */
export interface Backfill {
  id: string;
  type: string;
  status: 'running' | 'completed' | 'failed';
  processedCount: string;
  errorCount: string;
  totalCount: string;
  idle?: boolean;
  /** How many of the last call's events were set aside. */
  held?: number;
}

/** @throws KernelError `invalid_json` or `invalid_request` with one sentence. */
export function readOrder(body: string): BackfillOrder {
  const given = readJson(body) as Record<string, unknown>;
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw new KernelError('invalid_request', 'The body must be a JSON object.');
  const { type = 'webhook_replay', startDate, endDate, dryRun = false, maxEvents = events_usual } = given;
  if (type !== 'webhook_replay' && type !== 'reversal_backfill')
    throw new KernelError('invalid_request', 'type must be webhook_replay or reversal_backfill.');
  const start = requireDay(startDate, 'startDate');
  const end = requireDay(endDate, 'endDate');
  if (start > end) throw new KernelError('invalid_request', 'startDate must not be after endDate.');
  if (typeof dryRun !== 'boolean') throw new KernelError('invalid_request', 'dryRun must be true or false.');
  if (!Number.isInteger(maxEvents) || (maxEvents as number) < 1 || (maxEvents as number) > events_max)
    throw new KernelError('invalid_request', `maxEvents must be a whole number from 1 to ${events_max}.`);
  return { type, start, end, dry_run: dryRun, events: maxEvents as number };
}

function window({ type, start, end, events }: BackfillOrder) {
  return { type, start, end, events: String(events) };
}

/** What each event would do; writes nothing. */
export async function planBackfill(database: Database, order: BackfillOrder) {
  return (await ask(
    database,
    'plan_backfill(:type, :start::date, :end::date, :events::integer)',
    window(order),
  )) as { total: string; errors: string; plan: object[] };
}

export async function beginBackfill(database: Database, order: BackfillOrder, by: string): Promise<Backfill> {
  return (await ask(database, 'begin_backfill(:type, :start::date, :end::date, :events::integer, :by)', {
    ...window(order),
    by,
  })) as Backfill;
}

/** Applies event after event until none is due or the time is over; a bad one holds back no other. */
export async function workOn(
  database: Database,
  id: string,
  until_ms: number,
): Promise<{ backfill: Backfill; held: number }> {
  let held = 0;
  for (;;) {
    const call = { id, events: events_a_call };
    const backfill = (await ask(database, 'backfill_steps(:id, :events::integer)', call)) as Backfill;
    held += backfill.held ?? 0;
    if (backfill.idle || Date.now() >= until_ms) return { backfill, held };
  }
}

/** The backfills that have events left to apply. */
export async function openBackfills(database: Database): Promise<string[]> {
  const rows = await database.query<{ id: string }>('select id from open_migrations() id');
  return rows.map(({ id }) => id);
}

export async function listMigrations(database: Database, before: string | undefined, limit: number) {
  const rows = await database.query<{ found: string; created: string }>(
    `select m::text as found, m ->> 'createdAt' as created from list_migrations(:before::timestamptz, :limit::integer) m`,
    { before: before ?? null, limit: String(limit) },
  );
  const next = rows.length === limit ? rows.at(-1)?.created : undefined;
  return { migrations: rows.map(({ found }) => JSON.parse(found)), ...(next && { next_cursor: next }) };
}

export async function readMigration(
  database: Database,
  id: string,
  after: string | undefined,
  limit: number,
) {
  return {
    migration: await ask(database, 'read_migration(:id, :after::bigint, :limit::integer)', {
      id,
      after: after ?? null,
      limit: String(limit),
    }),
  };
}
