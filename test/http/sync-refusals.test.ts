// What POST /api/sync refuses before the ledger is asked: origin, site, body, size, method; and the headers that every answer has.
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { sharedStack } from '../support/shared-stack.ts';
import type { Answer, TestStack } from '../support/stack.ts';

const origin = 'https://example.com';
const allowed_origins = [
  'https://example.com',
  'https://www.example.com',
  'https://a.b.example.com',
  'http://example.com:8080',
  'HTTPS://EXAMPLE.COM',
];
const { version } = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
) as Record<string, string>;

let stack: TestStack;
let site: { id: string; public_id: string; api_key?: string };
beforeAll(async () => {
  stack = await sharedStack();
  site = await stack.site({ limit: 100, api_key: true });
});

const event = (more: object = {}) => ({ s: site.public_id, url: 'https://example.com/', ...more });

/** What every answer of this door has, and a refusal before the ledger never has. */
function refusal({ status, headers, body }: Answer): [number, string] {
  expect(body).toMatchObject({
    ok: false,
    error: expect.any(String),
    request_id: headers.get('x-request-id'),
  });
  expect(headers.get('content-type')).toBe('application/json');
  expect(
    [...headers.keys()].filter((name) => /quota|dedup|opsmantik-ratelimit|retry-after/.test(name)),
  ).toEqual([]);
  buildHeaders(headers);
  return [status, body.code];
}

function buildHeaders(headers: Headers): void {
  expect(headers.get('x-opsmantik-commit')).toMatch(/^([0-9a-f]{40}|unknown)$/);
  expect(headers.get('x-opsmantik-branch')).toMatch(/\S/);
  expect(headers.get('x-opsmantik-version')).toBe(version);
  expect(headers.get('vary')).toBe('Origin');
}

describe('the origin', () => {
  test.each(allowed_origins)('%s may post for a site of https://example.com', async (allowed) => {
    const { status, headers } = await stack.sync(event({ i: allowed }), { origin: allowed });
    expect(status).toBe(200);
    expect(headers.get('access-control-allow-origin')).toBe(allowed);
    buildHeaders(headers);
  });

  test.each([
    'https://other.org',
    'https://evil-example.com',
    'https://example.com.evil.org',
    'https://example.co',
    'https://com',
    'https://evil.org/example.com',
    'https://example.com@evil.org',
    'null',
    'https://',
    'file://',
    '%%%',
  ])('%s may not, and a page there can read why', async (foreign) => {
    const answer = await stack.sync(event(), { origin: foreign });
    expect(refusal(answer)).toEqual([403, 'origin_not_allowed']);
    expect(answer.headers.get('access-control-allow-origin')).toBe(foreign);
  });

  test('must be there and must not be empty', async () => {
    expect(refusal(await stack.sync(event(), {}))).toEqual([403, 'origin_not_allowed']);
    const empty = await stack.sync(event(), { origin: '' });
    expect(refusal(empty)).toEqual([403, 'origin_not_allowed']);
    expect(empty.headers.get('access-control-allow-origin')).toBeNull();
  });

  test('of a site without origins is never right', async () => {
    const { body } = await stack.admin('POST', '/sites', { name: 'No browser' });
    expect(refusal(await stack.sync(event({ s: body.public_id })))).toEqual([403, 'origin_not_allowed']);
  });
});

describe('the body', () => {
  const two = (first: object, second: object) => ({ events: [event(first), event(second)] });
  test.each<[string, () => unknown, string]>([
    ['that is no JSON', () => '{"s":', 'invalid_json'],
    ['that is empty', () => '', 'invalid_json'],
    ['that is an array', () => '[]', 'payload_not_object'],
    ['that is null', () => 'null', 'payload_not_object'],
    ['that is a number', () => '7', 'payload_not_object'],
    ['whose events are empty', () => ({ events: [] }), 'events_empty'],
    ['whose compact events are empty', () => ({ s: site.public_id, v: 1, e: [] }), 'events_empty'],
    ['whose event is no object', () => ({ events: [[]] }), 'payload_not_object'],
    ['without a site', () => event({ s: undefined }), 'missing_site_or_url'],
    ['with a blank site', () => event({ s: ' ' }), 'missing_site_or_url'],
    ['without a url', () => event({ url: undefined }), 'missing_site_or_url'],
    ['with a blank url', () => event({ url: ' ' }), 'missing_site_or_url'],
    ['with a field of the wrong type', () => event({ ec: ['a'] }), 'event_invalid'],
    ['of two events without ids', () => two({}, {}), 'event_id_required'],
    ['of two events of which one has an id', () => two({ i: 'a' }, { i: null }), 'event_id_required'],
    ['of two sites', () => two({ i: 'a' }, { i: 'b', s: 'other' }), 'site_mismatch'],
    ['with an event older than 60 days', () => event({ t: Date.now() - 61 * 86_400_000 }), 'event_too_old'],
    ['with an unknown site', () => event({ s: 'nobody' }), 'site_not_found'],
    ['with the id of no site', () => event({ s: '0d000000-0000-4000-8000-0000000000ff' }), 'site_not_found'],
    ['with a site that no site can be called', () => event({ s: 'a\u0000b' }), 'site_not_found'],
  ])('%s is refused', async (_name, body, code) => {
    expect(refusal(await stack.sync(body()))).toEqual([400, code]);
  });

  test('of 501 events is refused', async () => {
    const e = Array.from({ length: 501 }, (_, i) => ({ i: `${i}`, u: 'https://example.com/' }));
    expect(refusal(await stack.sync({ s: site.public_id, v: 1, e }))).toEqual([400, 'events_too_many']);
  });

  test('with an event of 59 days ago is accepted', async () => {
    const answer = await stack.sync(event({ i: 'old', t: Date.now() - 59 * 86_400_000 }));
    expect(answer.body.status).toBe('queued');
  });

  test('for a closed site is refused', async () => {
    const closed = await stack.site();
    await stack.database.query(`update sites set status = 'closed' where id = $1`, [closed.id]);
    expect(refusal(await stack.sync(event({ s: closed.public_id })))).toEqual([400, 'site_not_found']);
  });
});

describe('the size', () => {
  const padded = (bytes: number, i: string) => JSON.stringify(event({ i })).padEnd(bytes);
  const key = () => ({ authorization: `Bearer ${site.api_key}` });

  test('of a body is at most 256 KiB', async () => {
    expect((await stack.sync(padded(256 * 1024, 'largest'))).status).toBe(200);
    expect(refusal(await stack.sync(padded(256 * 1024 + 1, 'larger')))).toEqual([413, 'payload_too_large']);
  });

  test('counts bytes, not characters', async () => {
    const wide = JSON.stringify({ ...event(), el: 'ü'.repeat(130 * 1024) });
    expect(refusal(await stack.sync(wide))).toEqual([413, 'payload_too_large']);
  });

  test('of a body with an API key is at most 1 MiB', async () => {
    expect((await stack.sync(padded(300 * 1024, 'with-key'), key())).status).toBe(200);
    expect((await stack.sync(padded(1024 * 1024, 'largest-with-key'), key())).status).toBe(200);
    expect(refusal(await stack.sync(padded(1024 * 1024 + 1, 'larger'), key()))).toEqual([
      413,
      'payload_too_large',
    ]);
  });
});

describe('the method', () => {
  const call = async (method: string, headers: Record<string, string> = {}) => {
    const response = await fetch(`${stack.url}/api/sync`, { method, headers });
    return { status: response.status, headers: response.headers, body: await response.json() };
  };

  test.each(['GET', 'PUT', 'DELETE', 'PATCH'])(
    '%s is answered 405 and told what is allowed',
    async (method) => {
      const answer = await call(method, { origin });
      expect(refusal(answer)).toEqual([405, 'method_not_allowed']);
      expect(answer.headers.get('allow')).toBe('POST, OPTIONS');
    },
  );

  test('OPTIONS lets an origin go on to the POST, and nobody else', async () => {
    const allowed = await call('OPTIONS', { origin, 'access-control-request-method': 'POST' });
    expect(allowed.status).toBe(200);
    buildHeaders(allowed.headers);
    expect(Object.fromEntries(allowed.headers)).toMatchObject({
      'access-control-allow-origin': origin,
      'access-control-allow-methods': 'POST, OPTIONS',
      'access-control-allow-headers': expect.stringMatching(/Content-Type.*Idempotency-Key/),
      'access-control-max-age': '86400',
    });
    expect(refusal(await call('OPTIONS'))).toEqual([403, 'origin_not_allowed']);
    expect(refusal(await call('OPTIONS', { origin: 'null' }))).toEqual([403, 'origin_not_allowed']);
  });
});

test('success, duplicate, conflict and quota reject have the build headers and CORS too', async () => {
  const { public_id: s } = await stack.site({ limit: 1 });
  const answers = [];
  for (const more of [{ i: 'a' }, { i: 'a' }, { i: 'a', el: 'x' }, { i: 'b' }])
    answers.push(await stack.sync(event({ s, ...more })));
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 409, 429]);
  for (const { headers } of answers) {
    buildHeaders(headers);
    expect(headers.get('access-control-allow-origin')).toBe(origin);
    expect(headers.get('access-control-expose-headers')).toMatch(/x-opsmantik-quota-exceeded/);
  }
});

test('nothing that was refused here left a row', async () => {
  await stack.delivered();
  const { rows } = await stack.database.query(
    `select payload ->> 'i' i, (select count(*)::int from ingest_idempotency where site_id = $1) ledger
       from events where site_id = $1 order by id`,
    [site.id],
  );
  const accepted = [...allowed_origins, 'old', 'largest', 'with-key', 'largest-with-key'];
  expect(rows).toEqual(accepted.map((i) => ({ i, ledger: accepted.length })));
});
