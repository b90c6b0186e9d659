// Who is let in at the doors of jobs and metrics, and what is refused there: with one sentence and a code, and with nothing done.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startIssuer } from '../../local/issuer.ts';
import { fakeClock } from '../../local/schedule/clock.ts';
import { requireCronSecret } from '../../shared/cron.ts';
import { callWith, cronSecretOf, forgedToken, staffedSite, told, userOf } from '../support/callers.ts';
import { freezeMonth, monthsAgo, plantRows } from '../support/frozen-month.ts';
import { type Answer, openStack, type TestStack } from '../support/stack.ts';

const doors = [
  'recover',
  'reconcile-usage',
  'reconcile-usage/enqueue',
  'reconcile-usage/run',
  'reconcile-usage/backfill',
  'invoice-freeze',
  'idempotency-cleanup',
  'watchtower',
].map((path) => `/api/cron/${path}`);

let stack: TestStack;
let secret: string;
let site: string;
beforeAll(async () => {
  stack = await openStack({ clock: fakeClock(new Date()) }); // only these tests start a job
  secret = cronSecretOf(stack);
  ({ id: site } = await staffedSite(stack));
  await plantRows(stack.database, site, monthsAgo(8), 14);
  await stack.database.query(`update sites set created_at = now() - interval '9 months' where id = $1`, [
    site,
  ]);
  await freezeMonth(stack.database, site, monthsAgo(8), 200); // cleanup would take it
  await stack.sync({ s: site, i: 'waits', url: 'https://example.com/' });
  await stack.delivered();
});
afterAll(() => stack?.close());

/** All that a job could change, so that a refusal can be shown to have changed none of it. */
async function state(): Promise<unknown> {
  const { rows } = await stack.database.query(
    `select (select jsonb_agg(to_jsonb(j) order by j.id) from billing_reconciliation_jobs j) jobs,
            (select count(*)::int from audit_log) audit,
            (select md5(string_agg(l::text, '|' order by l.id)) from ingest_idempotency l) ledger,
            (select jsonb_agg(to_jsonb(u) order by u.site_id, u.year_month) from site_usage_monthly u) usage,
            (select count(*)::int from invoice_snapshot) invoices, (select count(*)::int from invoice_barriers) barriers,
            (select count(*)::int from ledger_archives) archives, (select count(*)::int from sites) sites,
            (select jsonb_agg(to_jsonb(h) order by h.job) from job_heartbeats h) heartbeats`,
  );
  return rows[0];
}
let before: unknown;
beforeEach(async () => {
  before = await state();
});

const call = (path: string, headers: Record<string, string>, method = 'POST', body?: unknown) =>
  callWith(stack, method, path, body, headers);
const cron = (path: string, method = 'POST', body?: unknown) =>
  call(`/api/cron/${path}`, { authorization: `Bearer ${secret}` }, method, body);

function refused(answer: Answer): [number, string | undefined] {
  expect(answer.body).toMatchObject({
    ok: false,
    error: expect.stringMatching(/^\S[^\n]{5,200}$/),
    request_id: answer.headers.get('x-request-id'),
  });
  return told(answer);
}

describe('a door of a job', () => {
  test.each<[string, (secret: string) => Record<string, string>]>([
    ['no header', () => ({})],
    ['an empty header', () => ({ authorization: '' })],
    ['Bearer and nothing', () => ({ authorization: 'Bearer ' })],
    ['Bearer and blanks', () => ({ authorization: 'Bearer    ' })],
    ['the secret without Bearer', (right) => ({ authorization: right })],
    ['the secret as Basic', (right) => ({ authorization: `Basic ${right}` })],
    ['a wrong secret', () => ({ authorization: 'Bearer wrong' })],
    ['the secret but its last character', (right) => ({ authorization: `Bearer ${right.slice(0, -1)}` })],
    ['the secret and one character more', (right) => ({ authorization: `Bearer ${right}x` })],
    ['the secret in capitals', (right) => ({ authorization: `Bearer ${swapCase(right)}` })],
    ['x-vercel-cron', () => ({ 'x-vercel-cron': '1' })],
    ['the secret as x-cron-secret', (right) => ({ 'x-cron-secret': right })],
  ])('with %s is closed, by GET and POST alike, and nothing is done', async (_what, headers) => {
    const answers = doors.flatMap((door) =>
      ['GET', 'POST'].map((method) => call(door, headers(secret), method)),
    );
    for (const answer of await Promise.all(answers)) {
      expect(refused(answer)).toEqual([403, 'CRON_FORBIDDEN']);
      expect(JSON.stringify(answer.body)).not.toContain(secret.slice(0, 8));
    }
    expect(await state()).toEqual(before);
  });

  test('is closed to a token, even that of a platform admin', async () => {
    const authorization = `Bearer ${await stack.issuer.token(userOf('platform-admin'))}`;
    for (const door of doors)
      expect(refused(await call(door, { authorization }))).toEqual([403, 'CRON_FORBIDDEN']);
    expect(await state()).toEqual(before);
  });

  test.each(['PUT', 'DELETE', 'PATCH'])('takes no %s, whoever asks', async (method) => {
    for (const door of doors) {
      expect(refused(await call(door, {}, method))).toEqual([403, 'CRON_FORBIDDEN']);
      const known = await call(door, { authorization: `Bearer ${secret}` }, method);
      expect(refused(known)).toEqual([405, 'method_not_allowed']);
    }
    expect(await state()).toEqual(before);
  });

  test('whose secret is empty or blank is closed to everybody', () => {
    for (const empty of ['', ' ', '\n'])
      for (const header of [
        undefined,
        '',
        'Bearer ',
        'Bearer  ',
        `Bearer ${empty}`,
        'Bearer undefined',
        'Bearer x',
      ])
        expect(() => requireCronSecret(header, empty)).toThrow('forbidden');
    expect(() => requireCronSecret(`Bearer ${secret}`, `${secret}\n`)).not.toThrow();
  });

  test('that does not exist is not found, with the secret too', async () => {
    for (const path of ['nothing', 'recover/all', 'invoice-freeze/2026-01'])
      expect((await cron(path)).status).toBe(404);
    expect(await state()).toEqual(before);
  });
});

describe('a job is refused, in one sentence and with nothing done,', () => {
  const months = { from: '2026-01', to: '2026-02' };
  test.each<[string, string, unknown, string]>([
    ['a body that is no JSON', 'reconcile-usage/backfill', '{', 'invalid_json'],
    ['no body', 'reconcile-usage/backfill', undefined, 'invalid_json'],
    ['a list', 'reconcile-usage/backfill', [], 'invalid_request'],
    ['no range', 'reconcile-usage/backfill', {}, 'invalid_request'],
    ['half a range', 'reconcile-usage/backfill', { from: '2026-01' }, 'invalid_request'],
    ['a month that is none', 'reconcile-usage/backfill', { ...months, to: '2026-13' }, 'invalid_request'],
    ['a month written short', 'reconcile-usage/backfill', { ...months, from: '2026-1' }, 'invalid_request'],
    [
      'a range turned round',
      'reconcile-usage/backfill',
      { from: '2026-05', to: '2026-04' },
      'invalid_request',
    ],
    ['thirteen months', 'reconcile-usage/backfill', { from: '2025-01', to: '2026-01' }, 'invalid_request'],
    ['ages', 'reconcile-usage/backfill', { from: '2000-01', to: '2099-12' }, 'invalid_request'],
    ['a site that is no UUID', 'reconcile-usage/backfill', { ...months, site_id: 'demo' }, 'invalid_request'],
    ['force that is no truth', 'reconcile-usage/backfill', { ...months, force: 1 }, 'invalid_request'],
    ['a field of no meaning', 'reconcile-usage/backfill', { ...months, sites: [] }, 'invalid_request'],
    ['freezing month 13', 'invoice-freeze?year_month=2026-13', undefined, 'invalid_request'],
    ['freezing an empty month', 'invoice-freeze?year_month=', undefined, 'invalid_request'],
    ['freezing a month written short', 'invoice-freeze?year_month=26-1', undefined, 'invalid_request'],
    ['freezing a month of long ago', 'invoice-freeze?year_month=0000-01', undefined, 'invalid_request'],
    ['a dry run that is neither', 'idempotency-cleanup?dry_run=1', undefined, 'invalid_request'],
    ['a dry run that is empty', 'idempotency-cleanup?dry_run=', undefined, 'invalid_request'],
  ])('for %s', async (_what, path, body, code) => {
    expect(refused(await cron(path, 'POST', body))).toEqual([400, code]);
    expect(await state()).toEqual(before);
  });

  test('for an open month, with 409', async () => {
    for (const month of [monthsAgo(0), '2999-01']) {
      expect(refused(await cron(`invoice-freeze?year_month=${month}`))).toEqual([409, 'month_open']);
    }
    expect(await state()).toEqual(before);
  });

  test('and the secret in another place than the header opens nothing', async () => {
    for (const answer of [
      await call(`/api/cron/recover?secret=${secret}&authorization=Bearer%20${secret}`, {}),
      await call('/api/cron/recover', {}, 'POST', { secret, authorization: `Bearer ${secret}` }),
    ])
      expect(refused(answer)).toEqual([403, 'CRON_FORBIDDEN']);
    expect(await state()).toEqual(before);
  });

  test('and twelve months, or a dry run, are not', async () => {
    const range = { from: '2025-01', to: '2025-12', site_id: site };
    expect((await cron('reconcile-usage/backfill', 'POST', range)).body).toMatchObject({ ok: true });
    expect((await cron('idempotency-cleanup?dry_run=true')).body).toMatchObject({
      ok: true,
      would_delete: '14',
    });
  });
});

describe('the metrics', () => {
  const metrics = (authorization?: string) =>
    call('/api/metrics', authorization ? { authorization } : {}, 'GET');

  test('are shown to the cron secret and to a platform admin', async () => {
    for (const bearer of [secret, await stack.issuer.token(userOf('platform-admin'))])
      expect(await metrics(`Bearer ${bearer}`)).toMatchObject({ status: 200, body: { ok: true } });
  });

  test('are shown to nobody else: without a token 403 by the secret, with one of another role 403 by the role', async () => {
    for (const bearer of [undefined, '', 'Bearer ', 'Bearer wrong', `Bearer ${secret}x`, `Basic ${secret}`])
      expect(refused(await metrics(bearer))).toEqual([403, 'CRON_FORBIDDEN']);
    for (const role of ['owner', 'admin', 'billing', 'analyst', 'operator', 'player', 'finance'] as const)
      expect(refused(await metrics(`Bearer ${await stack.issuer.token(userOf(role))}`))).toEqual([
        403,
        'forbidden',
      ]);
  });
});

describe('a token', () => {
  const admin = userOf('platform-admin');
  const hour = 3_600;
  const now = () => Math.floor(Date.now() / 1000);

  test('forged as the next ones are, but with true claims, is let in', async () => {
    const authorization = `Bearer ${forgedToken(stack.issuer, admin)}`;
    expect((await call('/api/metrics', { authorization }, 'GET')).status).toBe(200);
  });

  test.each<[string, () => string | Promise<string>]>([
    ['that expired, replayed', () => forgedToken(stack.issuer, admin, { exp: now() - 1, iat: now() - hour })],
    ['that is not valid yet', () => forgedToken(stack.issuer, admin, { nbf: now() + hour })],
    ['of another client', () => forgedToken(stack.issuer, admin, { client_id: 'another' })],
    ['without a client', () => forgedToken(stack.issuer, admin, { client_id: undefined })],
    ['that is an ID token', () => forgedToken(stack.issuer, admin, { token_use: 'id' })],
    ['of another issuer', () => forgedToken(stack.issuer, admin, { iss: 'https://elsewhere.invalid' })],
    ['without an end', () => forgedToken(stack.issuer, admin, { exp: undefined })],
    ['with alg none', async () => unsigned(forgedToken(stack.issuer, admin))],
    [
      'with alg HS256 and the public key as secret',
      async () => withHead(forgedToken(stack.issuer, admin), 'HS256'),
    ],
    ['of a foreign signer', foreign],
    ['with changed claims', async () => changed(await stack.issuer.token(userOf('owner')))],
    ['with its signature cut', async () => (await stack.issuer.token(admin)).slice(0, -4)],
  ])('%s is 401 at every door for tokens, and nothing is done', async (_what, make) => {
    const authorization = `Bearer ${await make()}`;
    const calls: [string, string][] = [
      ['GET', '/api/metrics'],
      ['GET', '/api/sites'],
      ['GET', `/api/sites/${site}/usage`],
      ['POST', `/api/sites/${site}/erasures`],
      ['GET', `/api/billing/dispute-export?site_id=${site}&year_month=${monthsAgo(8)}`],
      ['GET', '/api/admin/sites'],
      ['PUT', `/api/admin/sites/${site}/unblock`],
      ['POST', `/api/admin/sites/${site}/adjustments`],
    ];
    for (const [method, path] of calls)
      expect(refused(await call(path, { authorization }, method))).toEqual([401, 'not_authenticated']);
    expect(await state()).toEqual(before);
  });

  async function foreign() {
    const other = await startIssuer(undefined);
    const token = forgedToken({ ...other, url: stack.issuer.url }, admin);
    await other.close();
    return token;
  }
});

function swapCase(text: string): string {
  return [...text].map((c) => (c === c.toUpperCase() ? c.toLowerCase() : c.toUpperCase())).join('');
}

function unsigned(token: string): string {
  return `${Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url')}.${token.split('.')[1]}.`;
}

function withHead(token: string, alg: string): string {
  const [head = '', claims, signature] = token.split('.');
  const changedHead = { ...JSON.parse(Buffer.from(head, 'base64url').toString()), alg };
  return `${Buffer.from(JSON.stringify(changedHead)).toString('base64url')}.${claims}.${signature}`;
}

/** The owner's token, with the groups of a platform admin written into it. */
function changed(token: string): string {
  const [head, claims = '', signature] = token.split('.');
  const more = {
    ...JSON.parse(Buffer.from(claims, 'base64url').toString()),
    'cognito:groups': ['platform-admin'],
  };
  return `${head}.${Buffer.from(JSON.stringify(more)).toString('base64url')}.${signature}`;
}
