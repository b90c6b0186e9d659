// How the tests call the ledger of money: a verb with a body and a fresh key, and the invariants after it.
import { randomUUID } from 'node:crypto';
import type pg from 'pg';

export interface Answer {
  outcome: 'done' | 'refused' | 'conflict';
  code?: string;
  movement?: number;
  replayed?: true;
  transfer_ids?: string[];
  balances?: Record<string, string>;
  hold_id?: string;
  lot_id?: string;
}

export type Verb =
  | 'transfer'
  | 'transfer_batch'
  | 'reverse'
  | 'hold'
  | 'capture'
  | 'void'
  | 'credit_wallet'
  | 'debit_wallet'
  | 'spend'
  | 'adjust_wallet'
  | 'grant_promo';

export const tenant = 'tenant';

/** One call, one commit; a key of its own unless one is given. */
export async function call(
  client: pg.ClientBase,
  verb: Verb,
  body: Record<string, unknown>,
  { key = randomUUID() as string, scope = 'test', of = tenant } = {},
): Promise<Answer> {
  const { rows } = await client.query({
    name: verb,
    text: `select public.${verb}($1, $2, $3, $4::jsonb) answer`,
    values: [of, scope, key, JSON.stringify(body)],
  });
  return rows[0].answer;
}

export async function openAccount(
  client: pg.ClientBase,
  kind: string,
  {
    owner = null as string | null,
    currency = 'USD',
    name = '',
    floor = '0' as string | null,
    of = tenant,
  } = {},
): Promise<string> {
  const { rows } = await client.query(`select open_account($1, $2, $3, $4, $5, null, $6) id`, [
    of,
    owner,
    currency,
    kind,
    name,
    floor,
  ]);
  return rows[0].id;
}

export const pair = (from: string, to: string, amount_minor: string) => ({
  kind: 'payment',
  entries: [
    { account_id: from, direction: 'debit', amount_minor },
    { account_id: to, direction: 'credit', amount_minor },
  ],
});

/** A wallet's balances as [available, held, promo]. */
export async function wallet(client: pg.ClientBase, owner: string, currency = 'USD'): Promise<string[]> {
  const { rows } = await client.query(
    `select balance_real_available, balance_real_pending, balance_bonus_available from wallet_balances
      where tenant_id = $1 and player_id = $2 and currency = $3`,
    [tenant, owner, currency],
  );
  const [row] = rows;
  return row ? [row.balance_real_available, row.balance_real_pending, row.balance_bonus_available] : [];
}

/** The invariants that do not hold. */
export async function violations(client: pg.ClientBase): Promise<unknown[]> {
  const { rows } = await client.query('select * from check_money() where violations <> 0');
  return rows;
}
