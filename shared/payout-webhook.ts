// The webhook of payouts alone: it names a withdrawal and says paid or failed, signed over a timestamp and its raw bytes.
import * as z from 'zod';
import { KernelError } from './errors.ts';
import type { PaymentProviders, ProviderEvent, WebhookRequest } from './ports.ts';
import { hmacMatches, isRecent, parseWebhook } from './webhook.ts';

const text = (max: number) => z.string().min(1).max(max);
export const payoutWebhook = z.object({
  withdraw_tx_id: z.uuid(),
  provider: text(64),
  provider_event_id: text(128),
  status: z.enum(['paid', 'failed']),
  provider_ref: text(128).nullish(),
  error_code: text(64).nullish(),
  raw_payload: z.unknown().optional(),
});

/**
 * @throws KernelError `WEBHOOK_SIGNATURE_MISSING`, `WEBHOOK_TIMESTAMP_INVALID`, `WEBHOOK_SIGNATURE_INVALID`,
 * `WEBHOOK_SECRET_MISSING`, `INVALID_WEBHOOK`, `UNSUPPORTED_PROVIDER`.
 */
export async function readPayoutWebhook(
  { headers, raw, now_ms }: WebhookRequest,
  providers: Pick<PaymentProviders, 'of' | 'secret'>,
): Promise<{ provider: string; event: ProviderEvent }> {
  const timestamp = headers['x-webhook-timestamp'];
  const given = headers['x-webhook-signature'];
  if (timestamp === undefined || given === undefined)
    throw new KernelError('WEBHOOK_SIGNATURE_MISSING', 'The webhook is not signed.');
  if (!/^\d{1,12}$/.test(timestamp) || !isRecent(Number(timestamp) * 1_000, now_ms))
    throw new KernelError('WEBHOOK_TIMESTAMP_INVALID', 'The timestamp is more than five minutes away.');
  const payload = parseWebhook(raw);
  const name = typeof payload.provider === 'string' ? payload.provider : '';
  if (!providers.of(name))
    throw new KernelError('UNSUPPORTED_PROVIDER', 'There is no such payment provider.');
  const secret = await providers.secret(name);
  if (!secret.webhook_secret)
    throw new KernelError('WEBHOOK_SECRET_MISSING', 'The secret of the provider holds no webhook_secret.');
  const digest = /^[0-9a-f]{64}$/.test(given) ? Buffer.from(given, 'hex') : Buffer.alloc(0);
  if (!hmacMatches(secret, `${timestamp}.`, raw, digest))
    throw new KernelError('WEBHOOK_SIGNATURE_INVALID', 'The signature of the webhook is wrong.');
  const read = payoutWebhook.safeParse(payload);
  if (!read.success) {
    const [field] = read.error.issues[0]?.path ?? [];
    throw new KernelError('INVALID_WEBHOOK', `The field ${String(field ?? 'body')} is missing or malformed.`);
  }
  const { withdraw_tx_id: tx_id, provider_event_id: event_id, status, provider_ref } = read.data;
  const kind = status === 'paid' ? 'withdraw_paid' : 'withdraw_failed';
  const occurred_at = new Date(Number(timestamp) * 1_000).toISOString();
  const event = { event_id, type: `payout_${status}`, kind, tx_id, occurred_at, payload } as const;
  return { provider: name, event: { ...event, ...(provider_ref && { provider_ref }) } };
}
