// The book of a local Stripe: what was made there, what has become of it, and the events that tell of it.
import type Stripe from 'stripe';
import { dispute, eventBase, type Made, paymentIntent, payout, refund } from './stripe-objects.ts';

export type Params = Record<string, unknown>;
type Object_ = Made | Stripe.Dispute;
export const collections = {
  payment_intents: 'payment_intent',
  payouts: 'payout',
  refunds: 'refund',
} as const;
export type Collection = keyof typeof collections;

/** A refusal of Stripe, as its API tells it. */
export interface Refused {
  status: number;
  error: { type: string; code?: string; decline_code?: string; message: string };
}

export class StripeBook {
  readonly objects = new Map<string, Object_>();
  /** Oldest first. */
  readonly events: Stripe.Event[] = [];

  /** Newest first. */
  all(collection: Collection): Made[] {
    return ([...this.objects.values()] as Made[])
      .filter(({ object }) => object === collections[collection])
      .reverse();
  }

  /** The payouts that left: what a test holds against the ledger. */
  payoutsOf(tx_id: string): Stripe.Payout[] {
    return this.payouts().filter(({ metadata, status }) => metadata?.tx_id === tx_id && status !== 'failed');
  }

  payouts(): Stripe.Payout[] {
    return this.all('payouts') as Stripe.Payout[];
  }

  intentOf(tx_id: string): Stripe.PaymentIntent {
    const found = this.all('payment_intents').filter(({ metadata }) => metadata?.tx_id === tx_id);
    if (found.length !== 1) throw new Error(`There are ${found.length} payment intents of ${tx_id}.`);
    return found[0] as Stripe.PaymentIntent;
  }

  make(collection: Collection, params: Params): Made | Refused {
    const amount = Number(params.amount);
    const metadata = (params.metadata ?? {}) as Record<string, string>;
    if (!Number.isSafeInteger(amount) || amount < 1 || amount > 99_999_999)
      return invalid('amount_too_large', 'Amount must be no more than 999,999.99.');
    if (collection === 'refunds') {
      const paid = this.objects.get(String(params.payment_intent)) as Stripe.PaymentIntent | undefined;
      return paid ? this.keep(refund(paid, amount, metadata)) : missing(String(params.payment_intent));
    }
    const currency = String(params.currency);
    if (!/^[a-z]{3}$/.test(currency)) return invalid('parameter_invalid', `Invalid currency: ${currency}`);
    if (collection === 'payment_intents') return this.keep(paymentIntent(amount, currency, metadata));
    return this.keep(payout(amount, currency, (params.destination as string) ?? null, metadata));
  }

  authorize(id: string): Stripe.Event {
    const before = this.get<Stripe.PaymentIntent>(id);
    const object = this.keep({ ...before, status: 'requires_capture', amount_capturable: before.amount });
    return this.tell({ ...eventBase(), type: 'payment_intent.amount_capturable_updated', data: { object } });
  }

  capture(id: string): Stripe.Event {
    const before = this.get<Stripe.PaymentIntent>(id);
    const object = this.keep({ ...before, status: 'succeeded', amount_received: before.amount });
    return this.tell({ ...eventBase(), type: 'payment_intent.succeeded', data: { object } });
  }

  /** A card is declined; the player may try again with another. */
  decline(id: string): Stripe.Event {
    const object = this.keep({
      ...this.get<Stripe.PaymentIntent>(id),
      status: 'requires_payment_method',
      last_payment_error: { type: 'card_error', code: 'card_declined', message: 'Your card was declined.' },
    });
    return this.tell({ ...eventBase(), type: 'payment_intent.payment_failed', data: { object } });
  }

  payOut(id: string): Stripe.Event {
    const object = this.keep({ ...this.get<Stripe.Payout>(id), status: 'paid' });
    return this.tell({ ...eventBase(), type: 'payout.paid', data: { object } });
  }

  returnPayout(id: string): Stripe.Event {
    const failure = { failure_code: 'account_closed', failure_message: 'The bank account has been closed.' };
    const object = this.keep({ ...this.get<Stripe.Payout>(id), status: 'failed', ...failure });
    return this.tell({ ...eventBase(), type: 'payout.failed', data: { object } });
  }

  /** By hand, in the dashboard: it carries nothing of ours. */
  refund(payment: string, amount: number): Stripe.Event {
    const object = this.keep(refund(this.get<Stripe.PaymentIntent>(payment), amount, {}));
    return this.tell({ ...eventBase(), type: 'refund.created', data: { object } });
  }

  /** A refund that went through is told again when its reference at the bank is known. */
  noteRefund(id: string): Stripe.Event {
    const object = this.get<Stripe.Refund>(id);
    return this.tell({ ...eventBase(), type: 'refund.updated', data: { object } });
  }

  dispute(payment: string, amount: number): Stripe.Event {
    const object = this.keep(dispute(this.get<Stripe.PaymentIntent>(payment), amount));
    return this.tell({ ...eventBase(), type: 'charge.dispute.funds_withdrawn', data: { object } });
  }

  winDispute(id: string): Stripe.Event {
    const object = this.keep({ ...this.get<Stripe.Dispute>(id), status: 'won' as const });
    return this.tell({ ...eventBase(), type: 'charge.dispute.funds_reinstated', data: { object } });
  }

  /** Every event is one by the library's own declaration. */
  tell(event: Stripe.Event): Stripe.Event {
    this.events.push(event satisfies Stripe.Event);
    return event;
  }

  private keep<T extends Object_>(object: T): T {
    this.objects.set(object.id, object);
    return object;
  }

  private get<T extends Object_>(id: string): T {
    const found = this.objects.get(id);
    if (!found) throw new Error(`Stripe has no ${id}.`);
    return found as T;
  }
}

export function missing(id: string): Refused {
  return { ...invalid('resource_missing', `No such object: '${id}'`), status: 404 };
}

export function invalid(code: string, message: string): Refused {
  return { status: 400, error: { type: 'invalid_request_error', code, message } };
}
