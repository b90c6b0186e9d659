// Stripe's events in the kernel's words: what each means for a deposit or a withdrawal, and which ones are listened to.
import type Stripe from 'stripe';
import * as z from 'zod';
import { KernelError } from '../errors.ts';
import type { EventKind, ProviderEvent } from '../ports.ts';

const kinds = {
  'payment_intent.amount_capturable_updated': 'deposit_authorized',
  'payment_intent.succeeded': 'deposit_captured',
  'payment_intent.payment_failed': 'deposit_failed',
  'payment_intent.canceled': 'deposit_failed',
  'payout.paid': 'withdraw_paid',
  'payout.failed': 'withdraw_failed',
  'payout.canceled': 'withdraw_failed',
  'refund.created': 'refund',
  'refund.updated': 'refund',
  'refund.failed': 'refund_failed',
  'charge.dispute.funds_withdrawn': 'chargeback',
  'charge.dispute.funds_reinstated': 'chargeback_won',
} as const satisfies Partial<Record<Stripe.Event['type'], EventKind>>;

export const events_listened = Object.keys(kinds) as (keyof typeof kinds)[];

type Moved = Stripe.PaymentIntent | Stripe.Payout | Stripe.Refund | Stripe.Dispute;

/** What we put on everything that we make; what another system of the company has put there is none of ours. */
const ours = z.object({
  tx_id: z.uuid(),
  tenant_id: z.string().regex(/^[A-Za-z0-9_.:-]{1,64}$/),
  player_id: z.uuid(),
  attempt_key: z.string().max(300).optional(),
});

/**
 * Null for an event that moves no money, and for one about a payment that was not made here.
 * @throws KernelError `INVALID_WEBHOOK` for an amount that a number does not hold.
 */
export function readStripeEvent(event: Stripe.Event): ProviderEvent | null {
  const kind = kinds[event.type as keyof typeof kinds] as EventKind | undefined;
  if (kind === undefined) return null;
  const moved = event.data.object as Moved;
  if (kind === 'refund' && (moved as Stripe.Refund).status !== 'succeeded') return null;
  const known = ours.safeParse(moved.metadata);
  const provider_ref = reference(moved);
  // A refund or a dispute that is made by hand carries nothing of ours, and is known by its payment.
  const by_hand = (moved.object === 'refund' || moved.object === 'dispute') && provider_ref !== undefined;
  if (!known.success && !by_hand) return null;
  const { attempt_key, ...ids } = known.data ?? {};
  return {
    ...{ event_id: event.id, type: event.type, kind, payload: event },
    occurred_at: new Date(event.created * 1_000).toISOString(),
    amount_minor: amount(moved),
    currency: moved.currency.toUpperCase(),
    ...(provider_ref !== undefined && { provider_ref }),
    ...((moved.object === 'refund' || moved.object === 'dispute') && { ref: moved.id }),
    ...ids,
    ...failure(moved),
    ...(attempt_key !== undefined && moved.object === 'payout' && { attempt_key }),
  };
}

function failure(moved: Moved): { error_code?: string } {
  const code =
    moved.object === 'payout'
      ? moved.failure_code
      : moved.object === 'payment_intent' && moved.last_payment_error?.code;
  return code ? { error_code: code } : {};
}

/** What Stripe calls the payment: refunds and disputes made by hand know it when they know nothing else of ours. */
function reference(moved: Moved): string | undefined {
  if (moved.object === 'payment_intent' || moved.object === 'payout') return moved.id;
  const { payment_intent } = moved;
  return typeof payment_intent === 'string' ? payment_intent : payment_intent?.id;
}

function amount(moved: Moved): string {
  const moved_minor =
    moved.object === 'payment_intent' && moved.status === 'succeeded' ? moved.amount_received : moved.amount;
  if (Number.isSafeInteger(moved_minor) && moved_minor > 0) return String(moved_minor);
  throw new KernelError('INVALID_WEBHOOK', 'The event names an amount that cannot be taken.');
}
