// Webhooks that must not be taken: what each does wrong, how it is sent, and what it is refused with.
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { digest, type Headers, nowS, signMock, signPayNow, signStripe } from './webhooks.ts';

export interface Hostile {
  name: string;
  raw: string | Buffer;
  headers: Headers;
  status: number;
  code: string;
}

const bom = Buffer.from([0xef, 0xbb, 0xbf]);
const two_mb = 2 * 1024 * 1024;
const invalid = { status: 401, code: 'WEBHOOK_SIGNATURE_INVALID' };
const malformed = { status: 400, code: 'INVALID_WEBHOOK' };
const compressed = { status: 415, code: 'content_encoding_unsupported' };
const hidden = { status: 400, code: 'MISSING_IDS' };

/** What is wrong with the signature of a body that is itself well formed. */
export function forgeries(raw: string, secret: string, others: Record<string, string>): Hostile[] {
  const at = nowS();
  const signed = signMock(raw, secret, at);
  const hex = signed['x-mockpsp-signature'] ?? '';
  const forged = (name: string, headers: Headers, body = raw): Hostile => ({
    name,
    raw: body,
    headers,
    ...invalid,
  });
  const by = (signature: string): Headers => ({ ...signed, 'x-mockpsp-signature': signature });
  const stamped = (timestamp: string): Headers => ({ ...signed, 'x-mockpsp-timestamp': timestamp });
  const { 'x-mockpsp-timestamp': _, ...unstamped } = signed;
  const { 'x-mockpsp-signature': __, ...unsigned } = signed;
  const sorted = JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(raw)).sort()));
  return [
    forged('unsigned', {}),
    forged('with a timestamp alone', unsigned),
    forged('without its timestamp', unstamped),
    forged('stale', signMock(raw, secret, at - 310)),
    forged('from the future', signMock(raw, secret, at + 310)),
    forged('signed at another time than it says', stamped(String(at - 1))),
    ...['', '-1', '1e9', `${at}.0`, ` ${at}5`, 'NaN', '9'.repeat(30)].map((timestamp) =>
      forged(`with the timestamp "${timestamp}"`, { ...signMock(raw, secret, timestamp) }),
    ),
    ...Object.entries(others).map(([name, other]) => forged(`signed by ${name}`, signMock(raw, other, at))),
    forged('with another amount', signed, raw.replace('"1000"', '"9000"')),
    forged('serialized again with spaces', signed, JSON.stringify(JSON.parse(raw), null, 1)),
    forged('serialized again in another order', signed, sorted),
    forged('with a space after it', signed, `${raw} `),
    ...['sha1', 'sha512', 'md5'].map((hash) =>
      forged(`by ${hash}`, by(digest(secret, at, raw, hash).toString('hex'))),
    ),
    forged(
      'by a hash without a key',
      by(
        createHash('sha256')
          .update(secret + sorted)
          .digest('hex'),
      ),
    ),
    forged('in upper-case hex', by(hex.toUpperCase())),
    forged('in base64', by(Buffer.from(hex, 'hex').toString('base64'))),
    forged('with a prefix', by(`sha256=${hex}`)),
    forged('with an empty signature', by('')),
    forged('with half a signature', by(hex.slice(0, 32))),
    forged('with its signature twice', by(`${hex}${hex}`)),
    forged('by the headers of PayNow', signPayNow(raw, secret)),
    forged('by the header of Stripe', signStripe(raw, secret)),
  ];
}

/** What is wrong with a body that is itself well signed. */
export function malformations(raw: string, secret: string): Hostile[] {
  const event = JSON.parse(raw) as Record<string, unknown>;
  const bytes = { 'content-type': 'application/octet-stream' };
  const bad = (name: string, body: string | Buffer, answer = malformed, more: Headers = {}): Hostile => ({
    ...{ name, raw: body, ...answer },
    headers: { ...signMock(body, secret), ...more },
  });
  const changed = (change: object) => JSON.stringify({ ...event, ...change });
  const gzip = gzipSync(raw);
  return [
    bad('truncated', raw.slice(0, -1)),
    { ...bad('truncated after it was signed', raw.slice(0, -1)), headers: signMock(raw, secret) },
    bad('empty', ''),
    bad('behind a byte order mark', Buffer.concat([bom, Buffer.from(raw)])),
    bad('behind a byte order mark, as bytes', Buffer.concat([bom, Buffer.from(raw)]), malformed, bytes),
    bad(
      'not UTF-8',
      Buffer.concat([Buffer.from(raw.slice(0, -2)), Buffer.from([0xff]), Buffer.from('"}')]),
      malformed,
      bytes,
    ),
    bad('twice in one body', raw + raw),
    ...['null', '[]', '"x"', '1', `[${raw}]`].map((body) => bad(`that is ${body.slice(0, 9)}`, body)),
    bad('without an event', changed({ provider_event_id: undefined })),
    bad('with an event that is no text', changed({ provider_event_id: { $ne: '' } })),
    bad('without a type', changed({ event_type: undefined })),
    ...['-1000', '0', '1000.5', 1000.5, null, '1e3', '9'.repeat(20)].map((amount_minor) =>
      bad(`over ${amount_minor}`, changed({ amount_minor })),
    ),
    bad('in no currency', changed({ currency: undefined })),
    ...['tenant_id', 'player_id', 'tx_id'].map((id) =>
      bad(`without ${id}`, changed({ [id]: undefined }), hidden),
    ),
    bad('with a tenant that is no name', changed({ tenant_id: '*' }), hidden),
    bad('with a transaction that is no UUID', changed({ tx_id: "' or 1=1" }), hidden),
    bad('compressed', gzip, compressed, { 'content-encoding': 'gzip', ...bytes }),
    bad('said to be compressed', raw, compressed, { 'content-encoding': 'GZIP' }),
    bad('of 2 MB', changed({ padding: 'x'.repeat(two_mb) }), { status: 413, code: 'payload_too_large' }),
  ];
}
