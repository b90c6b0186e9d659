// The contract of the books of money: trial balance, accounts, movements.
import * as z from 'zod';
import { accountFilter } from './books.ts';
import { tenant_id } from './contract-finance.ts';
import type { Operation } from './contract-operation.ts';
import { count, cursor, instant, limit, ok, signedCount, uuid } from './contract-schemas.ts';

const account = z
  .strictObject({
    id: uuid,
    tenant_id: z.string(),
    owner_id: uuid.nullable(),
    kind: z.string(),
    name: z.string(),
    currency: z.string(),
    exponent: z.int(),
    constrained: z
      .boolean()
      .meta({ description: 'A floor guards it, and each entry has a running balance.' }),
    created_at: instant,
    balance_minor: signedCount,
  })
  .meta({ id: 'Account' });
const entry = z.strictObject({
  account_id: uuid,
  owner_id: uuid.nullable(),
  kind: z.string(),
  name: z.string(),
  currency: z.string(),
  exponent: z.int(),
  amount_minor: signedCount.meta({ description: 'Negative: it leaves the account.' }),
  balance_before_minor: signedCount.nullable(),
  balance_after_minor: signedCount.nullable(),
  version: count.nullable(),
});
const nullableText = z.string().nullable();
const transfer = z
  .strictObject({
    id: uuid,
    no: count,
    kind: z.string(),
    tenant_id: z.string(),
    event_at: instant,
    created_at: instant,
    reference: nullableText,
    reason: nullableText,
    actor: nullableText,
    provider: nullableText,
    provider_ref: nullableText,
    provider_event_id: nullableText,
    reverses: uuid.nullable(),
    reversed_by: z.array(uuid),
    entries: z.array(entry).meta({ description: 'They sum to zero in each currency.' }),
  })
  .meta({ id: 'Transfer' });
const kinds = z.array(z.strictObject({ kind: z.string(), accounts: count, balance_minor: signedCount }));
const currency = z.strictObject({
  currency: z.string(),
  exponent: z.int(),
  sum_minor: signedCount.meta({ description: '0, or something is wrong.' }),
  kinds,
});
const path = z.object({ id: uuid });

type Words = Pick<Operation, 'id' | 'path' | 'summary' | 'description'>;
function reads(words: Words, body: z.ZodType, rest: Partial<Operation> = {}): Operation {
  return {
    ...words,
    path: `/api/admin/ledger${words.path}`,
    ...{ method: 'get', tag: 'books', caller: 'token' },
    parameters: { query: z.object({ tenant_id }) },
    replies: [{ status: 200, description: 'Found.', body }],
    ...rest,
    errors: ['invalid_request', ...(rest.errors ?? [])],
  };
}

export const bookOperations: Operation[] = [
  reads(
    {
      ...{ id: 'trialBalance', path: '/trial-balance', summary: 'Trial balance' },
      description: 'All balances of the tenant by currency and kind of account; each currency sums to zero.',
    },
    ok({ as_of: instant, tenant_id: z.string(), currencies: z.array(currency) }),
  ),
  reads(
    {
      ...{ id: 'listAccounts', path: '/accounts', summary: 'Accounts' },
      description: 'Accounts of the tenant, by kind, currency and owner.',
    },
    ok({ accounts: z.array(account), next_cursor: nullableText }),
    {
      parameters: {
        query: z.object({ ...accountFilter.shape, tenant_id, cursor, limit: limit(50, 200) }),
      },
    },
  ),
  reads(
    {
      ...{ id: 'readAccount', path: '/accounts/{id}', summary: 'History of an account' },
      description: 'Its movements, newest first, 50 a page, each with all its entries.',
    },
    ok({ as_of: instant, account, transfers: z.array(transfer), next_cursor: nullableText }),
    { parameters: { path, query: z.object({ tenant_id, cursor }) }, errors: ['not_found'] },
  ),
  reads(
    {
      ...{ id: 'readTransfer', path: '/transfers/{id}', summary: 'A movement' },
      description: 'All entries of a movement, and what it reverses or reversed it.',
    },
    ok({ transfer }),
    { parameters: { path, query: z.object({ tenant_id }) }, errors: ['not_found'] },
  ),
];
