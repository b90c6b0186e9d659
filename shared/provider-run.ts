// A reconciliation of a payment provider with the ledger: its list of a window is taken page by page, and compared when it is complete.
import * as z from 'zod';
import { ask } from './ask.ts';
import { KernelError } from './errors.ts';
import { parse } from './input.ts';
import type { MoneyAnswer } from './money-answer.ts';
import type { Database, PaymentProvider, ProviderEvent, ProviderPage } from './ports.ts';

/** What is listed on either side of the window, to explain what lies at its edges. */
const margin_ms = 60 * 60_000;
const pages_max = 2_000;
export const window_usual_ms = 24 * 3_600_000;

const instant = z.iso.datetime({ offset: true, error: 'must be an instant such as 2026-03-01T00:00:00Z' });
export const runInput = z.strictObject(
  {
    provider: z.string('must be a text').min(1, 'is missing').max(64, 'must have at most 64 characters'),
    window_start: instant,
    window_end: instant,
    dry_run: z.boolean('must be true or false').default(false),
    idempotency_key: z
      .string('must be a text')
      .min(1, 'must have at least 1 character')
      .max(200, 'must have at most 200 characters')
      .optional(),
  },
  'must be a JSON object',
);

/** A run as the ledger tells it; sums and counts are decimal strings. */
export interface Run {
  id: string;
  provider: string;
  status: 'queued' | 'running' | 'completed' | 'incomplete' | 'failed';
  window_start: string;
  window_end: string;
  stats: Record<string, unknown>;
  error: { code: string; message: string } | null;
  attempt?: number;
}

export interface RunOrder {
  provider: string;
  window_start: string;
  window_end: string;
  dry_run: boolean;
  idempotency_key?: string | undefined;
}

export const readRun = (input: unknown): RunOrder => parse(runInput, input);

/** The day before now. */
export function lastDay(provider: string, now_ms: number): RunOrder {
  const window_start = new Date(now_ms - window_usual_ms).toISOString();
  return { provider, window_start, window_end: new Date(now_ms).toISOString(), dry_run: false };
}

export async function requestRun(
  database: Database,
  tenant: string | null,
  order: RunOrder,
  by: string,
): Promise<MoneyAnswer & { run?: Run }> {
  const { provider, window_start: from, window_end: to, dry_run, idempotency_key: key = null } = order;
  const call = { provider, tenant, from, to, dry_run, key, by };
  return ask(
    database,
    'request_run(:provider, :tenant, :from::timestamptz, :to::timestamptz, :dry_run, :key, :by)',
    call,
  );
}

export async function listRuns(
  database: Database,
  { tenant }: { tenant: string | null },
  provider: string | undefined,
  limit: number,
  offset: number,
): Promise<MoneyAnswer> {
  const call = { tenant, provider: provider ?? null, limit: String(limit), offset: String(offset) };
  const { items, total } = await ask(
    database,
    'list_runs(:tenant, :provider, :limit::integer, :offset::integer)',
    call,
  );
  return { outcome: 'done', items, meta: { total, limit, offset } };
}

/** @throws KernelError `RUN_NOT_FOUND`. */
export async function readRunOf(
  database: Database,
  { tenant }: { tenant: string | null },
  id: string,
): Promise<MoneyAnswer> {
  const known = z.uuid().safeParse(id).success;
  const run = known ? await ask(database, 'read_run(:tenant, :id::uuid)', { tenant, id }) : null;
  if (run === null) throw new KernelError('RUN_NOT_FOUND', 'There is no such run.');
  return { outcome: 'done', run };
}

/**
 * Takes a queued run, or one whose worker died, and brings it to its end.
 * @param run null: any.
 * @returns null when there was none to take.
 */
export async function workOnRun(
  database: Database,
  of: (provider: string) => PaymentProvider | undefined,
  run: string | null,
): Promise<Run | null> {
  const claimed = (await ask(database, 'claim_run(:run::uuid)', { run })) as Run | null;
  if (claimed === null) return null;
  const attempt = String(claimed.attempt ?? 0);
  const incomplete = await listAll(database, of(claimed.provider), claimed, attempt);
  return ask(database, 'finish_run(:run::uuid, :attempt::integer, :incomplete)', {
    run: claimed.id,
    attempt,
    incomplete,
  });
}

/** Why the list is not complete; null when it is. */
async function listAll(
  database: Database,
  provider: PaymentProvider | undefined,
  { id, window_start, window_end }: Run,
  attempt: string,
): Promise<string | null> {
  const from = new Date(Date.parse(window_start) - margin_ms).toISOString();
  const to = new Date(Date.parse(window_end) + margin_ms).toISOString();
  let after: string | null = null;
  for (let page = 0; page < pages_max; page += 1) {
    const listed: ProviderPage | KernelError | undefined = await provider
      ?.list?.(from, to, after)
      .catch((error: unknown) => {
        if (error instanceof KernelError) return error;
        throw error;
      });
    if (listed === undefined) return 'The provider has no list.';
    if (listed instanceof KernelError) return listed.message;
    if (listed.incomplete !== undefined) return listed.incomplete;
    const rows = JSON.stringify(listed.events.filter(({ kind }) => kind !== undefined).map(row));
    await ask(database, 'add_feed(:run::uuid, :attempt::integer, :rows::jsonb)', { run: id, attempt, rows });
    after = listed.next;
    if (after === null) return null;
  }
  return `The provider's list has more than ${pages_max} pages.`;
}

/** What has no amount cannot be compared, but may explain that a payment did not happen. */
function row({ payload: _, ...event }: ProviderEvent) {
  return { amount_minor: '1', currency: 'USD', ...event };
}
