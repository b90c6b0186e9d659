// Webhooks of Stripe, of PayNow and of payouts that must not be taken, and what each is refused with.
import type { Hostile } from './hostile-webhooks.ts';
import { type Headers, nowS, signMock, signPayNow, signPayout, signStripe } from './webhooks.ts';

const invalid = { status: 401, code: 'WEBHOOK_SIGNATURE_INVALID' };
type Attempt = [name: string, headers: Headers, body?: string | Buffer];
const forged = (raw: string, attempts: Attempt[]): Hostile[] =>
  attempts.map(([name, headers, body = raw]) => ({ name, raw: body, headers, ...invalid }));
const late_s = 310;

export function stripeForgeries(raw: string, secret: string, other: string): Hostile[] {
  const { 'stripe-signature': good = '' } = signStripe(raw, secret);
  return forged(raw, [
    ['unsigned', {}],
    ['forged', signStripe(raw, other)],
    ['stale', signStripe(raw, secret, nowS() - late_s)],
    ['from the future', signStripe(raw, secret, nowS() + late_s)],
    ['of the old scheme', { 'stripe-signature': good.replace('v1=', 'v0=') }],
    ['without its timestamp', { 'stripe-signature': good.replace(/t=\d+,/, '') }],
    ['at a time of ours', { 'stripe-signature': good.replace(/t=\d+/, `t=${nowS() - 1}`) }],
    [
      'in upper-case hex',
      { 'stripe-signature': good.replace(/v1=.*/, (hex) => `v1=${hex.slice(3).toUpperCase()}`) },
    ],
    ['empty', { 'stripe-signature': '' }],
    ['of the mock provider', signMock(raw, secret)],
    ['altered', { 'stripe-signature': good }, raw.replaceAll('1000', '9000')],
    ['truncated', { 'stripe-signature': good }, raw.slice(0, -1)],
    ['behind a byte order mark', { 'stripe-signature': good }, `\uFEFF${raw}`],
  ]);
}

export function payNowForgeries(raw: string, secret: string): Hostile[] {
  const good = signPayNow(raw, secret);
  const hex = Buffer.from(good['paynow-signature'] ?? '', 'base64').toString('hex');
  return forged(raw, [
    ['unsigned', {}],
    ['forged', signPayNow(raw, 'x')],
    ['stale', signPayNow(raw, secret, Date.now() - late_s * 1_000)],
    ['from the future', signPayNow(raw, secret, Date.now() + late_s * 1_000)],
    ['in seconds', signPayNow(raw, secret, nowS())],
    ['in hex', { ...good, 'paynow-signature': hex }],
    ['altered', good, raw.replace('"quantity":2', '"quantity":9')],
    ['behind a byte order mark', good, `\uFEFF${raw}`],
    ['malformed and unsigned', {}, '{'],
  ]);
}

export function payoutRefusals(told: object, secret: string): Hostile[] {
  const raw = JSON.stringify(told);
  const good = signPayout(raw, secret);
  const upper = { ...good, 'x-webhook-signature': (good['x-webhook-signature'] ?? '').toUpperCase() };
  const { 'x-webhook-signature': _, ...unsigned } = good;
  const { 'x-webhook-timestamp': __, ...unstamped } = good;
  const changed = (change: object) => JSON.stringify({ ...told, ...change });
  const signed = (body: string, status: number, code: string, name = code, at_s = nowS()): Hostile => ({
    ...{ name, raw: body, status, code },
    headers: signPayout(body, secret, at_s),
  });
  return [
    { ...signed(raw, 400, 'WEBHOOK_SIGNATURE_MISSING'), headers: unsigned },
    { ...signed(raw, 400, 'WEBHOOK_SIGNATURE_MISSING'), headers: unstamped },
    signed(raw, 401, 'WEBHOOK_TIMESTAMP_INVALID', 'stale', nowS() - late_s),
    signed(raw, 401, 'WEBHOOK_TIMESTAMP_INVALID', 'from the future', nowS() + late_s),
    ...forged(raw, [
      ['forged', signPayout(raw, 'x')],
      ['in upper-case hex', upper],
      ['altered', good, changed({ status: 'failed' })],
      ['signed for another provider', good, changed({ provider: 'stripe' })],
    ]),
    signed(changed({ provider: 'adyen' }), 404, 'UNSUPPORTED_PROVIDER'),
    signed(raw.slice(0, -1), 400, 'INVALID_WEBHOOK', 'truncated'),
    signed(changed({ status: 'maybe' }), 400, 'INVALID_WEBHOOK', 'of no status'),
    signed(changed({ withdraw_tx_id: 'x' }), 400, 'INVALID_WEBHOOK', 'of no withdrawal'),
    signed(changed({ raw_payload: 'x'.repeat(300_000) }), 413, 'payload_too_large'),
    { ...signed(raw, 415, 'content_encoding_unsupported'), headers: { ...good, 'content-encoding': 'gzip' } },
  ];
}
