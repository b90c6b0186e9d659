// The mock payment provider: it keeps its own book in a table, so that what it has decided survives every crash of ours.
import { createHmac } from 'node:crypto';
import { ask } from '../ask.ts';
import { KernelError } from '../errors.ts';
import { parseAmountMinor, parseCurrency } from '../money.ts';
import type {
  Database,
  EventKind,
  PaymentProvider,
  PaymentResult,
  ProviderEvent,
  ProviderPage,
  ProviderSecret,
  WebhookReading,
  WebhookRequest,
} from '../ports.ts';
import { hmacMatches, isRecent, parseWebhook, requireIds } from '../webhook.ts';

/** A page is one value of the Data API, which holds 64 KB. */
const page_size = '50';
const kinds: Record<string, EventKind> = {
  deposit_authorized: 'deposit_authorized',
  deposit_captured: 'deposit_captured',
  deposit_failed: 'deposit_failed',
  withdraw_paid: 'withdraw_paid',
  withdraw_failed: 'withdraw_failed',
  deposit_refunded: 'refund',
  refund: 'refund',
  refund_failed: 'refund_failed',
  chargeback: 'chargeback',
  chargeback_won: 'chargeback_won',
};
const reversals: EventKind[] = ['refund', 'refund_failed', 'chargeback', 'chargeback_won'];
const moving: EventKind[] = ['deposit_captured', 'withdraw_paid', ...reversals];

export function mockPsp(database: Database): PaymentProvider {
  return {
    name: 'mockpsp',
    readWebhook,
    async order(action, { key, outcome, ...order }) {
      const call = { action, key, order: JSON.stringify(order), outcome: outcome ?? null };
      const said = await ask(database, 'mockpsp(:action, :key, :order::jsonb, :outcome)', call).catch(
        () => null,
      );
      // No answer, or none yet: it may have paid and may not.
      if (said === null || said.status === 'PENDING') return { status: 'UNKNOWN' };
      const { status, provider_ref, provider_event_id } = said;
      return { status, provider_ref, provider_event_id } as PaymentResult;
    },
    async list(from, to, after) {
      const page = (await ask(
        database,
        'mockpsp_list(:from::timestamptz, :to::timestamptz, :after::bigint, :limit::integer)',
        { from, to, after, limit: page_size },
      )) as { events: Record<string, unknown>[]; next: string | null; gap: string | null };
      const events = page.events.map((event) => readEvent(event));
      const incomplete = page.gap !== null && {
        incomplete: `The provider's list has a gap after event ${page.gap}.`,
      };
      return { events, next: page.next, ...incomplete } as ProviderPage;
    },
  };
}

/** The headers under which the mock provider sends a body. */
export function signMockPsp(body: string, secret: string, now_ms: number): Record<string, string> {
  const timestamp = String(Math.floor(now_ms / 1_000));
  const signature = createHmac('sha256', secret).update(`${timestamp}.`).update(body).digest('hex');
  return { 'x-mockpsp-timestamp': timestamp, 'x-mockpsp-signature': signature };
}

function readWebhook({ headers, raw, now_ms }: WebhookRequest, secret: ProviderSecret): WebhookReading {
  const timestamp = headers['x-mockpsp-timestamp'] ?? '';
  const given = headers['x-mockpsp-signature'];
  const well =
    given !== undefined &&
    /^[0-9a-f]{64}$/.test(given) &&
    /^\d{1,12}$/.test(timestamp) &&
    isRecent(Number(timestamp) * 1_000, now_ms) &&
    hmacMatches(secret, `${timestamp}.`, raw, Buffer.from(given, 'hex'));
  const signature = well ? 'valid' : given === undefined ? 'none' : 'invalid';
  return { signature, events: [readEvent(parseWebhook(raw))] };
}

/** An event as the mock provider tells it. @throws KernelError `INVALID_WEBHOOK`, `MISSING_IDS`. */
export function readEvent(body: Record<string, unknown>): ProviderEvent {
  const event_id = body.provider_event_id ?? body.event_id;
  const type = body.event_type ?? body.type;
  if (!isText(event_id, 128)) throw new KernelError('INVALID_WEBHOOK', 'The webhook names no event.');
  if (!isText(type, 64)) throw new KernelError('INVALID_WEBHOOK', 'The webhook names no event type.');
  const occurred = new Date(typeof body.occurred_at === 'string' ? body.occurred_at : Date.now());
  const occurred_at = Number.isNaN(occurred.getTime()) ? new Date().toISOString() : occurred.toISOString();
  const kind = kinds[type];
  if (kind === undefined) return { event_id, type, ignored: true, occurred_at, payload: body };
  requireIds(body);
  const reversal = reversals.includes(kind);
  const ref = body.ref ?? body.refund_id ?? body.dispute_id ?? (reversal ? event_id : undefined);
  const provider_ref = body.provider_ref ?? body.payment_intent_id;
  return {
    ...{ event_id, type, kind, occurred_at, payload: body },
    ...{
      tx_id: body.tx_id as string,
      tenant_id: body.tenant_id as string,
      player_id: body.player_id as string,
    },
    ...amountOf(body, kind),
    ...(isText(ref, 100) && { ref }),
    ...(isText(provider_ref, 128) && { provider_ref }),
    ...(isText(body.idempotency_key, 300) && { attempt_key: body.idempotency_key }),
  };
}

/** What moves money names amount and currency, so that both can be held against the transaction. */
function amountOf(body: Record<string, unknown>, kind: EventKind) {
  if (body.amount_minor === undefined && !moving.includes(kind)) return {};
  try {
    const currency = parseCurrency(body.currency);
    return { amount_minor: String(parseAmountMinor(body.amount_minor)), currency };
  } catch (error) {
    throw new KernelError('INVALID_WEBHOOK', (error as Error).message, { cause: error });
  }
}

function isText(value: unknown, length_max: number): value is string {
  return typeof value === 'string' && value !== '' && value.length <= length_max;
}
