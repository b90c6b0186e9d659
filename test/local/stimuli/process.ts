// What makes `process` use each of its grants: a run, a call with the cron secret, a callback of the mock provider, and a payout of
// Stripe that nobody has had an answer of.
import { captured, payoutWithoutAnswer } from '../../support/payment-doors.ts';
import { byCronSecret, ledger, type Stimuli, type Stimulus } from '../least-privilege.ts';

const callback: Stimulus = async ({ stack, cool, invoke }) => {
  await captured(stack);
  await cool('process');
  return () => invoke('process');
};

const waiting: Stimulus = async ({ stack, cool, invoke }) => {
  await payoutWithoutAnswer(stack, 'stripe');
  await cool('process');
  return () => invoke('process');
};

export default {
  ...ledger('process', 'kerneljobs'),
  'secretsmanager:GetSecretValue on CronSecret': byCronSecret('process', '/api/cron/payments-process'),
  'secretsmanager:GetSecretValue on Paymentsmockpsp': callback,
  'secretsmanager:GetSecretValue on Paymentsstripe': waiting,
} satisfies Stimuli;
