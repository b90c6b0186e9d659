// What makes `money` use each of its grants: a player who looks at the own balance, a deposit that Stripe carries, and a queued run.
import { randomUUID } from 'node:crypto';
import { callsOf } from '../../support/callers.ts';
import { payingPlayer } from '../../support/payment-doors.ts';
import type { Stimuli, Stimulus } from '../least-privilege.ts';

const balance: Stimulus =
  ({ stack }) =>
  () =>
    callsOf(stack)('player', 'GET', '/api/v1/player/wallet/balance');

const byStripe: Stimulus = async ({ stack, cool }) => {
  const call = callsOf(stack);
  await payingPlayer(stack);
  const method = { method: 'card', provider: 'stripe' };
  await call('platform-admin', 'PUT', '/api/v1/admin/payment-methods', method);
  await cool('money');
  const deposit = { amount_minor: '100', currency: 'USD', method: 'card' };
  return () =>
    call('player', 'POST', '/api/v1/player/wallet/deposit', deposit, { 'idempotency-key': randomUUID() });
};

const run: Stimulus = ({ stack }) => {
  const [window_start, window_end] = ['2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z'];
  const order = { provider: 'mockpsp', window_start, window_end };
  return () => callsOf(stack)('finance', 'POST', '/api/v1/reconciliation/runs', order);
};

export default {
  'rds-data:ExecuteStatement on local-cluster': balance,
  'secretsmanager:GetSecretValue on LedgerkernelmoneySecret': balance,
  'secretsmanager:GetSecretValue on Paymentsstripe': byStripe,
  'sqs:SendMessage on PaymentsRunsQueue': run,
} satisfies Stimuli;
