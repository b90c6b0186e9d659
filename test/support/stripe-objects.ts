// What Stripe's API and webhooks speak of, whole, as the official library declares it: a payment with every field, and its events.
import { randomUUID } from 'node:crypto';
import type Stripe from 'stripe';

export type Made = Stripe.PaymentIntent | Stripe.Payout | Stripe.Refund;
type Metadata = Record<string, string>;

/** Like `pi_3f…`. */
export const newId = (prefix: string) => `${prefix}_${randomUUID().replaceAll('-', '').slice(0, 24)}`;
export const now_s = () => Math.floor(Date.now() / 1_000);

export function paymentIntent(amount: number, currency: string, metadata: Metadata): Stripe.PaymentIntent {
  const id = newId('pi');
  return {
    ...{ id, object: 'payment_intent', amount, currency, metadata, created: now_s(), livemode: false },
    ...{ status: 'requires_payment_method', amount_capturable: 0, amount_received: 0 },
    ...{ client_secret: `${id}_secret_${newId('k')}`, payment_method_types: ['card'] },
    ...{ capture_method: 'automatic_async', confirmation_method: 'automatic' },
    automatic_payment_methods: { enabled: true, allow_redirects: 'always' },
    ...{ allowed_payment_method_types: null, application: null, application_fee_amount: null },
    ...{ canceled_at: null, cancellation_reason: null, customer: null, customer_account: null },
    ...{ description: null, excluded_payment_method_types: null, last_payment_error: null },
    ...{ latest_charge: null, managed_payments: null, next_action: null, on_behalf_of: null },
    ...{ payment_method: null, payment_method_configuration_details: null, payment_method_options: null },
    ...{ payment_record: null, processing: null, receipt_email: null, review: null },
    ...{ setup_future_usage: null, shipping: null, source: null, statement_descriptor: null },
    ...{ statement_descriptor_suffix: null, transfer_data: null, transfer_group: null },
  } satisfies Stripe.PaymentIntent;
}

export function payout(
  amount: number,
  currency: string,
  destination: string | null,
  metadata: Metadata,
): Stripe.Payout {
  return {
    ...{ id: newId('po'), object: 'payout', amount, currency, destination, metadata, created: now_s() },
    ...{ livemode: false, status: 'pending', arrival_date: now_s() + 86_400, automatic: false },
    ...{ method: 'standard', type: 'bank_account', source_type: 'card' },
    ...{ application_fee: null, application_fee_amount: null, balance_transaction: newId('txn') },
    ...{ description: null, failure_balance_transaction: null, failure_code: null, failure_message: null },
    ...{ original_payout: null, payout_method: null, reconciliation_status: 'not_applicable' },
    ...{ reversed_by: null, statement_descriptor: null, trace_id: null },
  } satisfies Stripe.Payout;
}

export function refund(payment: Stripe.PaymentIntent, amount: number, metadata: Metadata): Stripe.Refund {
  return {
    ...{ id: newId('re'), object: 'refund', amount, currency: payment.currency, metadata, created: now_s() },
    ...{ status: 'succeeded', payment_intent: payment.id, charge: newId('ch'), reason: null },
    ...{ balance_transaction: newId('txn'), customer: null, customer_account: null, payment_method: null },
    ...{ receipt_number: null, source_transfer_reversal: null, transfer_reversal: null },
  } satisfies Stripe.Refund;
}

/** Stripe copies no metadata of the payment to its dispute. */
export function dispute(payment: Stripe.PaymentIntent, amount: number): Stripe.Dispute {
  return {
    ...{ id: newId('du'), object: 'dispute', amount, currency: payment.currency, created: now_s() },
    ...{ livemode: false, metadata: {}, payment_intent: payment.id, charge: newId('ch') },
    ...{ reason: 'fraudulent', status: 'needs_response', is_charge_refundable: false },
    ...{ balance_transactions: [], enhanced_eligibility_types: [], intended_submission_method: null },
    evidence: evidence(),
    evidence_details: {
      ...{ due_by: null, enhanced_eligibility: {}, has_evidence: false, past_due: false },
      ...{ submission_count: 0, submission_method: 'not_submitted' },
    },
  } satisfies Stripe.Dispute;
}

function evidence(): Stripe.Dispute['evidence'] {
  return {
    ...{ access_activity_log: null, billing_address: null, cancellation_policy: null },
    ...{ cancellation_policy_disclosure: null, cancellation_rebuttal: null, customer_communication: null },
    ...{ customer_email_address: null, customer_name: null, customer_purchase_ip: null },
    ...{ customer_signature: null, duplicate_charge_documentation: null, duplicate_charge_id: null },
    ...{ duplicate_charge_explanation: null, enhanced_evidence: {}, product_description: null },
    ...{ receipt: null, refund_policy: null, refund_policy_disclosure: null, service_date: null },
    ...{ refund_refusal_explanation: null, service_documentation: null, shipping_address: null },
    ...{ shipping_carrier: null, shipping_date: null, shipping_documentation: null },
    ...{ shipping_tracking_number: null, uncategorized_file: null, uncategorized_text: null },
  };
}

/** What every event has beside its type and its object. */
export const eventBase = () =>
  ({
    ...{ id: newId('evt'), object: 'event', api_version: '2026-10-28.endive', created: now_s() },
    ...{ livemode: false, pending_webhooks: 1, request: null },
  }) satisfies Omit<Stripe.EventBase, 'data' | 'type'>;
