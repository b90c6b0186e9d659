// A deposit: written down, given to the payment provider under one key, and credited once when the money was captured.
import * as z from 'zod';
import { parse } from './input.ts';
import { parseAmountMinor, parseCurrency } from './money.ts';
import { ask, type MoneyAnswer } from './money-answer.ts';
import { default_currency } from './player.ts';
import type { Database, PaymentOrder, PaymentProviders, PaymentResult } from './ports.ts';

/** Methods that the provider answers at once; of the others a webhook tells. */
const instant_methods = ['test', 'test_bank'];
const method = 'must be a text of 1 to 64 characters';
export const paymentInput = z.object(
  {
    amount_minor: z.unknown(),
    currency: z.unknown().optional(),
    method: z.string(method).min(1, method).max(64, method),
    address: z.string('must be a text').max(500, 'must have at most 500 characters').nullish(),
  },
  'must be a JSON object',
);

/** A request as the ledger keeps it: the same amount and currency written in two ways are the same request. */
export function paymentBody(input: unknown): string {
  const { amount_minor, currency, method, address } = parse(paymentInput, input);
  return JSON.stringify({
    amount_minor: String(parseAmountMinor(amount_minor)),
    currency: parseCurrency(currency ?? default_currency),
    method,
    ...(address && { address }),
  });
}

/** A call that died between its steps is finished by the next one with the same key. */
export async function deposit(
  database: Database,
  providers: PaymentProviders,
  player: string,
  key: string,
  input: unknown,
  outcome: string | undefined,
): Promise<MoneyAnswer> {
  const body = paymentBody(input);
  const begun = await ask(database, 'begin_deposit(:player::uuid, :key, :body::jsonb)', {
    player,
    key,
    body,
  });
  if (begun.outcome === 'conflict') return { ...begun, code: 'IDEMPOTENCY_KEY_REUSE_CONFLICT' };
  if (begun.outcome !== 'done') return begun;
  const made = begun.transaction as Record<string, string>;
  const { id = '', tenant_id = '', amount_minor = '', currency = '', provider = '' } = made;
  const ordered = {
    key: `tx_${id}`,
    tx_id: id,
    tenant_id,
    player_id: player,
    amount_minor,
    currency,
    outcome,
  };
  const order = { ...ordered, ...(made.created_at && { asked_at: made.created_at }) };
  const result = await charged(providers, provider, made.method ?? '', order);
  const settled = await settleDeposit(database, tenant_id, id, result);
  const { client_secret } = result;
  return { ...settled, ...(client_secret && { client_secret }), ...(begun.replayed && { replayed: true }) };
}

/** The mock provider answers for its test methods at once, and for others by a webhook; a real one is always asked. */
async function charged(
  providers: PaymentProviders,
  provider: string,
  method: string,
  order: PaymentOrder,
): Promise<PaymentResult> {
  const asks = provider !== 'mockpsp' || instant_methods.includes(method);
  const said = asks ? await providers.of(provider)?.order?.('capture_deposit', order) : undefined;
  return said ?? { status: 'UNKNOWN' };
}

export const settleDeposit = (database: Database, tenant: string, tx: string, result: PaymentResult) =>
  ask(database, 'settle_deposit(:tenant, :tx::uuid, :status, :result::jsonb)', {
    tenant,
    tx,
    status: result.status,
    result: JSON.stringify(result),
  });
