// Stripe, by its own library: payment intents, payouts and refunds under our keys, and its events in the kernel's words.
import Stripe from 'stripe';
import { KernelError } from '../errors.ts';
import type {
  PaymentOrder,
  PaymentProvider,
  PaymentResult,
  ProviderEvent,
  ProviderSecret,
  WebhookReading,
  WebhookRequest,
} from '../ports.ts';
import { isRecent, tolerance_s } from '../webhook.ts';
import { events_listened, readStripeEvent } from './stripe-events.ts';

const request_timeout_ms = 10_000;
/** Stripe forgets a key after 24 hours: later, asking again would be a new payment. */
const key_life_ms = 23 * 3_600_000;
const page_size = 100;

export function stripe(secret: () => Promise<ProviderSecret>): PaymentProvider {
  return {
    name: 'stripe',
    readWebhook,
    configured: async () => Boolean((await secret()).api_key),
    order: async (action, order) => {
      try {
        return await ordered(await client(secret), action, order);
      } catch (error) {
        return refused(error);
      }
    },
    list: async (from, to, after) => {
      const api = await client(secret);
      const created = { gte: seconds(from), lt: seconds(to) };
      const page = await api.events
        .list({
          created,
          types: [...events_listened],
          limit: page_size,
          ...(after && { starting_after: after }),
        })
        .catch((cause: unknown) => {
          throw new KernelError('ledger_unavailable', 'Stripe did not list its events.', { cause });
        });
      const events = page.data.map((event) => readStripeEvent(event)).filter((event) => event !== null);
      return { events, next: page.has_more ? (page.data.at(-1)?.id ?? null) : null };
    },
  };
}

async function client(secret: () => Promise<ProviderSecret>): Promise<Stripe> {
  const { api_key, api_base } = await secret();
  if (!api_key) throw new KernelError('PROVIDER_NOT_CONFIGURED', 'The secret of Stripe holds no api_key.');
  const base = api_base === undefined ? undefined : new URL(api_base);
  return new Stripe(api_key, {
    timeout: request_timeout_ms,
    maxNetworkRetries: 1, // under the same key, so that it pays nothing twice
    telemetry: false,
    httpClient: Stripe.createFetchHttpClient(),
    ...(base && {
      host: base.hostname,
      port: base.port,
      protocol: base.protocol === 'http:' ? 'http' : 'https',
    }),
  });
}

async function ordered(
  api: Stripe,
  action: Parameters<NonNullable<PaymentProvider['order']>>[0],
  order: PaymentOrder,
): Promise<PaymentResult> {
  const amount = Number(order.amount_minor);
  if (!Number.isSafeInteger(amount)) return { status: 'FAILED', error_code: 'AMOUNT_TOO_LARGE' };
  const { tx_id, tenant_id, player_id, key } = order;
  const metadata = { tx_id, tenant_id, player_id, attempt_key: key };
  const currency = order.currency.toLowerCase();
  const options = { idempotencyKey: key };
  if (action === 'payout_withdrawal') {
    const old = order.asked_at !== undefined && Date.now() - Date.parse(order.asked_at) > key_life_ms;
    return old
      ? await found(api, order)
      : paid(await api.payouts.create({ amount, currency, metadata }, options));
  }
  if (action === 'refund_deposit') {
    const payment_intent = order.provider_ref ?? '';
    const refund = await api.refunds.create({ payment_intent, amount, metadata }, options);
    if (refund.status === 'failed' || refund.status === 'canceled') return { status: 'FAILED' };
    return { status: refund.status === 'succeeded' ? 'REVERSED' : 'UNKNOWN', provider_ref: refund.id };
  }
  const automatic_payment_methods = { enabled: true };
  const intent = await api.paymentIntents.create(
    { amount, currency, metadata, automatic_payment_methods },
    options,
  );
  const status =
    intent.status === 'succeeded' ? 'CAPTURED' : intent.status === 'canceled' ? 'FAILED' : 'UNKNOWN';
  const { client_secret } = intent;
  return { status, provider_ref: intent.id, ...(client_secret && { client_secret }) };
}

/** Looks for a payout whose key Stripe has forgotten; what is not found was perhaps never made, which only a person can say. */
async function found(api: Stripe, { key, asked_at = '' }: PaymentOrder): Promise<PaymentResult> {
  const created = { gte: seconds(asked_at) - 300 };
  for await (const payout of api.payouts.list({ created, limit: page_size }))
    if (payout.metadata?.attempt_key === key) return paid(payout);
  return { status: 'UNKNOWN' };
}

function paid({ id, status, failure_code }: Stripe.Payout): PaymentResult {
  if (status === 'paid') return { status: 'PAID', provider_ref: id };
  if (status !== 'failed' && status !== 'canceled') return { status: 'UNKNOWN', provider_ref: id };
  return { status: 'FAILED', provider_ref: id, error_code: failure_code ?? status };
}

/** Only what Stripe says it did not do has failed; a timeout, a 5xx or a limit says nothing. */
function refused(error: unknown): PaymentResult {
  const { StripeCardError, StripeInvalidRequestError } = Stripe.errors;
  if (error instanceof StripeCardError || error instanceof StripeInvalidRequestError)
    return { status: 'FAILED', error_code: error.code ?? 'PSP_REFUSED' };
  return { status: 'UNKNOWN' };
}

function readWebhook({ headers, raw, now_ms }: WebhookRequest, secret: ProviderSecret): WebhookReading {
  const header = headers['stripe-signature'];
  if (header === undefined) return { signature: 'none', events: [] };
  const signed_s = Number(/(?:^|,)t=(\d{1,12})(?:,|$)/.exec(header)?.[1]);
  if (!isRecent(signed_s * 1_000, now_ms)) return { signature: 'invalid', events: [] };
  for (const one of [secret.webhook_secret, secret.previous_webhook_secret]) {
    if (!one) continue;
    let event: Stripe.Event;
    try {
      event = Stripe.webhooks.constructEvent(raw, header, one, tolerance_s, undefined, now_ms);
    } catch (error) {
      if (error instanceof Stripe.errors.StripeSignatureVerificationError) continue;
      throw new KernelError('INVALID_WEBHOOK', 'The body of the webhook is not an event.', { cause: error });
    }
    return { signature: 'valid', events: [readStripeEvent(event) ?? ignored(event)] };
  }
  return { signature: 'invalid', events: [] };
}

function ignored({ id, type, created, ...rest }: Stripe.Event): ProviderEvent {
  const occurred_at = new Date(created * 1_000).toISOString();
  return { event_id: id, type, ignored: true, occurred_at, payload: { id, type, created, ...rest } };
}

const seconds = (instant: string) => Math.floor(Date.parse(instant) / 1_000);
