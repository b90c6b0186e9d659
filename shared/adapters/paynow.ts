// PayNow, a shop: its orders, renewals, refunds and chargebacks become points by the catalogue of products.
import * as z from 'zod';
import { KernelError } from '../errors.ts';
import type {
  PaymentProvider,
  ProviderEvent,
  ProviderSecret,
  WebhookReading,
  WebhookRequest,
} from '../ports.ts';
import { hmacMatches, isRecent, parseWebhook } from '../webhook.ts';

/** What moves points; the others are known, and change nothing. */
const types = [
  'ON_ORDER_COMPLETED',
  'ON_DELIVERY_ITEM_ADDED',
  'ON_SUBSCRIPTION_RENEWED',
  'ON_REFUND',
  'ON_CHARGEBACK',
];

const event = z.object({
  id: z.string().min(1).max(128),
  event_type: z.string().min(1).max(64).optional(),
  event: z.string().min(1).max(64).optional(),
  // What a shop's customer wrote must not lose the order: an event without a player is kept, and found dead.
  created_at: z.iso.datetime({ offset: true }).optional().catch(undefined),
  customer: z
    .object({
      id: z.string().min(1).max(128).optional().catch(undefined),
      metadata: z.object({ uid: z.uuid().optional() }).optional().catch(undefined),
    })
    .optional()
    .catch(undefined),
  body: z.unknown().optional(),
});

export function payNow(): PaymentProvider {
  return { name: 'paynow', readWebhook };
}

function readWebhook({ headers, raw, now_ms }: WebhookRequest, secret: ProviderSecret): WebhookReading {
  const timestamp = headers['paynow-timestamp'] ?? '';
  const given = headers['paynow-signature'];
  const well =
    given !== undefined &&
    Buffer.from(given, 'base64').toString('base64') === given && // two spellings of one digest are one too many
    /^\d{1,15}$/.test(timestamp) &&
    isRecent(Number(timestamp), now_ms) &&
    hmacMatches(secret, `${timestamp}.`, raw, Buffer.from(given, 'base64'));
  if (!well) return { signature: given === undefined ? 'none' : 'invalid', events: [] };
  return { signature: 'valid', events: [readPayNowEvent(parseWebhook(raw), now_ms)] };
}

/** An order, renewal, refund or chargeback as PayNow tells it. @throws KernelError `INVALID_WEBHOOK`. */
export function readPayNowEvent(payload: Record<string, unknown>, now_ms: number): ProviderEvent {
  const read = event.safeParse(payload);
  if (!read.success) throw new KernelError('INVALID_WEBHOOK', 'The webhook needs an id and an event type.');
  const { id, event_type, event: named, created_at, customer } = read.data;
  const type = event_type ?? named;
  if (type === undefined) throw new KernelError('INVALID_WEBHOOK', 'Missing event type.');
  const player_id = customer?.metadata?.uid;
  return {
    ...{ event_id: id, type, payload, occurred_at: created_at ?? new Date(now_ms).toISOString() },
    ...(!types.includes(type) && { ignored: true }),
    ...(player_id && { player_id }),
    ...(customer?.id && { customer_id: customer.id }),
  };
}
