// What a site's people may read and do, role by role, and that what they read is true: usage, quota, invoices, proof, jobs.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fakeClock } from '../../local/schedule/clock.ts';
import { type Call, callsOf, type Role, staffedSite, told, userOf } from '../support/callers.ts';
import { behindGuards, freezeMonth, monthsAgo, plantRows } from '../support/frozen-month.ts';
import { type Answer, openStack, type TestStack } from '../support/stack.ts';

const instant = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
const no_site = '0d000000-0000-4000-8000-0000000000ff';
const past = monthsAgo(2);
const all = ['site:write', 'members:manage', 'queue:operate', 'billing:view'];
const capabilities: Partial<Record<Role, string[]>> = {
  owner: all,
  admin: all,
  operator: ['queue:operate'],
  billing: ['billing:view'],
  analyst: [],
  'platform-admin': all,
};

let stack: TestStack;
let call: Call;
let site: { id: string; public_id: string };
let ingest_id: string;
beforeAll(async () => {
  stack = await openStack({ clock: fakeClock(new Date()) });
  call = callsOf(stack);
  site = await staffedSite(stack);
  await plantRows(stack.database, site.id, past, 14);
  await freezeMonth(stack.database, site.id, past, 5);
  ingest_id = await send(site.public_id, 'first');
});
afterAll(() => stack?.close());

async function send(s: string, i: string, more: object = {}): Promise<string> {
  return (await stack.sync({ s, i, url: 'https://example.com/', ...more })).body.ingest_id;
}
const get = (role: Role | null, path: string) => call(role, 'GET', `/api/sites${path}`);
const bare = ({ status, body: { request_id: _, ...body } }: Answer) => ({ status, body });

interface Verb {
  path: () => string;
  /** What it takes; null is any access. */
  capability: string | null;
  method?: string;
  body?: object;
}
const verbs: [string, Verb][] = [
  ['usage', { path: () => '/usage', capability: 'billing:view' }],
  ['plan', { path: () => '/plan', capability: 'billing:view' }],
  ['quota', { path: () => '/quota', capability: null }],
  ['trackers', { path: () => '/tracker', capability: null }],
  ['invoices', { path: () => '/invoices', capability: 'billing:view' }],
  ['proof', { path: () => `/invoices/${past}`, capability: 'billing:view' }],
  ['jobs', { path: () => '/jobs', capability: 'queue:operate' }],
  [
    'reconciliation',
    { path: () => '/jobs', capability: 'queue:operate', method: 'POST', body: { year_month: monthsAgo(0) } },
  ],
  ['receipt', { path: () => `/events/${ingest_id}`, capability: null }],
  ['erasure', { path: () => '/erasures', capability: 'site:write', method: 'POST', body: { sid: 'nobody' } }],
];
const asked = ({ path, method = 'GET', body }: Verb, role: Role | null, ref = site.id) =>
  call(role, method, `/api/sites/${ref}${path()}`, body);

describe.each(verbs)('%s', (name, verb) => {
  const { capability } = verb;
  const roles = Object.entries(capabilities) as [Role, string[]][];
  test.each(roles)('is for who may; asked by %s', async (role, may) => {
    const answer = await asked(verb, role);
    expect(answer.headers.get('cache-control') ?? 'no-store').toBe('no-store');
    if (capability === null || may.includes(capability)) {
      expect(answer).toMatchObject({ status: 200, body: { ok: true } });
      return;
    }
    expect(bare(answer)).toEqual({
      status: 403,
      body: { ok: false, code: 'forbidden', error: `Your role at this site (${role}) lacks ${capability}.` },
    });
  });

  test('tells a stranger nothing: a foreign site and an unknown one look the same', async () => {
    for (const role of ['player', 'finance'] as const) {
      const foreign = bare(await asked(verb, role));
      const unknown = name === 'receipt' ? [400, 'site_not_found'] : [403, 'forbidden'];
      expect([foreign.status, (foreign.body as { code: string }).code]).toEqual(unknown);
      for (const ref of ['nobody', no_site]) expect(bare(await asked(verb, role, ref))).toEqual(foreign);
    }
  });

  test('asks for a token, and takes public id and UUID alike', async () => {
    expect(told(await asked(verb, null))).toEqual([401, 'not_authenticated']);
    expect((await asked(verb, 'owner', site.public_id)).status).toBe(200);
  });
});

describe('the sites of a user', () => {
  test('are shown with the role there and what it may do, and none to a stranger', async () => {
    for (const [role, may] of Object.entries(capabilities) as [Role, string[]][]) {
      const { body } = await get(role, '');
      const found = body.sites.find(({ id }: { id: string }) => id === site.id);
      const shown = role === 'platform-admin' ? 'admin' : role;
      expect(found).toMatchObject({
        public_id: site.public_id,
        name: 'Staffed',
        status: 'active',
        role: shown,
      });
      expect(found.capabilities.toSorted()).toEqual(may.toSorted());
    }
    for (const role of ['player', 'finance'] as const)
      expect((await get(role, '')).body).toMatchObject({ ok: true, sites: [], next_cursor: null });
    expect(told(await get(null, ''))).toEqual([401, 'not_authenticated']);
  });

  test('come page after page, each once, in order of creation', async () => {
    const created = [site.id];
    for (let n = 0; n < 4; n++) created.push((await staffedSite(stack)).id);
    await stack.site();
    const listed: string[] = [];
    let query = '?limit=2';
    for (let pages = 0; query !== ''; pages++) {
      const { body } = await get('analyst', query);
      listed.push(...body.sites.map(({ id }: { id: string }) => id));
      query = body.next_cursor === null ? '' : `?limit=2&cursor=${body.next_cursor}`;
      expect(pages).toBeLessThan(4);
    }
    expect(listed).toEqual(created);
  });

  test.each(['?limit=0', '?limit=201', '?limit=x', '?cursor=', '?cursor=x'])(
    'with %s are refused',
    async (query) => {
      expect(told(await get('owner', query))).toEqual([400, 'invalid_request']);
    },
  );
});

describe('a member', () => {
  const member = (id: string) => `/sites/${id}/members/${userOf('player').id}`;

  test('may what the role allows at once, another at once after a change, and nothing at once when removed', async () => {
    const { id } = await staffedSite(stack);
    const statuses = async () =>
      Promise.all(
        ['/usage', '/jobs', '/quota'].map(async (path) => (await get('player', `/${id}${path}`)).status),
      );
    const listed = async () => (await get('player', '')).body.sites.map((one: { id: string }) => one.id);
    expect(await statuses()).toEqual([403, 403, 403]);
    for (const [role, expected] of [
      ['billing', [200, 403, 200]],
      ['operator', [403, 200, 200]],
      ['analyst', [403, 403, 200]],
      ['admin', [200, 200, 200]],
    ] as const) {
      expect((await stack.admin('PUT', member(id), { role })).body).toMatchObject({ member: { role } });
      expect(await statuses()).toEqual(expected);
    }
    expect(await listed()).toEqual([id]);
    expect((await stack.admin('DELETE', member(id))).body).toMatchObject({ member: { role: null } });
    expect([await statuses(), await listed()]).toEqual([[403, 403, 403], []]);
    const { rows } = await stack.database.query(
      `select payload ->> 'role' role from audit_log where site_id = $1 and action = 'site_member' and payload ->> 'user_id' = $2 order by id`,
      [id, userOf('player').id],
    );
    expect(rows.map(({ role }) => role)).toEqual(['billing', 'operator', 'analyst', 'admin', null]);
  });

  test.each<[string, string, unknown]>([
    ['owner', 'PUT', { role: 'owner' }],
    ['no role', 'PUT', {}],
    ['a field more', 'PUT', { role: 'admin', until: 'ever' }],
  ])('with %s is refused', async (_what, method, body) => {
    expect(told(await stack.admin(method, member(site.id), body))).toEqual([400, 'invalid_request']);
    expect(told(await stack.admin(method, `/sites/${site.id}/members/me`, { role: 'admin' }))).toEqual([
      400,
      'invalid_request',
    ]);
  });
});

describe('usage', () => {
  test('shows ledger, usage row, counter and what never became usage side by side', async () => {
    const { id, public_id: s } = await staffedSite(stack, {
      monthly_limit: '3',
      soft_limit_enabled: true,
      hard_cap_multiplier: '2',
    });
    for (const i of ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'a', 'b']) await send(s, i);
    await send(s, 'a', { el: 'other' });
    await stack.delivered();
    const { body } = await get('billing', `/${id}/usage`);
    expect(body).toMatchObject({
      ...{ site_id: id, public_id: s, year_month: monthsAgo(0), limit: '3', drift: '0' },
      ledger: { billable: '6', overage: '3', rejected: '1', rows: '7' },
      usage_row: { event_count: '6', overage_count: '3' },
      events: { delivered: '6' },
      outbox: { waiting: '0' },
      counter: { used: '6', as_of: expect.stringMatching(/^\d+$/) },
      outcomes: { duplicate: '2', rejected_quota: '1', conflict: '1', rate_limited: '0', invalid: '0' },
    });
    await stack.database.query('update site_usage_monthly set event_count = 9 where site_id = $1', [id]);
    expect((await get('billing', `/${id}/usage`)).body).toMatchObject({
      drift: '3',
      ledger: { billable: '6' },
    });
    expect((await get('billing', `/${site.id}/usage?month=${past}`)).body).toMatchObject({
      year_month: past,
      ledger: { rows: '14' },
      usage_row: null,
      counter: null,
    });
    for (const month of ['2026-13', '', '26-1'])
      expect(told(await get('billing', `/${id}/usage?month=${month}`))).toEqual([400, 'invalid_request']);
  });
});

describe('quota', () => {
  const quota = async (id: string) => (await get('analyst', `/${id}/quota`)).body.quota;

  test('goes from within to exhausted on a hard plan, and over overage on a soft one', async () => {
    const hard = await staffedSite(stack, { monthly_limit: '2' });
    const soft = await staffedSite(stack, {
      monthly_limit: '2',
      soft_limit_enabled: true,
      hard_cap_multiplier: '1.5',
    });
    const seen: Record<string, string[]> = { hard: [], soft: [] };
    for (const i of ['1', '2', '3', '4']) {
      for (const [name, { id, public_id }] of Object.entries({ hard, soft })) {
        const { used, remaining, remaining_to_cap, state } = await quota(id);
        seen[name]?.push(`${used} used ${remaining} left ${remaining_to_cap} to the cap: ${state}`);
        await send(public_id, i);
      }
    }
    expect(seen).toEqual({
      hard: [
        '0 used 2 left 2 to the cap: within',
        '1 used 1 left 1 to the cap: within',
        ...Array(2).fill('2 used 0 left 0 to the cap: exhausted'),
      ],
      soft: [
        '0 used 2 left 3 to the cap: within',
        '1 used 1 left 2 to the cap: within',
        '2 used 0 left 1 to the cap: overage',
        '3 used 0 left 0 to the cap: exhausted',
      ],
    });
    const [year = 0, month = 0] = monthsAgo(0).split('-').map(Number);
    expect(await quota(hard.id)).toMatchObject({
      enforced: true,
      limit: '2',
      cap: '2',
      resets_at: new Date(Date.UTC(year, month)).toISOString().replace('Z', '000Z'),
      as_of: instant,
    });
  });

  test('that is not enforced has no cap, and nothing is ever exhausted', async () => {
    const { id, public_id } = await staffedSite(stack, { monthly_limit: '1' });
    await stack.admin('PUT', `/sites/${id}/enforcement`, { enforced: false, reason: 'Canary' });
    for (const i of ['1', '2', '3']) await send(public_id, i);
    expect(await quota(id)).toMatchObject({
      used: '3',
      limit: '1',
      cap: null,
      remaining: '0',
      remaining_to_cap: null,
      state: 'overage',
      enforced: false,
    });
  });
});

describe('invoices', () => {
  test('are listed newest first in pages, and hold what corrects them and what is booked with them', async () => {
    const { id } = await staffedSite(stack);
    for (const age of [4, 3, 2, 1]) {
      await plantRows(stack.database, id, monthsAgo(age), age);
      await freezeMonth(stack.database, id, monthsAgo(age), 0);
    }
    const months: string[] = [];
    let query = '?limit=3';
    for (; query !== ''; ) {
      const { body } = await get('billing', `/${id}/invoices${query}`);
      months.push(...body.invoices.map(({ year_month }: { year_month: string }) => year_month));
      query = body.next_cursor === null ? '' : `?limit=3&cursor=${body.next_cursor}`;
    }
    expect(months).toEqual([1, 2, 3, 4].map(monthsAgo));
    const adjustment = {
      key: 'k',
      corrects_month: monthsAgo(3),
      event_delta: '-2',
      reason: 'Double tracker',
    };
    await behindGuards(stack.database, async () => {
      await stack.database.query(`select adjust_invoice($1, $2, 'ana', 'ben')`, [id, adjustment]);
      await stack.database.query('update invoice_adjustments set year_month = $2 where site_id = $1', [
        id,
        monthsAgo(1),
      ]); // as if booked then
    });
    const { body } = await get('billing', `/${id}/invoices`);
    const booked = {
      ...{ corrects_month: monthsAgo(3), year_month: monthsAgo(1), event_delta: '-2', overage_delta: '0' },
      author: 'ana',
      approver: 'ben',
      reason: 'Double tracker',
    };
    expect(body.invoices).toMatchObject([
      {
        year_month: monthsAgo(1),
        event_count: '1',
        adjustments: [booked],
        corrected_by: [],
        frozen_at: instant,
      },
      { year_month: monthsAgo(2), adjustments: [], corrected_by: [] },
      {
        year_month: monthsAgo(3),
        event_count: '3',
        overage_count: '0',
        adjustments: [],
        corrected_by: [booked],
      },
      { year_month: monthsAgo(4), adjustments: [], corrected_by: [] },
    ]);
    for (const wrong of ['?limit=0', '?limit=121', '?cursor=x'])
      expect(told(await get('billing', `/${id}/invoices${wrong}`))).toEqual([400, 'invalid_request']);
  });

  test('are proved from the ledger, down to the day on which a byte was changed', async () => {
    const { id } = await staffedSite(stack);
    await plantRows(stack.database, id, past, 14);
    await freezeMonth(stack.database, id, past, 5);
    const proof = async () => (await get('billing', `/${id}/invoices/${past}`)).body.proof;
    expect(await proof()).toMatchObject({
      event_count: '12',
      hash_ok: true,
      ledger_ok: true,
      seal_ok: true,
      changed_days: [],
    });
    const { rows } = await behindGuards(stack.database, () =>
      stack.database.query(
        `update ingest_idempotency set payload_hash = sha256('x') where id = (select min(id) from ingest_idempotency where site_id = $1)
         returning left(utc_text(created_at), 10) as day`,
        [id],
      ),
    );
    expect(await proof()).toMatchObject({
      hash_ok: true,
      ledger_ok: true,
      seal_ok: false,
      changed_days: [rows[0].day],
    });
    expect(told(await get('billing', `/${id}/invoices/${monthsAgo(0)}`))).toEqual([409, 'month_not_frozen']);
    expect(told(await get('billing', `/${id}/invoices/2026-13`))).toEqual([400, 'invalid_request']);
  });

  test('have their reconciliation jobs beside them, newest month first', async () => {
    const { id } = await staffedSite(stack);
    for (const age of [3, 0])
      await stack.database.query(
        `insert into billing_reconciliation_jobs (site_id, year_month, status, last_drift_pct) values ($1, $2, 'COMPLETED', 0.5)`,
        [id, monthsAgo(age)],
      );
    expect((await get('operator', `/${id}/jobs`)).body.jobs).toMatchObject([
      {
        year_month: monthsAgo(0),
        status: 'COMPLETED',
        attempt_count: 0,
        last_drift_pct: 0.5,
        last_error: null,
        updated_at: instant,
      },
      { year_month: monthsAgo(3) },
    ]);
  });
});
