// The books of a tenant's money: the trial balance, accounts with their history, and movements with both their legs.
import * as z from 'zod';
import { ask, askMany } from './ask.ts';
import { KernelError } from './errors.ts';
import { parse } from './input.ts';
import type { Database } from './ports.ts';

const history_page = 50;
const short = z.string().max(64, 'must be a text of at most 64 characters').optional();
const uuid = (what: string) => z.uuid(`must be the id of ${what}`);
export const accountFilter = z.object({
  kind: short,
  currency: short,
  owner_id: uuid('a player').optional(),
});

export function trialBalance(database: Database, tenant: string) {
  return ask(database, 'trial_balance(:tenant)', { tenant });
}

/** @throws KernelError `invalid_request` for a filter or a cursor that is none. */
export async function listAccounts(
  database: Database,
  tenant: string,
  { cursor, kind, currency, owner_id }: Record<string, string | undefined>,
  limit: number,
) {
  const rows = await askMany(
    database,
    'list_accounts(:tenant, :filter::jsonb, :after::uuid, :limit::integer)',
    {
      tenant,
      filter: JSON.stringify(parse(accountFilter, { kind, currency, owner_id })),
      after: parse(z.object({ cursor: uuid('the last row').optional() }), { cursor }).cursor ?? null,
      limit: String(limit),
    },
  );
  const page = rows.slice(0, limit);
  return { accounts: page, next_cursor: rows.length > limit ? page.at(-1).id : null };
}

/** @throws KernelError `not_found` for an account that the tenant does not have. */
export async function readAccount(
  database: Database,
  tenant: string,
  id: string,
  cursor: string | undefined,
) {
  const number = z
    .string()
    .regex(/^\d{1,18}$/, 'must be one that this list gave')
    .optional();
  const found = await ask(database, 'read_account(:tenant, :id::uuid, :before::bigint, :limit::integer)', {
    tenant,
    id: existing(id, 'account'),
    before: parse(z.object({ cursor: number }), { cursor }).cursor ?? null,
    limit: String(history_page),
  });
  if (!found) throw new KernelError('not_found', 'There is no such account.');
  const transfers = found.transfers.slice(0, history_page);
  const more = found.transfers.length > history_page;
  return { ...found, transfers, next_cursor: more ? transfers.at(-1).no : null };
}

/** @throws KernelError `not_found` for a movement that the tenant does not have. */
export async function readTransfer(database: Database, tenant: string, id: string) {
  const transfer = await ask(database, 'read_transfer(:tenant, :id::uuid)', {
    tenant,
    id: existing(id, 'movement'),
  });
  if (!transfer) throw new KernelError('not_found', 'There is no such movement.');
  return { transfer };
}

/** What is no id names nothing. */
function existing(id: string, what: string): string {
  if (!z.uuid().safeParse(id).success) throw new KernelError('not_found', `There is no such ${what}.`);
  return id;
}
