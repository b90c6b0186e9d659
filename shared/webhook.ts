// A webhook of a payment provider: read, kept in the ledger before anybody is told that it was taken, and named to the queue.
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import * as z from 'zod';
import { ask } from './ask.ts';
import { type ErrorCode, KernelError } from './errors.ts';
import type { Database, PaymentProvider, ProviderEvent, ProviderSecret, WebhookRequest } from './ports.ts';

export const webhook_bytes_max = 256 * 1024;
export const tolerance_s = 300;
const id = z.uuid();

export interface Kept {
  id: string;
  created: boolean;
  same: boolean;
  /** Nobody knows the player: kept, with a finding, and not applied. */
  unknown: boolean;
  tx_id: string | null;
  /** It waits to be applied. */
  due: boolean;
}

/** The hex HMAC-SHA256 of the text before the raw bytes, under each secret that is valid now. */
export function hmacMatches(
  { webhook_secret, previous_webhook_secret }: ProviderSecret,
  prefix: string,
  raw: Buffer,
  given: Buffer,
): boolean {
  return [webhook_secret, previous_webhook_secret]
    .filter((secret) => secret !== undefined && secret !== '')
    .map((secret) =>
      createHmac('sha256', secret as string)
        .update(prefix)
        .update(raw)
        .digest(),
    )
    .map((digest) => digest.length === given.length && timingSafeEqual(digest, given))
    .includes(true);
}

/** Whether an instant is within the tolerance of now, on either side. */
export function isRecent(at_ms: number, now_ms: number): boolean {
  return Number.isFinite(at_ms) && Math.abs(now_ms - at_ms) <= tolerance_s * 1_000;
}

/** @throws KernelError `INVALID_WEBHOOK` for what is no JSON object. */
export function parseWebhook(raw: Buffer): Record<string, unknown> {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(raw);
    const body = JSON.parse(text);
    if (typeof body === 'object' && body !== null && !Array.isArray(body)) return body;
  } catch {
    // One sentence for all of it.
  }
  throw new KernelError('INVALID_WEBHOOK', 'The body of the webhook is not a JSON object.');
}

/** @throws KernelError `MISSING_IDS` unless all three are UUIDs or, the tenant, a text. */
export function requireIds({ tenant_id, player_id, tx_id }: Record<string, unknown>): void {
  const named = typeof tenant_id === 'string' && /^[A-Za-z0-9_.:-]{1,64}$/.test(tenant_id);
  if (named && id.safeParse(player_id).success && id.safeParse(tx_id).success) return;
  throw new KernelError('MISSING_IDS', 'A webhook about money needs tenant_id, player_id and tx_id.');
}

/**
 * Keeps what a webhook said; what is kept twice is kept once.
 * @throws KernelError `payload_too_large`, `content_encoding_unsupported`, `INVALID_WEBHOOK`, `MISSING_IDS`,
 * `WEBHOOK_SIGNATURE_INVALID`, `UNSUPPORTED_PROVIDER`.
 */
export async function receiveWebhook(
  database: Database,
  provider: PaymentProvider,
  account: string,
  request: WebhookRequest,
  secret: ProviderSecret,
): Promise<Kept[]> {
  requirePlain(request);
  const { signature, events } = provider.readWebhook(request, secret);
  return keep(database, provider.name, account, signature, request.raw, events);
}

/** @throws KernelError `payload_too_large`, `content_encoding_unsupported`. */
export function requirePlain({ headers, raw }: WebhookRequest): void {
  if ((headers['content-encoding'] ?? 'identity') !== 'identity')
    throw new KernelError('content_encoding_unsupported', 'A webhook must not be compressed.');
  if (raw.length > webhook_bytes_max) throw new KernelError('payload_too_large', 'Payload too large');
}

export async function keep(
  database: Database,
  provider: string,
  account: string,
  signature: string,
  raw: Buffer,
  events: ProviderEvent[],
): Promise<Kept[]> {
  const hash = createHash('sha256').update(raw).digest('hex');
  const answer = (await ask(
    database,
    `receive_webhook(:provider, :account, :signature, decode(:hash, 'hex'), :events::jsonb)`,
    { provider, account, signature, hash, events: JSON.stringify(events) },
  )) as { outcome: string; code?: ErrorCode; events?: Kept[] };
  if (answer.outcome === 'done') return answer.events ?? [];
  const code = answer.code ?? 'internal';
  const sentence =
    code === 'UNSUPPORTED_PROVIDER'
      ? 'There is no such payment provider.'
      : 'The signature of the webhook is missing or wrong.';
  throw new KernelError(code, sentence);
}
