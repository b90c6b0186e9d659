// Headers that want to be something else: origins that only look allowed, tokens that are none, ids that break lines.
import { good, type HostileRequest } from './hostile-bodies.ts';

const origin = 'https://example.com';

const from = (
  name: string,
  headers: Record<string, string>,
  answer: HostileRequest['answer'],
): HostileRequest => ({
  ...{ name, body: good, headers, answer },
});
const foreign: [number, string] = [403, 'origin_not_allowed'];
const noKey: [number, string] = [403, 'api_key_invalid'];

export const headers: HostileRequest[] = [
  from('an origin of 8 KB', { origin: `https://${'a'.repeat(8_000)}.com` }, foreign),
  from(
    'an origin of 8 KB below the allowed one',
    { origin: `https://${'a.'.repeat(4_000)}example.com` },
    'queued',
  ),
  from('an origin with port', { origin: 'https://example.com:8443' }, 'queued'),
  from('an origin with a port that is none', { origin: 'https://example.com:99999' }, foreign),
  from('an origin with user and password', { origin: 'https://example.com:x@evil.org' }, foreign),
  from('an origin that ends in a dot', { origin: 'https://example.com.' }, foreign),
  from('an origin with letters that only look alike', { origin: 'https://xn--xample-9uf.com' }, foreign),
  from(
    'an origin of wide letters',
    { origin: Buffer.from('https://ｅxample.com').toString('latin1') },
    foreign,
  ),
  from('an origin of IPv6', { origin: 'http://[::1]:3000' }, foreign),
  from('an origin of IPv4 as a number', { origin: 'http://2130706433' }, foreign),
  from('an origin that is JavaScript', { origin: 'javascript:alert(1)//example.com' }, foreign),
  from('an origin that is data', { origin: 'data:text/html,example.com' }, foreign),
  from('two origins', { origin: 'https://evil.org, https://example.com' }, foreign),
  from('two origins, apart by a blank', { origin: 'https://evil.org https://example.com' }, foreign),
  from('an origin with a backslash', { origin: 'https://evil.org\\.example.com' }, foreign),
  from('an origin with an escaped dot', { origin: 'https://evil%2eexample.com.org' }, foreign),
  from('a request id of 1 KB', { origin, 'x-request-id': 'r'.repeat(1_024) }, 'queued'),
  from('a request id with escaped CRLF', { origin, 'x-request-id': 'a%0d%0aset-cookie: x=1' }, 'queued'),
  from('a request id of high bytes', { origin, 'x-request-id': '\u00ff\u00fe' }, 'queued'),
  from('an empty request id', { origin, 'x-request-id': '' }, 'queued'),
  from('a bearer token of garbage', { origin, authorization: 'Bearer \u00ff;DROP TABLE' }, noKey),
  from('a bearer token of 8 KB', { authorization: `Bearer ${'k'.repeat(8_000)}` }, noKey),
  from('a bearer token that is a JWT', { origin, authorization: 'Bearer eyJhbGciOiJub25lIn0.e30.' }, noKey),
  from('an empty x-api-key', { origin, 'x-api-key': '' }, noKey),
  from('Basic credentials', { origin, authorization: 'Basic YTpi' }, 'queued'),
  from('Authorization without a scheme', { origin, authorization: ':::' }, 'queued'),
  from('Bearer without a token', { origin, authorization: 'Bearer' }, 'queued'),
  from('an encoding that does not exist', { origin, 'content-encoding': 'zstd, gzip' }, [
    415,
    'content_encoding_unsupported',
  ]),
  from('forwarded addresses that are none', { origin, 'x-forwarded-for': "1' or '1'='1, ::::" }, 'queued'),
  from('a host that is another', { origin, 'x-forwarded-host': 'evil.org', forwarded: 'for=x' }, 'queued'),
  from('a method that wants to be another', { origin, 'x-http-method-override': 'DELETE' }, 'queued'),
  from(
    '200 headers',
    { origin, ...Object.fromEntries(Array.from({ length: 200 }, (_, n) => [`x-h-${n}`, 'v'])) },
    'queued',
  ),
];
