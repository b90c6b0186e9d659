// A withdrawal: asked for by a player, reviewed and paid by finance. A payout goes to the provider between two calls of the
// ledger, so that whatever dies in between is found and settled under the same key.
import * as z from 'zod';
import { paymentBody } from './deposit.ts';
import { KernelError } from './errors.ts';
import { parse, readCursor, writeCursor } from './input.ts';
import { ask, type MoneyAnswer, type Staff } from './money-answer.ts';
import { requireId } from './player.ts';
import type { Database, PaymentOrder, PaymentProviders, PaymentResult } from './ports.ts';

export const states = [
  'requested',
  'approved',
  'rejected',
  'canceled',
  'payout_pending',
  'unknown',
  'payout_failed',
  'paid',
] as const;
const instant = z
  .union(
    [z.iso.datetime({ offset: true }), z.iso.date()],
    'must be a date or an instant such as 2026-03-01T00:00:00Z',
  )
  .optional();
const digits = z
  .string()
  .regex(/^\d{1,19}$/, 'must be a whole number of minor units')
  .optional();
export const filter = z.object({
  state: z.enum(states, `must be one of ${states.join(', ')}`).optional(),
  player_id: z.uuid('must be a UUID').optional(),
  date_from: instant,
  date_to: instant,
  min_amount: digits,
  max_amount: digits,
  sort: z.enum(['created_at_desc', 'created_at_asc'], 'must be created_at_desc or created_at_asc').optional(),
});
export const reasonInput = z.object(
  {
    action: z.string().optional(),
    reason: z.string('must be a text').max(2_000, 'must have at most 2000 characters').optional(),
  },
  'must be a JSON object',
);

export type FinanceVerb = 'review' | 'mark_paid' | 'payout' | 'retry' | 'recheck';
type Item = Record<string, unknown> & { cursor: string };
type Query = Record<string, string | undefined>;

export const requestWithdrawal = (database: Database, player: string, key: string, input: unknown) =>
  ask(database, 'request_withdrawal(:player::uuid, :key, :body::jsonb)', {
    player,
    key,
    body: paymentBody(input),
  });

/** A player takes back what nobody has reviewed yet. */
export const cancelWithdrawal = (database: Database, player: string, tx: string) =>
  ask(database, 'cancel_withdrawal(:player::uuid, :tx::uuid)', { player, tx: requireId(tx, 'TX_NOT_FOUND') });

/** Review and manual settlement: one step. */
export function decide(
  database: Database,
  { tenant, actor }: Staff,
  verb: FinanceVerb,
  tx: string,
  key: string | null,
  input: unknown,
): Promise<MoneyAnswer> {
  return ask(database, 'act_on_withdrawal(:tenant, :actor, :key, :verb, :tx::uuid, :body::jsonb)', {
    tenant,
    actor,
    key,
    verb,
    tx: requireId(tx, 'TX_NOT_FOUND'),
    body: JSON.stringify(parse(reasonInput, input)),
  });
}

/** Payout, retry and recheck: written down, taken to the provider under the attempt's key, and settled. */
export async function pay(
  database: Database,
  providers: PaymentProviders,
  staff: Staff,
  verb: FinanceVerb,
  tx: string,
  key: string | null,
  input: unknown,
  outcome: string | undefined,
): Promise<MoneyAnswer> {
  const begun = await decide(database, staff, verb, tx, key, input);
  if (begun.outcome !== 'done') return begun;
  const attempt = begun.attempt_id as string;
  const { order, payout_attempt: before } = await read(database, staff, tx, attempt);
  if (verb === 'recheck' || (before as { status: string }).status === 'pending') {
    const { provider, ...asked } = order as PaymentOrder & { provider: string };
    const said = await providers.of(provider)?.order?.('payout_withdrawal', { ...asked, outcome });
    const result: PaymentResult = said ?? { status: 'UNKNOWN' };
    const settled = await settlePayout(database, staff.tenant, attempt, result);
    if (settled.outcome !== 'done') return settled;
  }
  const { transaction, payout_attempt } = await read(database, staff, tx, attempt);
  return { outcome: 'done', transaction, payout_attempt, ...(begun.replayed && { replayed: true }) };
}

/** What the provider said of an attempt, whichever way it came. */
export const settlePayout = (database: Database, tenant: string, attempt: string, result: PaymentResult) =>
  ask(database, 'settle_payout(:tenant, :attempt::uuid, :status, :result::jsonb)', {
    tenant,
    attempt,
    status: result.status,
    result: JSON.stringify(result),
  });

/** A withdrawal of the tenant with its payout attempts. */
export async function read(
  database: Database,
  { tenant }: Staff,
  tx: string,
  attempt: string | null = null,
): Promise<MoneyAnswer> {
  const found = await ask(database, 'read_withdrawal(:tenant, :tx::uuid, :attempt::uuid)', {
    tenant,
    tx: requireId(tx, 'TX_NOT_FOUND'),
    attempt,
  });
  if (found === null) throw new KernelError('TX_NOT_FOUND', 'There is no such withdrawal.');
  return { ...found, outcome: 'done' };
}

/** A page of withdrawals, by a cursor or by an offset. */
export async function list(
  database: Database,
  { tenant }: Staff,
  query: Query,
  limit: number,
  offset: number,
) {
  const after = query.cursor === undefined ? undefined : readCursor(query.cursor);
  const wanted = { ...parse(filter, query), ...(after && { after: after[0], after_id: after[1] }) };
  const found = await ask(
    database,
    'list_withdrawals(:tenant, :filter::jsonb, :limit::integer, :offset::integer)',
    {
      tenant,
      filter: JSON.stringify(wanted),
      limit: String(limit + 1),
      offset: String(offset),
    },
  );
  const rows = found.items as Item[];
  const last = rows.length > limit ? rows[limit - 1] : undefined;
  return {
    outcome: 'done' as const,
    items: rows.slice(0, limit).map(({ cursor: _, ...item }) => item),
    meta: { total: found.total, limit, offset },
    next_cursor: last ? writeCursor(last.cursor) : null,
  };
}

/** A player's own deposits and withdrawals, by page. */
export async function listOwn(database: Database, player: string, page: number, limit: number) {
  const found = await ask(
    database,
    'list_player_transactions(:player::uuid, :limit::integer, :offset::integer)',
    {
      player,
      limit: String(limit),
      offset: String((page - 1) * limit),
    },
  );
  return {
    outcome: 'done' as const,
    items: found.items,
    meta: { total: found.total, page, page_size: limit },
  };
}
