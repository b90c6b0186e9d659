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
const day_ms = 24 * 3_600_000;
/** Stripe forgets a key after 24 hours: later, asking again would be a new payment. */
const key_life_ms = day_ms - 3_600_000;
/** Under its key Stripe repeats its first answer; what has become of the payment since, only reading it again tells. */
const first_answer_ms = 60_000;
const clock_skew_s = 300;
/** Stripe lists no event that is older than 30 days. */
const events_kept_ms = 30 * day_ms;
const page_size = 100;

type Action = Parameters<NonNullable<PaymentProvider['order']>>[0];
type Made = Stripe.PaymentIntent | Stripe.Payout | Stripe.Refund;

export function stripe(
  secret: () => Promise<ProviderSecret>,
  timeout_ms: number = request_timeout_ms,
): PaymentProvider {
  return {
    name: 'stripe',
    readWebhook,
    configured: async () => Boolean((await secret()).api_key),
    order: async (action, order) => {
      try {
        return await ordered(await client(secret, timeout_ms), action, order);
      } catch {
        return { status: 'UNKNOWN' };
      }
    },
    list: async (from, to, after) => {
      if (Date.parse(from) < Date.now() - events_kept_ms)
        return { events: [], next: null, incomplete: 'Stripe lists only the events of the last 30 days.' };
      const api = await client(secret, timeout_ms);
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

async function client(secret: () => Promise<ProviderSecret>, timeout: number): Promise<Stripe> {
  const { api_key, api_base } = await secret();
  if (!api_key) throw new KernelError('PROVIDER_NOT_CONFIGURED', 'The secret of Stripe holds no api_key.');
  const base = api_base === undefined ? undefined : new URL(api_base);
  return new Stripe(api_key, {
    timeout,
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

async function ordered(api: Stripe, action: Action, order: PaymentOrder): Promise<PaymentResult> {
  const { asked_at = '', provider_ref } = order;
  const age_ms = Date.now() - Date.parse(asked_at);
  if (action === 'payout_withdrawal' && provider_ref) return told(await api.payouts.retrieve(provider_ref));
  if (age_ms > key_life_ms) return found(api, action, order);
  const said = await make(api, action, order).then(told, refused);
  const repeated = said.status === 'UNKNOWN' && said.provider_ref !== undefined && age_ms > first_answer_ms;
  return repeated ? told(await read(api, action, said.provider_ref ?? '')) : said;
}

async function make(api: Stripe, action: Action, order: PaymentOrder): Promise<Made> {
  const { tx_id, tenant_id, player_id, key, address } = order;
  const amount = Number(order.amount_minor);
  if (!Number.isSafeInteger(amount)) throw new Refusal('AMOUNT_TOO_LARGE');
  const metadata = { tx_id, tenant_id, player_id, attempt_key: key };
  const currency = order.currency.toLowerCase();
  const options = { idempotencyKey: key };
  if (action === 'payout_withdrawal') {
    // Without a destination Stripe pays the company itself.
    if (!/^(ba|card)_\w+$/.test(address ?? '')) throw new Refusal('PAYOUT_DESTINATION_INVALID');
    return api.payouts.create({ amount, currency, metadata, destination: address as string }, options);
  }
  if (action === 'refund_deposit')
    return api.refunds.create({ payment_intent: order.provider_ref ?? '', amount, metadata }, options);
  const automatic_payment_methods = { enabled: true };
  return api.paymentIntents.create({ amount, currency, metadata, automatic_payment_methods }, options);
}

function read(api: Stripe, action: Action, id: string): Promise<Made> {
  if (action === 'payout_withdrawal') return api.payouts.retrieve(id);
  return action === 'refund_deposit' ? api.refunds.retrieve(id) : api.paymentIntents.retrieve(id);
}

/** Looks for what was made under a key that Stripe has forgotten; what is not found was perhaps never made, which only a person can say. */
async function found(
  api: Stripe,
  action: Action,
  { key, asked_at = '' }: PaymentOrder,
): Promise<PaymentResult> {
  const asked_s = seconds(asked_at);
  const created = { gte: asked_s - clock_skew_s, lte: asked_s + day_ms / 1_000 + clock_skew_s };
  const range = { created, limit: page_size };
  const made: AsyncIterable<Made> =
    action === 'payout_withdrawal'
      ? api.payouts.list(range)
      : action === 'refund_deposit'
        ? api.refunds.list(range)
        : api.paymentIntents.list(range);
  for await (const one of made) if (one.metadata?.attempt_key === key) return told(one);
  return { status: 'UNKNOWN' };
}

/** What Stripe says of a payment; of what it has not decided, a webhook tells. */
function told(made: Made): PaymentResult {
  const { id: provider_ref, status } = made;
  if (status === 'failed' || status === 'canceled') {
    const error_code = made.object === 'payout' ? (made.failure_code ?? status) : status;
    return { status: 'FAILED', provider_ref, error_code };
  }
  if (made.object === 'payout') return { status: status === 'paid' ? 'PAID' : 'UNKNOWN', provider_ref };
  if (made.object === 'refund')
    return { status: status === 'succeeded' ? 'REVERSED' : 'UNKNOWN', provider_ref };
  const { client_secret } = made;
  const captured = status === 'succeeded' && made.amount_received === made.amount;
  return { status: captured ? 'CAPTURED' : 'UNKNOWN', provider_ref, ...(client_secret && { client_secret }) };
}

/** Why Stripe is not even asked. */
class Refusal extends Error {
  readonly code: string;
  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

/** Only what Stripe says it did not do has failed; a timeout, a 5xx or a limit says nothing. */
function refused(error: unknown): PaymentResult {
  const { StripeCardError, StripeInvalidRequestError } = Stripe.errors;
  if (error instanceof Refusal) return { status: 'FAILED', error_code: error.code };
  if (error instanceof StripeCardError || error instanceof StripeInvalidRequestError)
    return { status: 'FAILED', error_code: error.code ?? 'PSP_REFUSED' };
  return { status: 'UNKNOWN' };
}

function readWebhook({ headers, raw, now_ms }: WebhookRequest, secret: ProviderSecret): WebhookReading {
  const header = headers['stripe-signature'];
  if (header === undefined) return { signature: 'none', events: [] };
  const text = exact(raw);
  // The library reads the last timestamp of several, and bounds it on one side only.
  const [signed, ...more] = [...header.matchAll(/(?:^|,)t=([^,]*)/g)];
  const at_ms = /^\d{1,12}$/.test(signed?.[1] ?? '') ? Number(signed?.[1]) * 1_000 : Number.NaN;
  if (text === null || more.length > 0 || !isRecent(at_ms, now_ms))
    return { signature: 'invalid', events: [] };
  for (const one of [secret.webhook_secret, secret.previous_webhook_secret]) {
    if (!one) continue;
    let event: Stripe.Event;
    try {
      event = Stripe.webhooks.constructEvent(text, header, one, tolerance_s, undefined, now_ms);
    } catch (error) {
      if (error instanceof Stripe.errors.StripeSignatureVerificationError) continue;
      throw new KernelError('INVALID_WEBHOOK', 'The body of the webhook is not an event.', { cause: error });
    }
    requireEvent(event);
    return { signature: 'valid', events: [readStripeEvent(event) ?? ignored(event)] };
  }
  return { signature: 'invalid', events: [] };
}

/** Null for bytes that are not the only ones of their text: the library's decoder would take several for the same. */
function exact(raw: Buffer): string | null {
  const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(raw);
  return Buffer.from(text).equals(raw) ? text : null;
}

/** @throws KernelError `INVALID_WEBHOOK` */
function requireEvent(event: Partial<Stripe.Event> | null): void {
  const { id, type, created, data } = event ?? {};
  const named = typeof id === 'string' && id.length <= 128 && typeof type === 'string' && type.length <= 64;
  if (named && Number.isSafeInteger(created) && typeof data?.object === 'object' && data.object !== null)
    return;
  throw new KernelError('INVALID_WEBHOOK', 'The body of the webhook is not an event.');
}

function ignored({ id, type, created, ...rest }: Stripe.Event): ProviderEvent {
  const occurred_at = new Date(created * 1_000).toISOString();
  return { event_id: id, type, ignored: true, occurred_at, payload: { id, type, created, ...rest } };
}

const seconds = (instant: string) => Math.floor(Date.parse(instant) / 1_000);
