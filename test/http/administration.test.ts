// The operator's API: sites, plans, keys, lists and usage; who may call it, what it refuses in which words, and what it leaves in the audit log.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CLIENT_ID, demoUsers, startIssuer } from '../../local/issuer.ts';
import { type Answer, openStack, type TestStack } from '../support/stack.ts';

const admin = demoUsers.find(({ role }) => role === 'platform-admin') as (typeof demoUsers)[0];
const no_site = '0d000000-0000-4000-8000-0000000000ff';

let stack: TestStack;
beforeAll(async () => {
  stack = await openStack();
});
afterAll(() => stack.close());

/** Status and code of a refusal, whose sentence is one, and tells nothing of the inside. */
function refusal({ status, body }: Answer): [number, string] {
  expect(body).toMatchObject({ ok: false, code: expect.any(String), request_id: expect.any(String) });
  expect(body.error).toMatch(/^[A-Z][^\n]{5,200}\.?$/);
  expect(JSON.stringify(body)).not.toMatch(
    /SQLState|select |insert |\bat .*:\d+|node_modules|arn:aws|password|Exception/i,
  );
  return [status, body.code];
}

async function audited(site: string) {
  const { rows } = await stack.database.query(
    'select actor_type, actor_id, action, resource_type, resource_id, payload from audit_log where site_id = $1 order by id',
    [site],
  );
  return rows;
}

describe('a site', () => {
  test('is created with its plan and first key in one call, and can post at once', async () => {
    const { status, body, headers } = await stack.admin('POST', '/sites', {
      name: ' Shop ',
      origins: ['https://shop.example'],
      public_id: 'shop_1',
      rate_limit: 500,
      plan: { monthly_limit: '250', soft_limit_enabled: true, hard_cap_multiplier: 1.5, plan_tier: 'pro' },
      api_key: true,
    });
    expect(status).toBe(201);
    expect(headers.get('cache-control')).toBe('no-store');
    expect(body).toMatchObject({
      ok: true,
      public_id: 'shop_1',
      name: 'Shop',
      status: 'active',
      rate_limit: 500,
      plan: { monthly_limit: '250', soft_limit_enabled: true, hard_cap_multiplier: '1.5', plan_tier: 'pro' },
      api_key: expect.stringMatching(/^rk_[\w-]{43}$/),
    });
    const posted = await stack.sync({ s: 'shop_1', url: 'https://x.org/' }, { 'x-api-key': body.api_key });
    expect(posted.headers.get('x-opsmantik-quota-remaining')).toBe('249');
  });

  test('without a plan has the default plan of 1,000 events, hard', async () => {
    const { body } = await stack.admin('POST', '/sites', { name: 'Plain' });
    expect(body.plan).toMatchObject({ monthly_limit: '1000', soft_limit_enabled: false });
    expect(body.public_id).toMatch(/^s_[0-9a-f]{20}$/);
    expect(body).not.toHaveProperty('api_key');
  });

  test('cannot take a public id that another has', async () => {
    const { public_id } = await stack.site();
    expect(refusal(await stack.admin('POST', '/sites', { name: 'Twin', public_id }))).toEqual([
      409,
      'conflict',
    ]);
  });

  test('is listed in order of creation, page after page, each once', async () => {
    const created = [];
    for (let n = 0; n < 7; n++) created.push((await stack.site()).id);
    const listed: string[] = [];
    let query = '?limit=3';
    for (let pages = 0; query !== '' && pages < 50; pages++) {
      const { status, body } = await stack.admin('GET', `/sites${query}`);
      expect(status).toBe(200);
      expect(body.sites.length).toBeLessThanOrEqual(3);
      listed.push(...body.sites.map(({ id }: { id: string }) => id));
      query = body.next_cursor === null ? '' : `?limit=3&cursor=${body.next_cursor}`;
    }
    expect(listed.slice(-7)).toEqual(created);
    expect(new Set(listed).size).toBe(listed.length);
  });
});

describe('a plan', () => {
  test('takes effect with the next event', async () => {
    const { public_id: s } = await stack.site({ limit: 5 });
    const set = await stack.admin('PUT', `/sites/${s}/plan`, { monthly_limit: 2, soft_limit_enabled: false });
    expect(set).toMatchObject({ status: 200, body: { plan: { monthly_limit: '2' } } });
    const statuses = [];
    for (const i of ['a', 'b', 'c'])
      statuses.push((await stack.sync({ s, i, url: 'https://x.org/' })).status);
    expect(statuses).toEqual([200, 200, 429]);
  });
});

describe('API keys', () => {
  test('are two at the most: a third is refused, a rotation revokes the oldest', async () => {
    const { public_id: ref } = await stack.site();
    const keys = `/sites/${ref}/keys`;
    const first = await stack.admin('POST', keys);
    const second = await stack.admin('POST', keys);
    expect([first.status, second.body.live_keys]).toEqual([201, 2]);
    expect(refusal(await stack.admin('POST', keys))).toEqual([409, 'keys_exhausted']);

    const rotated = await stack.admin('POST', `${keys}/rotate`);
    expect(rotated).toMatchObject({ status: 201, body: { live_keys: 2, revoked: [first.body.key_id] } });
    const works = async ({ body }: Answer) =>
      (await stack.sync({ s: ref, i: 'x', url: 'https://x.org/' }, { 'x-api-key': body.api_key })).status;
    expect([await works(first), await works(second), await works(rotated)]).toEqual([403, 200, 200]);
  });

  test('are listed newest first without the keys themselves, and revoked as often as one likes', async () => {
    const { public_id: ref } = await stack.site();
    const keys = `/sites/${ref}/keys`;
    const { body: old } = await stack.admin('POST', keys);
    const { body: young } = await stack.admin('POST', keys);
    for (let n = 0; n < 2; n++)
      expect(await stack.admin('DELETE', `${keys}/${old.key_id}`)).toMatchObject({
        status: 200,
        body: { live_keys: 1 },
      });
    const { body } = await stack.admin('GET', keys);
    expect(body.keys).toMatchObject([
      { key_id: young.key_id, prefix: young.api_key.slice(0, 12), live: true },
      { key_id: old.key_id, prefix: old.api_key.slice(0, 12), live: false },
    ]);
    expect(JSON.stringify(body)).not.toContain(young.api_key);
  });

  test('are stored as a hash only', async () => {
    const { id, api_key = '' } = await stack.site({ api_key: true });
    const { rows } = await stack.database.query(
      `select to_jsonb(k)::text stored from site_api_keys k where site_id = $1
        union all select to_jsonb(a)::text from audit_log a where site_id = $1`,
      [id],
    );
    expect(rows.length).toBeGreaterThan(2);
    expect(rows.filter(({ stored }) => stored.includes(api_key.slice(12)))).toEqual([]);
  });
});

describe('only a platform admin is let in', () => {
  const call = async (authorization?: string) => {
    const headers = authorization === undefined ? {} : { authorization };
    const response = await fetch(`${stack.url}/api/admin/sites`, { headers });
    return { status: response.status, headers: response.headers, body: await response.json() };
  };

  test.each(['', 'Bearer', 'Bearer ', 'Bearer not.a.token', 'Basic dXNlcjpwYXNz'])(
    '"%s" is 401',
    async (value) => {
      expect(refusal(await call(value))).toEqual([401, 'not_authenticated']);
    },
  );

  test('no header at all is 401', async () => {
    expect(refusal(await call())).toEqual([401, 'not_authenticated']);
  });

  test('a token of another issuer, with a changed payload, or without a signature is 401', async () => {
    const other = await startIssuer(undefined);
    const foreign = await other.token(admin);
    await other.close();
    const [head, , signature] = (await stack.issuer.token(admin)).split('.');
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const claims = {
      iss: stack.issuer.url,
      sub: admin.id,
      client_id: CLIENT_ID,
      token_use: 'access',
      exp: Math.floor(Date.now() / 1000) + 600,
      'cognito:groups': ['platform-admin'],
    };
    for (const token of [
      foreign,
      `${head}.${part(claims)}.${signature}`,
      `${part({ alg: 'none', typ: 'JWT' })}.${part(claims)}.`,
    ])
      expect(refusal(await call(`Bearer ${token}`))).toEqual([401, 'not_authenticated']);
  });

  test.each(demoUsers.filter((user) => user !== admin))('$name is 403', async (user) => {
    expect(refusal(await call(`Bearer ${await stack.issuer.token(user)}`))).toEqual([403, 'forbidden']);
  });

  test('an API key of a site is no token', async () => {
    const { api_key } = await stack.site({ api_key: true });
    expect(refusal(await call(`Bearer ${api_key}`))).toEqual([401, 'not_authenticated']);
  });
});

describe('what is refused', () => {
  test.each<[object | string, string]>([
    [{}, 'The field name must be a text of 1 to 200 characters.'],
    [{ name: ' ' }, 'The field name must be a text of 1 to 200 characters.'],
    [
      { name: 'x', origins: ['https://x.org', 'x/y'] },
      'The field origins.1 must be an origin such as https://example.com.',
    ],
    [{ name: 'x', origins: 'x' }, 'The field origins must be a list.'],
    [{ name: 'x', rate_limit: 0 }, 'The field rate_limit must be a whole number from 1 to 1000000.'],
    [
      { name: 'x', public_id: 'a b' },
      'The field public_id must be 1 to 64 letters, digits, hyphens and underscores.',
    ],
    [{ name: 'x', user_id: '7' }, 'The field user_id must be a UUID.'],
    [{ name: 'x', api_key: 'yes' }, 'The field api_key must be true or false.'],
    [{ name: 'x', plan: {} }, 'The field plan.monthly_limit must be a whole number from 0 to 1000000000000.'],
    [{ name: 'x', plan: { monthly_limit: 1, color: 'red' } }, 'The field plan.color is not known.'],
    [{ name: 'x', colour: 'red' }, 'The field colour is not known.'],
    ['[]', 'The body must be a JSON object.'],
    ['null', 'The body must be a JSON object.'],
  ])('a site %j is 400: %s', async (body, sentence) => {
    const answer = await stack.admin('POST', '/sites', body);
    expect(refusal(answer)).toEqual([400, 'invalid_request']);
    expect(answer.body.error).toBe(sentence);
  });

  test.each<[object, string]>([
    [{ monthly_limit: '1000000000001' }, 'monthly_limit'],
    [{ monthly_limit: -1 }, 'monthly_limit'],
    [{ monthly_limit: 1.5 }, 'monthly_limit'],
    [{ monthly_limit: 'many' }, 'monthly_limit'],
    [{ monthly_limit: 1, hard_cap_multiplier: '0.5' }, 'hard_cap_multiplier'],
    [{ monthly_limit: 1, hard_cap_multiplier: 1001 }, 'hard_cap_multiplier'],
    [{ monthly_limit: 1, hard_cap_multiplier: 1.0001 }, 'hard_cap_multiplier'],
    [{ monthly_limit: 1, soft_limit_enabled: 1 }, 'soft_limit_enabled'],
    [{ monthly_limit: 1, plan_tier: '' }, 'plan_tier'],
  ])('a plan %j is 400 and names the field', async (body, field) => {
    const { public_id } = await stack.site();
    const answer = await stack.admin('PUT', `/sites/${public_id}/plan`, body);
    expect(refusal(answer)).toEqual([400, 'invalid_request']);
    expect(answer.body.error).toMatch(new RegExp(`^The field ${field} must be .*\\.$`));
  });

  test('is never a 5xx: broken JSON, large bodies, U+0000, impossible months, invented cursors', async () => {
    const { public_id } = await stack.site();
    const cursor = (text: string) => `/sites?cursor=${Buffer.from(text).toString('base64url')}`;
    const cases: [Promise<Answer>, number, string][] = [
      [stack.admin('POST', '/sites', '{'), 400, 'invalid_json'],
      [stack.admin('POST', '/sites', { name: 'x'.repeat(64 * 1024) }), 413, 'payload_too_large'],
      [stack.admin('POST', '/sites', { name: 'a\u0000b' }), 400, 'text_invalid'],
      [stack.admin('GET', '/sites/%00/usage'), 400, 'text_invalid'],
      [stack.admin('GET', `/sites/${public_id}/usage?month=2026-13`), 400, 'invalid_request'],
      [stack.admin('GET', `/sites/${public_id}/usage?month=0000-01`), 400, 'invalid_request'],
      [stack.admin('GET', '/sites?limit=0'), 400, 'invalid_request'],
      [stack.admin('GET', '/sites?limit=201'), 400, 'invalid_request'],
      [stack.admin('GET', cursor('x')), 400, 'invalid_request'],
      [stack.admin('GET', cursor(`+200000-01-01 ${no_site}`)), 400, 'invalid_request'],
      [stack.admin('GET', cursor(`2026-02-31T99:00:00.000000Z ${no_site}`)), 400, 'invalid_request'],
      [stack.admin('GET', '/sites/nobody/usage'), 400, 'site_not_found'],
      [stack.admin('PUT', `/sites/${no_site}/plan`, { monthly_limit: 1 }), 400, 'site_not_found'],
      [stack.admin('POST', `/sites/${no_site}/keys`), 400, 'site_not_found'],
      [stack.admin('DELETE', `/sites/${public_id}/keys/${no_site}`), 404, 'key_not_found'],
      [stack.admin('DELETE', `/sites/${public_id}/keys/x`), 404, 'key_not_found'],
      [stack.admin('GET', '/nothing'), 404, 'not_found'],
      [stack.admin('DELETE', '/sites'), 404, 'not_found'],
    ];
    for (const [answer, status, code] of cases) expect(refusal(await answer)).toEqual([status, code]);
  });
});

test('every change leaves an audit row with its actor, and a refusal leaves none', async () => {
  const { id, public_id } = await stack.site({ limit: 10, api_key: true });
  await stack.admin('PUT', `/sites/${public_id}/plan`, { monthly_limit: '20' });
  await stack.admin('PUT', `/sites/${public_id}/plan`, { monthly_limit: 'x' });
  const second = await stack.admin('POST', `/sites/${public_id}/keys`);
  await stack.admin('POST', `/sites/${public_id}/keys`);
  const third = await stack.admin('POST', `/sites/${public_id}/keys/rotate`);
  await stack.admin('DELETE', `/sites/${public_id}/keys/${second.body.key_id}`);
  await stack.admin('DELETE', `/sites/${public_id}/keys/${no_site}`);

  const rows = await audited(id);
  expect(rows.map(({ action }) => action)).toEqual([
    'site_create',
    'plan_set',
    'api_key_create',
    'plan_set',
    'api_key_create',
    'api_key_rotate',
    'api_key_revoke',
  ]);
  for (const row of rows) expect(row).toMatchObject({ actor_type: 'user', actor_id: admin.id });
  expect(rows[3]).toMatchObject({ resource_type: 'site_plan', payload: { monthly_limit: '20' } });
  expect(rows[5]).toMatchObject({
    resource_id: third.body.key_id,
    payload: { revoked: [expect.any(String)] },
  });
  expect(rows[6]).toMatchObject({ resource_type: 'site_api_key', resource_id: second.body.key_id });
});
