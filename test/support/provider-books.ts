// How the tests keep the books of a provider: payments that it and the ledger made alike, its list of them, and a run over both.
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { type Answer, act, ask, newPlayer } from './withdrawals.ts';

export const provider = 'mockpsp';

export type Kind =
  | 'deposit_captured'
  | 'deposit_failed'
  | 'withdraw_paid'
  | 'withdraw_failed'
  | 'refund'
  | 'chargeback';

/** A payment as the provider lists it. */
export interface Listed {
  kind: Kind;
  event_id: string;
  amount_minor: string;
  currency: string;
  occurred_at: string;
  tenant_id?: string;
  player_id?: string;
  tx_id?: string;
  ref?: string;
  provider_ref?: string;
  members?: { tx_id: string; amount_minor: string }[];
}

export interface Books {
  root: pg.ClientBase;
  tenant: string;
  player: string;
}

/** A player of a tenant of its own, so that a run over that tenant sees nothing else. */
export async function openBooks(root: pg.ClientBase): Promise<Books> {
  const tenant = `t-${randomUUID().slice(0, 13)}`;
  await ask(root, 'set_money_policy($1, $2, $3)', tenant, { withdrawals_per_minute: 100_000 }, 'test');
  return { root, tenant, player: await newPlayer(root, tenant) };
}

export function listed(
  books: Books,
  kind: Kind,
  tx_id: string,
  amount_minor: string,
  currency: string,
): Listed {
  const { tenant: tenant_id, player: player_id } = books;
  const occurred_at = new Date().toISOString();
  return {
    kind,
    event_id: `e-${randomUUID()}`,
    tx_id,
    amount_minor,
    currency,
    occurred_at,
    tenant_id,
    player_id,
  };
}

/** A deposit that has begun, and that only the provider may have captured. */
export async function beginDeposit(books: Books, amount_minor: string, currency: string): Promise<Listed> {
  const body = { amount_minor, currency, method: 'test' };
  const { tx_id } = await ask(books.root, 'begin_deposit($1, $2, $3)', books.player, randomUUID(), body);
  return listed(books, 'deposit_captured', tx_id, amount_minor, currency);
}

export async function settleDeposit(books: Books, row: Listed, status = 'CAPTURED'): Promise<Listed> {
  const said = { provider_event_id: row.event_id, provider_ref: `ref-${row.tx_id}` };
  await ask(books.root, 'settle_deposit($1, $2, $3, $4)', books.tenant, row.tx_id, status, said);
  return row;
}

export const deposit = async (books: Books, amount: string, currency = 'USD'): Promise<Listed> =>
  settleDeposit(books, await beginDeposit(books, amount, currency));

/** A withdrawal that was decided about, and that only the provider may have paid. */
export async function decideWithdrawal(
  books: Books,
  amount_minor: string,
  currency: string,
  action = 'approve',
): Promise<Listed> {
  const body = { amount_minor, currency, method: 'test_bank' };
  const { tx_id } = await ask(books.root, 'request_withdrawal($1, $2, $3)', books.player, randomUUID(), body);
  await act(books.root, 'review', tx_id, { action, reason: 'test' }, { of: books.tenant });
  return listed(books, 'withdraw_paid', tx_id, amount_minor, currency);
}

export async function withdrawal(books: Books, amount: string, currency = 'USD'): Promise<Listed> {
  const row = await decideWithdrawal(books, amount, currency);
  const { attempt_id } = await act(books.root, 'payout', row.tx_id ?? '', {}, { of: books.tenant });
  const said = { provider_event_id: row.event_id };
  await ask(books.root, 'settle_payout($1, $2, $3, $4)', books.tenant, attempt_id, 'PAID', said);
  return row;
}

/** A refund or chargeback that the provider tells of. */
export function reversal(books: Books, of: Listed, kind: 'refund' | 'chargeback', amount: string): Listed {
  const row = listed(books, kind, of.tx_id ?? '', amount, of.currency);
  return { ...row, ref: `r-${row.event_id}` };
}

/** Has the ledger hear of it, as the catch-up does. */
export async function hear(books: Books, row: Listed): Promise<Listed> {
  const events = JSON.stringify([{ ...row, type: row.kind, payload: row }]);
  const { due } = await ask(books.root, `receive_events($1, '', 'list', $2)`, provider, events);
  await ask(books.root, 'process_events($1)', JSON.stringify(due));
  return row;
}

export interface Window {
  tenant: string | null;
  from?: Date;
  to?: Date;
  dry?: boolean;
  key?: string | null;
}

const hour_ms = 3_600_000;
export async function request(client: pg.ClientBase, window: Window, of = provider): Promise<Answer> {
  const { tenant, dry = false, key = null } = window;
  const { from = new Date(Date.now() - hour_ms), to = new Date(Date.now() + hour_ms) } = window;
  return ask(client, 'request_run($1, $2, $3, $4, $5, $6, $7)', of, tenant, from, to, dry, key, 'test');
}

export const claim = (client: pg.ClientBase, run: string | null): Promise<Answer> =>
  ask(client, 'claim_run($1)', run);

export const addFeed = (client: pg.ClientBase, run: Answer, rows: Listed[]): Promise<Answer> =>
  ask(client, 'add_feed($1, $2, $3)', run.id, run.attempt, JSON.stringify(rows));

export const finish = (client: pg.ClientBase, run: Answer, why: string | null = null): Promise<Answer> =>
  ask(client, 'finish_run($1, $2, $3)', run.id, run.attempt, why);

/** A run from its request to its end over a list that comes in pages. */
export async function reconcile(
  client: pg.ClientBase,
  window: Window,
  rows: Listed[],
  page = 40,
): Promise<Answer> {
  const { run } = await request(client, window);
  const claimed = await claim(client, run.id);
  for (let at = 0; at < rows.length; at += page) await addFeed(client, claimed, rows.slice(at, at + page));
  return finish(client, claimed);
}

export interface Finding {
  id: string;
  type: string;
  event: string;
  status: string;
  reopened: number;
  resolution: string | null;
}

/** The findings of a tenant that runs have left. */
export async function findingsOf({ root, tenant }: Books): Promise<Finding[]> {
  const { rows } = await root.query(
    `select id, finding_type "type", provider_event_id "event", status, reopened_count reopened, resolution
       from reconciliation_findings where tenant_id = $1 and run_id is not null order by created_at, id`,
    [tenant],
  );
  return rows;
}
