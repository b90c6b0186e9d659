// Payments of a test through a stack's own doors: a player who may pay, deposits in each state, and a payout without an answer.
import { randomUUID } from 'node:crypto';
import { callsOf, userOf } from './callers.ts';
import type { TestStack } from './stack.ts';

export interface Deposit {
  id: string;
  tenant_id: string;
  player_id: string;
  state: string;
}

/** The webhook secret that the mock provider of this stack signs with. */
export function mockpspSecretOf(stack: TestStack): string {
  const { ref } = stack.resource('AWS::SecretsManager::Secret', 'Paymentsmockpsp');
  return stack.state.secret(ref.split(':').at(-1) ?? '');
}

/** Makes the demo player one who may pay in by any method. */
export async function payingPlayer(stack: TestStack): Promise<string> {
  const call = callsOf(stack);
  const { id } = userOf('player');
  await call('player', 'POST', '/api/v1/player/register', {});
  const verified = { email_verified: true, sms_verified: true };
  await call('finance', 'POST', `/api/v1/admin/players/${id}/verification`, verified);
  return id;
}

/** A deposit by card, of which the mock provider says nothing by itself. */
export async function pendingDeposit(stack: TestStack, amount_minor = '100'): Promise<Deposit> {
  return deposit(stack, { amount_minor, currency: 'USD', method: 'card' });
}

/** A deposit that the mock provider has decided, as `outcome` asks. */
export async function captured(
  stack: TestStack,
  outcome = 'success',
  amount_minor = '100',
): Promise<Deposit> {
  return deposit(stack, { amount_minor, currency: 'USD', method: 'test' }, { 'x-mock-outcome': outcome });
}

async function deposit(
  stack: TestStack,
  body: object,
  headers: Record<string, string> = {},
): Promise<Deposit> {
  await payingPlayer(stack);
  const keyed = { 'idempotency-key': randomUUID(), ...headers };
  const answer = await callsOf(stack)('player', 'POST', '/api/v1/player/wallet/deposit', body, keyed);
  if (answer.status !== 200) throw new Error(JSON.stringify(answer.body));
  return answer.body.transaction;
}

/** A payout that its provider was asked for five minutes ago, as a lost answer leaves it. */
export async function payoutWithoutAnswer(stack: TestStack, provider: string): Promise<string> {
  const player = await payingPlayer(stack);
  const [tx, attempt] = [randomUUID(), randomUUID()];
  await stack.database.query(
    `insert into withdrawals (id, tenant_id, player_id, currency, amount, method, state, idempotency_key, flags, metadata)
     values ($1, 'default', $2, 'USD', 100, 'bank', 'payout_pending', 'k', '{}', '{}')`,
    [tx, player],
  );
  await stack.database.query(
    `insert into payout_attempts (id, withdraw_tx_id, tenant_id, attempt_no, provider, idempotency_key, status, created_by, updated_at)
     values ($1, $2, 'default', 1, $3, 'k', 'unknown', 'test', now() - interval '5 minutes')`,
    [attempt, tx, provider],
  );
  return attempt;
}
