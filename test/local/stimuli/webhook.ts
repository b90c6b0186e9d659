// What makes `webhook` use each of its grants: what each provider sends, and a capture that waits to be applied.
import { randomUUID } from 'node:crypto';
import { signMockPsp } from '../../../shared/adapters/mockpsp.ts';
import { mockpspSecretOf, pendingDeposit } from '../../support/payment-doors.ts';
import type { Stimuli, Stimulus } from '../least-privilege.ts';

const sent =
  (provider: string): Stimulus =>
  async ({ stack, cool }) => {
    await cool('webhook');
    return () => fetch(`${stack.url}/api/v1/payments/webhook/${provider}`, { method: 'POST', body: '{}' });
  };

const captured: Stimulus = async ({ stack }) => {
  const { id, tenant_id, player_id } = await pendingDeposit(stack);
  const body = JSON.stringify({
    ...{ provider_event_id: randomUUID(), event_type: 'deposit_captured', tx_id: id, tenant_id, player_id },
    ...{ amount_minor: '100', currency: 'USD' },
  });
  const headers = signMockPsp(body, mockpspSecretOf(stack), Date.now());
  return () => fetch(`${stack.url}/api/v1/payments/webhook/mockpsp`, { method: 'POST', headers, body });
};

export default {
  'rds-data:ExecuteStatement on local-cluster': captured,
  'secretsmanager:GetSecretValue on LedgerkernelwebhookSecret': captured,
  'secretsmanager:GetSecretValue on Paymentsmockpsp': sent('mockpsp'),
  'secretsmanager:GetSecretValue on Paymentsstripe': sent('stripe'),
  'secretsmanager:GetSecretValue on Paymentspaynow': sent('paynow'),
  'sqs:SendMessage on PaymentsEventsQueue': captured,
} satisfies Stimuli;
