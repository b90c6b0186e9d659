// The contract of finance: reading, reviewing and paying the withdrawals of its tenant.
import * as z from 'zod';
import {
  body_errors,
  declined,
  mockOutcome,
  neededKey,
  optionalKey,
  replayed,
  withdrawal,
} from './contract-money.ts';
import type { Operation, Reply } from './contract-operation.ts';
import { cursor, instant, limit, ok, uuid } from './contract-schemas.ts';
import type { ErrorCode } from './errors.ts';
import { tenantInput } from './flag.ts';
import { filter, reasonInput } from './withdrawal.ts';

const attempt = z
  .strictObject({
    id: uuid,
    attempt_no: z.int(),
    provider: z.string(),
    provider_ref: z.string().nullable(),
    provider_event_id: z.string().nullable(),
    idempotency_key: z.string(),
    status: z.enum(['pending', 'unknown', 'succeeded', 'failed']),
    error_code: z.string().nullable(),
    reason: z.string().nullable(),
    created_by: z.string(),
    created_at: instant,
    updated_at: instant,
  })
  .meta({
    id: 'PayoutAttempt',
    description: 'A try to pay; unknown: the provider has not said whether it did.',
  });
export const tenant_id = tenantInput
  .optional()
  .meta({ description: 'Whose money; the caller’s own tenant.', param: { id: 'Tenant' } });
const tenantQuery = z.object({ tenant_id });
const withdrawalPath = z.object({ id: uuid.meta({ description: 'The tx_id of the withdrawal.' }) });

type Words = Pick<Operation, 'id' | 'method' | 'path' | 'summary' | 'description'>;
interface Rest extends Partial<Pick<Operation, 'parameters' | 'mayBeEmpty'>> {
  answer?: z.ZodType;
  reply?: Reply;
  input?: z.ZodType;
  refusals?: Reply[];
  errors?: ErrorCode[];
  keyed?: boolean;
}
export function finance({ path, ...words }: Words, rest: Rest): Operation {
  const { answer = z.never(), input, refusals = [], errors = [], keyed, parameters, mayBeEmpty } = rest;
  const done = { status: 200, description: 'Done.', body: answer, ...(keyed && { headers: replayed }) };
  return {
    ...words,
    path: `/api/v1${path}`,
    tag: 'finance',
    caller: 'token',
    parameters: { query: tenantQuery, ...parameters },
    ...(input && { body: { 'application/json': input } }),
    ...(mayBeEmpty && { mayBeEmpty }),
    replies: [rest.reply ?? done, ...refusals],
    errors: [...new Set([...errors, 'invalid_request' as const, ...(input ? body_errors : [])])],
  };
}

const listQuery = filter.extend({ tenant_id, cursor });
const reads: Operation[] = [
  finance(
    {
      ...{ id: 'listWithdrawals', method: 'get', path: '/finance/withdrawals', summary: 'Withdrawals' },
      description: 'A page of the withdrawals of the tenant, by cursor or by offset; date_to is excluded.',
    },
    {
      answer: ok({
        items: z.array(withdrawal),
        meta: z.strictObject({ total: z.int(), limit: z.int(), offset: z.int() }),
        next_cursor: z.string().nullable(),
      }),
      parameters: {
        query: listQuery.extend({
          limit: limit(50, 200),
          offset: z.int().min(0).max(1_000_000).optional(),
        }),
      },
    },
  ),
  finance(
    {
      ...{ id: 'exportWithdrawals', method: 'get', path: '/finance/withdrawals/export' },
      summary: 'Withdrawals as CSV',
      description: 'What the filters find, at most about 10,000 rows; a header says where to go on.',
    },
    {
      reply: {
        status: 200,
        description: 'The rows.',
        body: z.string(),
        type: 'text/csv',
        headers: {
          'content-disposition': z.string(),
          'x-next-cursor': z
            .string()
            .optional()
            .meta({ description: 'The cursor of the next file.', header: { id: 'NextCursor' } }),
        },
      },
      parameters: { query: listQuery },
    },
  ),
  finance(
    {
      ...{ id: 'readWithdrawal', method: 'get', path: '/finance/withdrawals/{id}', summary: 'A withdrawal' },
      description: 'A withdrawal of the tenant with every try to pay it.',
    },
    {
      answer: ok({ transaction: withdrawal, payout_attempts: z.array(attempt), payout_attempt: z.null() }),
      parameters: { path: withdrawalPath },
      errors: ['TX_NOT_FOUND'],
    },
  ),
];

const decided = ok({ tx_id: uuid, changed: z.boolean(), transaction: withdrawal });
const paidOut = ok({ transaction: withdrawal, payout_attempt: attempt });
const always: ErrorCode[] = ['TX_NOT_FOUND', 'IDEMPOTENCY_CONFLICT', 'HOLD_RESOLVED'];
const illegal = 'ILLEGAL_TRANSACTION_STATE_TRANSITION';
interface Step {
  answer: z.ZodType;
  codes: ErrorCode[];
  /** Whether the call needs a key. */
  keyNeeded?: true;
  toProvider?: true;
  input?: z.ZodType;
  base?: string;
}
/** One step of a withdrawal. */
function step(words: Words, { answer, codes, keyNeeded, toProvider, input = reasonInput, base }: Step) {
  const path = `${base ?? '/finance'}/withdrawals/{id}${words.path}`;
  return finance(
    { ...words, path },
    {
      ...{ answer, input, mayBeEmpty: true, keyed: true },
      parameters: {
        path: withdrawalPath,
        header: z.object({
          'idempotency-key': keyNeeded ? neededKey : optionalKey,
          ...(toProvider && { 'x-mock-outcome': mockOutcome }),
        }),
      },
      refusals: declined([...always, ...codes, ...(toProvider ? (['PROVIDER_EVENT_USED'] as const) : [])], {
        keyed: true,
      }),
      errors: ['IDEMPOTENCY_KEY_REQUIRED'],
    },
  );
}
const retry = (id: string, base?: string) =>
  step(
    {
      ...{ id, method: 'post', path: '/retry', summary: 'Try a payout again' },
      description:
        'Tries a failed payout again; needs a reason, waits for the cooldown, and is limited in number.',
    },
    {
      answer: paidOut,
      codes: [
        ...(['REASON_REQUIRED', 'FOUR_EYES', 'INVALID_STATE_TRANSITION'] as const),
        ...(['PAYMENT_RETRY_LIMIT_EXCEEDED', 'PAYMENT_COOLDOWN_ACTIVE'] as const),
        'PROVIDER_NOT_CONFIGURED',
      ],
      toProvider: true,
      ...(base && { base }),
    },
  );
const steps: Operation[] = [
  step(
    {
      ...{ id: 'reviewWithdrawal', method: 'post', path: '/review', summary: 'Approve or reject' },
      description:
        'Decides a withdrawal with a reason; a rejection gives the money back. Nobody decides their own.',
    },
    {
      answer: decided,
      input: reasonInput.extend({ action: z.enum(['approve', 'reject']) }),
      codes: ['INVALID_ACTION', 'REASON_REQUIRED', 'FOUR_EYES', illegal],
    },
  ),
  step(
    {
      ...{ id: 'markWithdrawalPaid', method: 'post', path: '/mark-paid', summary: 'It was paid by hand' },
      description: 'A person has paid an approved withdrawal; needs a reason. It is debited once.',
    },
    { answer: decided, codes: ['REASON_REQUIRED', 'FOUR_EYES', 'PROVIDER_EVENT_USED', illegal] },
  ),
  step(
    {
      ...{ id: 'payOut', method: 'post', path: '/payout', summary: 'Pay' },
      description:
        'Pays an approved withdrawal by the provider; a provider that does not answer leaves it unknown.',
    },
    {
      answer: paidOut,
      codes: [
        ...(['FOUR_EYES', 'INVALID_STATE_TRANSITION', 'PAYMENT_RETRY_LIMIT_EXCEEDED'] as const),
        'PROVIDER_NOT_CONFIGURED',
      ],
      ...{ keyNeeded: true, toProvider: true },
    },
  ),
  step(
    {
      ...{ id: 'recheckPayout', method: 'post', path: '/recheck', summary: 'Ask the provider again' },
      description: 'Asks what became of the last try, under the key of that try: it can pay nothing twice.',
    },
    { answer: paidOut, codes: ['INVALID_STATE_TRANSITION'], keyNeeded: true, toProvider: true },
  ),
  retry('retryPayout'),
  retry('retryPayoutByAction', '/finance-actions'),
];

export const financeOperations: Operation[] = [...reads, ...steps];
