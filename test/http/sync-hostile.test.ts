// What a hostile client may put into a body: each is refused with its code and never a 5xx, and in a batch only the bad event is.
import { beforeAll, describe, expect, test } from 'vitest';
import { sharedStack } from '../support/shared-stack.ts';
import type { TestStack } from '../support/stack.ts';

const origin = 'https://example.com';

let stack: TestStack;
let site: { id: string; public_id: string };
beforeAll(async () => {
  stack = await sharedStack();
  site = await stack.site();
});

/** JSON text, for much of what is hostile is lost in an object. */
const raw = (i: string, fields: string) =>
  `{"s":"${site.public_id}","i":"${i}","url":"https://example.com/",${fields}}`;
const nested = (depth: number) => `"x":${'['.repeat(depth)}${']'.repeat(depth)}`;

describe.each<[string, string, string]>([
  ['U+0000', '"el":"a\\u0000b"', 'text_invalid'],
  ['U+0000 in a name', '"a\\u0000b":1', 'text_invalid'],
  ['U+0000 deep inside', '"meta":{"a":[{"b":"\\u0000"}]}', 'text_invalid'],
  ['a lone high surrogate', '"el":"\\ud800"', 'text_invalid'],
  ['a lone low surrogate', '"el":"\\udc00x"', 'text_invalid'],
  ['33 levels', nested(32), 'event_too_deep'],
  ['10,000 levels', nested(10_000), 'event_too_deep'],
  ['100,000 levels', nested(100_000), 'event_too_deep'],
  ['33 KiB', `"el":"${'x'.repeat(33 * 1024)}"`, 'event_too_large'],
  ['1e999', '"ev":1e999', 'number_not_exact'],
  ['-1e999', '"ev":-1e999', 'number_not_exact'],
  ['an integer above 2^53', '"ev":9007199254740993', 'number_not_exact'],
  ['a hidden integer above 2^53', '"meta":{"order":12345678901234567890}', 'number_not_exact'],
])('an event with %s', (name, fields, code) => {
  test(`is refused with ${code}`, async () => {
    const { status, body } = await stack.sync(raw(name, fields));
    expect([status, body.code]).toEqual([400, code]);
  });

  test('does not stop the others of its batch', async () => {
    const [before, after] = [`before ${name}`, `after ${name}`];
    const events = [raw(before, '"el":"good"'), raw('bad', fields), raw(after, '"el":"good"')];
    const { status, body } = await stack.sync(`{"events":[${events.join(',')}]}`);
    expect(status).toBe(200);
    expect(body.results).toMatchObject([
      { status: 'queued' },
      { status: 'invalid', code },
      { status: 'queued' },
    ]);
  });
});

describe('a body', () => {
  test('nested 100,000 levels, as the body itself or as its events, is refused', async () => {
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    for (const body of [deep, `{"events":${deep}}`, `{"s":${deep}}`])
      expect((await stack.sync(body)).status).toBe(400);
  });

  test('with a byte order mark is no JSON', async () => {
    const { status, body } = await stack.sync(`\ufeff${raw('bom', '"el":""')}`);
    expect([status, body.code]).toEqual([400, 'invalid_json']);
  });

  test('that is not UTF-8 is no JSON', async () => {
    const { status, body } = await stack.sync(new Uint8Array([0xff, 0xfe, 0x7b, 0x00, 0x7d, 0x00]));
    expect([status, body.code]).toEqual([400, 'invalid_json']);
  });

  test.each(['gzip', 'br', 'deflate'])('that says it is compressed with %s is refused', async (encoding) => {
    const { status, body } = await stack.sync(raw('zip', '"el":""'), {
      origin,
      'content-encoding': encoding,
    });
    expect([status, body.code]).toEqual([415, 'content_encoding_unsupported']);
  });

  test('with __proto__ and constructor keys changes nothing, and they are kept as data', async () => {
    const fields = '"__proto__":{"i":"other","polluted":true},"constructor":{"prototype":{"polluted":true}}';
    expect((await stack.sync(raw('proto', fields))).body.status).toBe('queued');
    expect((await stack.sync(raw('proto', fields))).body.status).toBe('duplicate');
    expect((await stack.sync(raw('proto', fields.replace('true', 'false')))).body.status).toBe('conflict');
    await stack.delivered();
    const { rows } = await stack.database.query(
      `select payload ->> '__proto__' proto from events where site_id = $1 and payload ->> 'i' = 'proto'`,
      [site.id],
    );
    expect(rows).toEqual([{ proto: '{"i": "other", "polluted": true}' }]);
  });

  test('whose site or fields come from __proto__ has neither', async () => {
    const { status, body } = await stack.sync(`{"__proto__":{"s":"${site.public_id}","url":"x"}}`);
    expect([status, body.code]).toEqual([400, 'missing_site_or_url']);
  });
});

describe('what is only unusual is accepted', () => {
  test.each<[string, string]>([
    ['32 levels', nested(31)],
    ['2^53 - 1', '"ev":9007199254740991'],
    ['a large number as text', '"ev":"12345678901234567890"'],
    ['a number too small for a double', '"ev":1e-400'],
    ['minus zero', '"ev":-0'],
    ['a toJSON field', '"toJSON":"x"'],
    ['an emoji', '"el":"\\ud83d\\ude00"'],
    ['SQL', `"el":"'; drop table ingest_idempotency; --"`],
    ['a field that comes twice', '"el":"first","el":"second"'],
    ['parameters of SQL', '"el":":site ::uuid $1 ?"'],
  ])('%s', async (name, fields) => {
    expect((await stack.sync(raw(name, fields))).body.status).toBe('queued');
    expect((await stack.sync(raw(name, fields))).body.status).toBe('duplicate');
  });

  test('in the headers: a user agent of 10 KB, an x-request-id that is none', async () => {
    const headers = { origin, 'user-agent': 'ä'.repeat(5_000), 'x-request-id': '{"a b"}' };
    const answer = await stack.sync(raw('headers', '"el":""'), headers);
    expect(answer.body.status).toBe('queued');
    expect(answer.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  });
});

test('after all this the ledger, the usage row and the delivered events are still the same number', async () => {
  await stack.delivered();
  const { billable, usage, outbox, events, counter } = await stack.counts(site.id);
  expect({ usage, outbox, events, counter }).toEqual({
    usage: billable,
    outbox: 0,
    events: billable,
    counter: billable,
  });
});
