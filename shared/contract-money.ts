// The contract of a player's money: registration, wallet, deposits and withdrawals, each with the player's own token.
import * as z from 'zod';
import { errorBody, type Operation, type Reply } from './contract-operation.ts';
import { count, instant, limit, ok, signedCount, uuid } from './contract-schemas.ts';
import { paymentInput } from './deposit.ts';
import { type ErrorCode, errorStatus } from './errors.ts';
import { registration } from './player.ts';
import { states } from './withdrawal.ts';

export const currency = z
  .string()
  .regex(/^[A-Z][A-Z0-9_]{1,11}$/)
  .meta({ id: 'Currency', example: 'USD' });
export const balanceFields = {
  currency,
  exponent: z.int().nullable().meta({ description: 'Digits after the point; null: no such currency.' }),
  available_real: signedCount,
  held_real: signedCount,
  total_real: signedCount,
  bonus_available: signedCount,
  source: z.enum(['ledger', 'legacy']).meta({ description: 'Which balance decides about a withdrawal now.' }),
};
export const balance = z.strictObject(balanceFields).meta({ id: 'Balance' });
export const player = z
  .strictObject({
    player_id: uuid,
    tenant_id: z.string(),
    email_verified: z.boolean(),
    sms_verified: z.boolean(),
    kyc_status: z.enum(['none', 'pending', 'approved', 'rejected']),
    kyc_reason: z.string().nullable(),
    kyc_decided_by: z.string().nullable(),
    kyc_decided_at: instant.nullable(),
    created_at: instant,
  })
  .meta({ id: 'Player' });
const flagFields = {
  ledger_shadow_write: z.boolean(),
  ledger_enforce_balance: z.boolean(),
  ledger_balance_mismatch_log: z.boolean(),
  allow_test_payment_methods: z.boolean(),
};
const transactionFields = {
  id: uuid,
  tx_id: uuid,
  tenant_id: z.string(),
  player_id: uuid,
  amount_minor: count,
  currency,
  method: z.string(),
  provider_ref: z.string().nullable(),
  provider_event_id: z.string().nullable(),
  balance_after: signedCount.nullable(),
  created_at: instant,
  updated_at: instant,
};
const deposit = z
  .strictObject({
    ...transactionFields,
    type: z.literal('deposit'),
    state: z.enum(['created', 'pending_provider', 'completed', 'failed']),
    status: z.enum(['pending', 'completed', 'failed']),
    provider: z.string(),
    error_code: z.string().nullable(),
    refunded_minor: count,
    charged_back_minor: count,
    flags: z.strictObject(flagFields),
  })
  .meta({ id: 'Deposit' });
export const withdrawal = z
  .strictObject({
    ...transactionFields,
    type: z.literal('withdrawal'),
    state: z.enum(states),
    status: z.enum(['pending', 'approved', 'rejected', 'canceled', 'processing', 'failed', 'paid']),
    provider: z.string().nullable(),
    address: z.string().nullable(),
    review_reason: z.string().nullable(),
    reviewed_by: z.string().nullable(),
    reviewed_at: instant.nullable(),
    paid_by: z.string().nullable(),
    paid_at: instant.nullable(),
    flags: z.strictObject({ ...flagFields, decided_by: z.enum(['ledger', 'legacy']) }),
  })
  .meta({ id: 'Withdrawal', description: 'balance_after is the total before it is paid.' });

const key = z.string().regex(/^[\x20-\x7e]{1,200}$/);
export const neededKey = key.meta({
  description: 'One for each thing that is to happen once.',
  param: { id: 'IdempotencyKey' },
});
export const optionalKey = key.optional().meta({
  description: 'Not needed: the state makes a repetition harmless.',
  param: { id: 'OptionalIdempotencyKey' },
});
export const mockOutcome = z
  .enum(['success', 'fail', 'failed', 'timeout', 'pending'])
  .optional()
  .meta({
    description: 'What the mock provider shall do, where test methods are allowed.',
    param: { id: 'MockOutcome' },
  });
export const replayed = {
  'idempotency-replayed': z
    .literal('true')
    .optional()
    .meta({
      description: 'The key was known: nothing was done again.',
      header: { id: 'IdempotencyReplayed' },
    }),
};
const wait = {
  'retry-after': count.optional().meta({ description: 'Seconds.', header: { id: 'WaitBeforeRetry' } }),
};
const transition = { from_state: z.string(), to_state: z.string(), tx_type: z.literal('withdrawal') };
const seconds = { retry_after_s: z.int() };
/** What a refusal of this code says beside its sentence. */
const details: Partial<Record<ErrorCode, z.core.$ZodLooseShape>> = {
  ILLEGAL_TRANSACTION_STATE_TRANSITION: transition,
  INVALID_STATE_TRANSITION: transition,
  PAYMENT_COOLDOWN_ACTIVE: seconds,
  VELOCITY_LIMIT_EXCEEDED: seconds,
};

/** Refusals that the ledger decides: with details, and pinned to the key of the call where it has one. */
export function declined(
  codes: ErrorCode[],
  { keyed = false, more = {} }: { keyed?: boolean; more?: z.core.$ZodLooseShape } = {},
): Reply[] {
  return [...Map.groupBy(codes, (code) => errorStatus[code])].map(([status, group]) => {
    const told = Object.assign({}, ...group.map((code) => details[code] ?? {}), more);
    const headers = { ...(keyed && replayed), ...('retry_after_s' in told && wait) };
    return {
      status,
      description: `Refused by the ledger: ${group.map((code) => `\`${code}\``).join(', ')}.`,
      body: errorBody.extend({ code: z.enum(group), ...z.object(told).partial().shape }),
      headers,
    };
  });
}

export const body_errors: ErrorCode[] = [
  ...(['invalid_json', 'invalid_request', 'text_invalid', 'payload_too_large'] as const),
];
const payment = paymentInput
  .extend({
    amount_minor: z
      .union([z.string().regex(/^[1-9]\d{0,18}$/), z.int().min(1)])
      .meta({ description: 'Minor units, as a string of digits or a safe integer.' }),
    currency: currency.optional(),
  })
  .meta({ id: 'NewPayment' });
const known_tx = { tx_id: uuid };
const paid_headers = z.object({ 'idempotency-key': neededKey });

type Words = Pick<Operation, 'id' | 'method' | 'path' | 'summary' | 'description'>;
interface Rest extends Partial<Pick<Operation, 'parameters' | 'mayBeEmpty'>> {
  answer: z.ZodType;
  input?: z.ZodType;
  refusals?: Reply[];
  errors?: ErrorCode[];
  keyed?: boolean;
}
function own({ path, ...words }: Words, { answer, input, refusals = [], errors = [], keyed, ...more }: Rest) {
  return {
    ...words,
    ...more,
    path: `/api/v1/player${path}`,
    tag: 'money',
    caller: 'token',
    ...(input && { body: { 'application/json': input } }),
    replies: [
      { status: 200, description: 'Done.', body: answer, ...(keyed && { headers: replayed }) },
      ...refusals,
    ],
    errors: [...errors, ...(input ? body_errors : [])],
  } satisfies Operation;
}

export const moneyOperations: Operation[] = [
  own(
    {
      ...{ id: 'registerPlayer', method: 'post', path: '/register', summary: 'Register' },
      description: 'Registers the caller as a player of a tenant, for ever; repeatable.',
    },
    {
      answer: ok({ player }),
      input: registration,
      mayBeEmpty: true,
      refusals: declined(['PLAYER_OF_OTHER_TENANT']),
    },
  ),
  own(
    {
      ...{ id: 'submitKyc', method: 'post', path: '/kyc', summary: 'Ask for approval' },
      description:
        'Asks for the approval of the caller’s identity; repeatable, and what is approved stays so.',
    },
    { answer: ok({ player }), refusals: declined(['PLAYER_NOT_FOUND']) },
  ),
  own(
    {
      ...{ id: 'readBalance', method: 'get', path: '/wallet/balance', summary: 'Balance' },
      description: 'The caller’s balance of a currency.',
    },
    {
      answer: ok(balanceFields),
      parameters: { query: z.object({ currency: currency.optional().meta({ description: 'USD.' }) }) },
      refusals: declined(['PLAYER_NOT_FOUND']),
      errors: ['invalid_request'],
    },
  ),
  own(
    {
      ...{ id: 'deposit', method: 'post', path: '/wallet/deposit', summary: 'Deposit' },
      description:
        'Takes money from the payment provider and credits it once; a method whose provider answers later leaves it pending.',
    },
    {
      answer: ok({
        ...{ tx_id: uuid, transaction: deposit, balance },
        client_secret: z
          .string()
          .optional()
          .meta({ description: 'With what the player goes on at the provider, where it asks for that.' }),
      }),
      input: payment,
      keyed: true,
      parameters: { header: paid_headers.extend({ 'x-mock-outcome': mockOutcome }) },
      refusals: [
        ...declined(
          [
            ...(['PLAYER_NOT_FOUND', 'CURRENCY_UNKNOWN', 'PAYMENT_METHOD_NOT_ALLOWED'] as const),
            ...(['AUTH_UNVERIFIED', 'KYC_DEPOSIT_LIMIT', 'LIMIT_EXCEEDED', 'BALANCE_OUT_OF_RANGE'] as const),
          ],
          { keyed: true },
        ),
        ...declined(['IDEMPOTENCY_KEY_REUSE_CONFLICT', 'PROVIDER_EVENT_USED'], {
          keyed: true,
          more: known_tx,
        }),
      ],
      errors: ['IDEMPOTENCY_KEY_REQUIRED'],
    },
  ),
  own(
    {
      ...{ id: 'withdraw', method: 'post', path: '/wallet/withdraw', summary: 'Ask for a withdrawal' },
      description: 'Sets money aside until finance has reviewed and paid the withdrawal, or gives it back.',
    },
    {
      answer: ok({ tx_id: uuid, transaction: withdrawal, balance }),
      input: payment,
      keyed: true,
      parameters: { header: paid_headers },
      refusals: [
        ...declined(
          [
            ...(['PLAYER_NOT_FOUND', 'CURRENCY_UNKNOWN', 'WITHDRAW_METHOD_NOT_ALLOWED'] as const),
            ...(['INSUFFICIENT_FUNDS', 'KYC_REQUIRED_FOR_WITHDRAWAL', 'LIMIT_EXCEEDED'] as const),
            ...(['BALANCE_OUT_OF_RANGE', 'VELOCITY_LIMIT_EXCEEDED'] as const),
          ],
          { keyed: true },
        ),
        ...declined(['IDEMPOTENCY_CONFLICT'], { more: known_tx }),
      ],
      errors: ['IDEMPOTENCY_KEY_REQUIRED'],
    },
  ),
  own(
    {
      ...{ id: 'cancelWithdrawal', method: 'post', path: '/wallet/withdrawals/{id}/cancel' },
      ...{
        summary: 'Take a withdrawal back',
        description: 'Frees the money again, before a review; repeatable.',
      },
    },
    {
      answer: ok({ tx_id: uuid, changed: z.boolean(), transaction: withdrawal, balance }),
      parameters: { path: z.object({ id: uuid.meta({ description: 'The tx_id of the withdrawal.' }) }) },
      refusals: declined(['TX_NOT_FOUND', 'ILLEGAL_TRANSACTION_STATE_TRANSITION', 'HOLD_RESOLVED']),
    },
  ),
  own(
    {
      ...{ id: 'listTransactions', method: 'get', path: '/wallet/transactions', summary: 'My transactions' },
      description: 'The caller’s deposits and withdrawals, newest first.',
    },
    {
      answer: ok({
        items: z.array(z.union([deposit, withdrawal])),
        meta: z.strictObject({ total: z.int(), page: z.int(), page_size: z.int() }),
      }),
      parameters: {
        query: z.object({ page: z.int().min(1).max(10_000).optional(), limit: limit(50, 200) }),
      },
      errors: ['invalid_request'],
    },
  ),
];
