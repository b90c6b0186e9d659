// Requests that no tracker sends: bodies that are no text or too much of it, types that lie, and what is good under a wrong name.
import { gzipSync } from 'node:zlib';

export interface HostileRequest {
  name: string;
  body: (site: string, i: string) => string | Uint8Array;
  headers?: Record<string, string>;
  /** Status and code, or the word of an event that is accepted for all that. */
  answer: [number, string] | 'queued';
}

const bytes = (...parts: (string | number[])[]) =>
  Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : Buffer.from(part))));
export const good = (s: string, i: string) => JSON.stringify({ s, i, url: 'https://example.com/' });
const refused = (name: string, answer: [number, string], body: HostileRequest['body']): HostileRequest => ({
  ...{ name, answer, body },
});

export const bodies: HostileRequest[] = [
  refused('a byte order mark', [400, 'invalid_json'], (s, i) => bytes([0xef, 0xbb, 0xbf], good(s, i))),
  refused('UTF-16', [400, 'invalid_json'], (s, i) => Buffer.from(`\ufeff${good(s, i)}`, 'utf16le')),
  refused('gzip without saying so', [400, 'invalid_json'], (s, i) => gzipSync(good(s, i))),
  refused('nothing', [400, 'invalid_json'], () => ''),
  refused('blanks', [400, 'invalid_json'], () => ' \r\n\t '),
  refused('one zero byte', [400, 'invalid_json'], () => bytes([0])),
  refused('null', [400, 'payload_not_object'], () => 'null'),
  refused('true', [400, 'payload_not_object'], () => 'true'),
  refused('a text', [400, 'payload_not_object'], (s) => JSON.stringify(s)),
  refused('an empty object', [400, 'missing_site_or_url'], () => '{}'),
  refused('two objects', [400, 'invalid_json'], (s, i) => good(s, i) + good(s, i)),
  refused('NDJSON', [400, 'invalid_json'], (s, i) => `${good(s, i)}\n${good(s, `${i}b`)}`),
  refused('JSON5', [400, 'invalid_json'], (s) => `{s:'${s}',url:'https://example.com/',}`),
  refused('NaN', [400, 'invalid_json'], (s) => `{"s":"${s}","url":"x","ev":NaN}`),
  refused('a form', [400, 'invalid_json'], (s) => `s=${s}&url=https%3A%2F%2Fexample.com%2F`),
  refused(
    'multipart',
    [400, 'invalid_json'],
    (s) => `--b\r\nContent-Disposition: form-data\r\n\r\n${s}\r\n--b--`,
  ),
  refused('256 KiB and one', [413, 'payload_too_large'], (s, i) => good(s, i).padEnd(256 * 1024 + 1)),
  refused('2 MiB', [413, 'payload_too_large'], (s, i) => good(s, i).padEnd(2 * 1024 * 1024)),
  refused('events that is an object', [400, 'missing_site_or_url'], () => '{"events":{"0":{}}}'),
  refused('events with a hole', [400, 'payload_not_object'], (s, i) => `{"events":[${good(s, i)},null]}`),
  refused('e of texts', [400, 'payload_not_object'], (s) => `{"s":"${s}","v":1,"e":["a","b"]}`),
  refused('e of arrays', [400, 'payload_not_object'], (s) => `{"s":"${s}","v":1,"e":[[],[]]}`),
  refused('a site that is a list', [400, 'missing_site_or_url'], (s) => `{"s":["${s}"],"url":"x"}`),
  refused('a site that is SQL', [400, 'site_not_found'], () => `{"s":"' or 1=1 --","url":"x"}`),
  refused('a site of 100 KB', [400, 'site_not_found'], () => `{"s":"${'s'.repeat(100_000)}","url":"x"}`),
  {
    name: 'bytes that are not UTF-8, inside a text',
    body: (s, i) =>
      bytes(`{"s":"${s}","i":"${i}","url":"https://example.com/","el":"`, [0xc3, 0x28, 0xff], '"}'),
    answer: 'queued',
  },
  // Without an id the fingerprint goes into the key; as an object it may not even be convertible to text.
  ...[
    '{"toString":1}',
    '{"toString":1,"valueOf":1}',
    '[{"toString":{}}]',
    '{"__proto__":null}',
    '{}',
    '[]',
  ].map(
    (fp): HostileRequest => ({
      name: `a fingerprint ${fp}`,
      body: (s, i) =>
        `{"s":"${s}","url":"https://example.com/?${encodeURIComponent(i)}","meta":{"fp":${fp}}}`,
      answer: 'queued',
    }),
  ),
  ...[
    'application/xml',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/json; charset=utf-16',
    'text/plain; charset=iso-8859-1',
    'application/octet-stream',
    'image/png',
    'nonsense',
    ';;;',
    'a'.repeat(2_000),
  ].map(
    (type): HostileRequest => ({
      name: `good JSON as ${type.slice(0, 60)}`,
      body: good,
      headers: { 'content-type': type },
      answer: 'queued',
    }),
  ),
];
