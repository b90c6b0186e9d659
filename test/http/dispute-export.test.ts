// The dispute export as its users meet it: which bytes in which order, who gets them, what is audited, what is refused.
import { createHash } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  type Call,
  callsOf,
  callWith,
  forgedToken,
  type Role,
  staffedSite,
  told,
  userOf,
} from '../support/callers.ts';
import { freezeMonth, monthsAgo } from '../support/frozen-month.ts';
import { sharedStack } from '../support/shared-stack.ts';
import type { TestStack } from '../support/stack.ts';

const columns = 'created_at,idempotency_key,idempotency_version,billing_state,billable';
const frozen = monthsAgo(2);
const open = monthsAgo(0);
const sha256 = (bytes: string | Uint8Array) => createHash('sha256').update(bytes).digest('hex');

let stack: TestStack;
let call: Call;
let site: { id: string; public_id: string };
beforeAll(async () => {
  stack = await sharedStack();
  call = callsOf(stack);
  site = await staffedSite(stack);
  await plant(site.id, rowsOf(frozen, 0));
  await freezeMonth(stack.database, site.id, frozen, 5);
  await plant(site.id, rowsOf(open, 1));
});

type Row = [at: string, key: string, version: number, state: string, billable: boolean];

/** A row of each kind, not in the order of time, and two of one instant; the keys of the three versions differ in length. */
const rowsOf = (month: string, mark: number): Row[] => [
  [`${month}-02T10:00:00.000002Z`, `c${mark}`.repeat(16), 3, 'OVERAGE', true],
  [`${month}-01T23:59:59.999999Z`, `b${mark}`.repeat(32), 1, 'ACCEPTED', true],
  [`${month}-02T10:00:00.000001Z`, `02${`a${mark}`.repeat(32)}`, 2, 'REJECTED_QUOTA', false],
  [`${month}-02T10:00:00.000002Z`, `a${mark}`.repeat(16), 3, 'ACCEPTED', true],
  [`${month}-01T00:00:00.000000Z`, `d${mark}`.repeat(16), 3, 'ACCEPTED', false],
];

/** Inserted one after the other, so that ids follow the list. */
async function plant(id: string, rows: Row[]): Promise<void> {
  for (const row of rows)
    await stack.database.query(
      `insert into ingest_idempotency (site_id, created_at, expires_at, idempotency_key, idempotency_version, billing_state, billable)
       values ($1, $2, $2::timestamptz + interval '91 days', decode($3, 'hex'), $4, $5, $6)`,
      [id, ...row],
    );
}

const exportPath = (ref: string, month: string) =>
  `/api/billing/dispute-export?site_id=${ref}&year_month=${month}`;
const ask = (role: Role | null, ref: string, month: string, more = '') =>
  call(role, 'GET', `${exportPath(ref, month)}${more}`);

async function audited(
  id = site.id,
): Promise<{ actor_id: string; site_id: string; payload: Record<string, string> }[]> {
  const { rows } = await stack.database.query(
    `select actor_id, site_id, resource_id, payload from audit_log where action = 'dispute_export' and site_id = $1 order by id`,
    [id],
  );
  return rows;
}

const downloads = async () =>
  (await stack.database.query(`select count(*)::int n from audit_log where action = 'dispute_export'`))
    .rows[0].n;

describe('the bytes', () => {
  test('are a row for each ledger row, rejected ones too, by time and then by id, joined by LF and not ended by one', async () => {
    const { status, headers, body } = await ask('billing', site.id, frozen);
    expect(status).toBe(200);
    expect(body).toBe(
      [
        columns,
        `${frozen}-01T00:00:00.000000Z,v3:${'d0'.repeat(16)},3,ACCEPTED,false`,
        `${frozen}-01T23:59:59.999999Z,${'b0'.repeat(32)},1,ACCEPTED,true`,
        `${frozen}-02T10:00:00.000001Z,v2:${'a0'.repeat(32)},2,REJECTED_QUOTA,false`,
        `${frozen}-02T10:00:00.000002Z,v3:${'c0'.repeat(16)},3,OVERAGE,true`,
        `${frozen}-02T10:00:00.000002Z,v3:${'a0'.repeat(16)},3,ACCEPTED,true`,
      ].join('\n'),
    );
    expect(headers.get('content-type')).toBe('text/csv; charset=utf-8');
    expect(headers.get('cache-control')).toBe('no-store');
    expect(headers.get('content-disposition')).toBe(
      `attachment; filename="dispute-export-${site.id.slice(0, 8)}-${frozen}.csv"`,
    );
    expect(headers.get('x-opsmantik-export-hash')).toBe(sha256(body));
  });

  test('come with the snapshot hash when the month is frozen, and without it while it is open', async () => {
    const { rows } = await stack.database.query(
      'select snapshot_hash from invoice_snapshot where site_id = $1',
      [site.id],
    );
    const hashOf = async (month: string) =>
      (await ask('owner', site.id, month)).headers.get('x-opsmantik-snapshot-hash');
    expect(await hashOf(frozen)).toBe(rows[0].snapshot_hash);
    expect(await hashOf(open)).toBeNull();
  });

  test('are the same for the same state, by public id, UUID, and UUID in capitals or without hyphens', async () => {
    const refs = [site.id, site.id, site.public_id, site.id.toUpperCase(), site.id.replaceAll('-', '')];
    const answers = await Promise.all(refs.map((ref) => ask('billing', ref, open)));
    expect(new Set(answers.map(({ body }) => body)).size).toBe(1);
    for (const name of ['x-opsmantik-export-hash', 'content-disposition'])
      expect(new Set(answers.map(({ headers }) => headers.get(name))).size).toBe(1);
    await plant(site.id, [[`${open}-01T00:00:00.000001Z`, 'ee'.repeat(16), 3, 'ACCEPTED', true]]);
    const grown = await ask('billing', site.id, open);
    expect(grown.headers.get('x-opsmantik-export-hash')).not.toBe(
      answers[0]?.headers.get('x-opsmantik-export-hash'),
    );
  });

  test('of a month without events are the header alone', async () => {
    expect((await ask('billing', site.id, monthsAgo(5))).body).toBe(columns);
  });

  test('hold the corrections booked in the month after the ledger, and none in the month that they correct', async () => {
    const { id } = await staffedSite(stack);
    await plant(id, rowsOf(frozen, 0));
    await freezeMonth(stack.database, id, frozen, 5);
    await plant(id, rowsOf(open, 1));
    const before = { frozen: await ask('billing', id, frozen), open: await ask('billing', id, open) };
    const adjust = async (key: string, event_delta: string, overage_delta: string) => {
      const { rows } = await stack.database.query(
        `select a ->> 'id' id, utc_text((a ->> 'created_at')::timestamptz) created_at from adjust_invoice($1, $2, 'ana', 'ben') a`,
        [
          id,
          JSON.stringify({
            key,
            corrects_month: frozen,
            event_delta,
            overage_delta,
            reason: 'Double tracker',
          }),
        ],
      );
      return rows[0];
    };
    const both = await adjust('one', '-3', '-1');
    const plain = await adjust('two', '2', '0');
    const line = (a: typeof both, kind: string, delta: string) =>
      `${a.created_at},adjustment:${frozen}:${a.id},0,${kind},${delta}`;
    expect((await ask('billing', id, open)).body).toBe(
      [
        before.open.body,
        line(both, 'ADJUSTMENT', '-3'),
        line(both, 'ADJUSTMENT_OVERAGE', '-1'),
        line(plain, 'ADJUSTMENT', '2'),
      ].join('\n'),
    );
    expect((await ask('billing', id, frozen)).body).toBe(before.frozen.body);
  });
});

describe('who gets it', () => {
  test.each<Role>(['owner', 'admin', 'billing', 'platform-admin'])(
    'the %s does, and each download is audited',
    async (role) => {
      const before = (await audited()).length;
      const { status, headers } = await ask(role, site.public_id, frozen);
      expect(status).toBe(200);
      const added = (await audited()).slice(before);
      expect(added).toEqual([
        {
          actor_id: userOf(role).id,
          site_id: site.id,
          resource_id: `${site.id}:${frozen}`,
          payload: {
            row_count: '5',
            export_hash: headers.get('x-opsmantik-export-hash'),
            request_id: headers.get('x-request-id'),
          },
        },
      ]);
    },
  );

  test.each<Role>(['analyst', 'operator', 'player', 'finance'])(
    'the %s does not, and nothing is audited',
    async (role) => {
      const before = await downloads();
      for (const more of ['', '&export_id=1']) {
        expect(told(await ask(role, site.id, frozen, more))).toEqual([403, 'forbidden']);
      }
      expect(await downloads()).toBe(before);
    },
  );

  test('nobody does without a token, or with one that expired, is signed by another, or was changed', async () => {
    const before = await downloads();
    const right = await stack.issuer.token(userOf('billing'));
    const [head, , signature] = right.split('.');
    const claims = Buffer.from(JSON.stringify({ sub: userOf('owner').id })).toString('base64url');
    const expired = forgedToken(stack.issuer, userOf('billing'), { exp: Math.floor(Date.now() / 1000) - 1 });
    const foreign = `${right.slice(0, -8)}${right.slice(-8).split('').reverse().join('')}`;
    for (const token of [undefined, expired, foreign, `${head}.${claims}.${signature}`]) {
      const headers: Record<string, string> = token ? { authorization: `Bearer ${token}` } : {};
      const answer = await callWith(stack, 'GET', exportPath(site.id, frozen), undefined, headers);
      expect(told(answer)).toEqual([401, 'not_authenticated']);
    }
    expect(await downloads()).toBe(before);
  });

  test.each([
    ['month 13', `site_id={site}&year_month=2026-13`, 400, 'invalid_request'],
    ['month 0', `site_id={site}&year_month=2026-00`, 400, 'invalid_request'],
    ['a short month', `site_id={site}&year_month=26-1`, 400, 'invalid_request'],
    ['a day', `site_id={site}&year_month=2026-01-01`, 400, 'invalid_request'],
    ['an empty month', `site_id={site}&year_month=`, 400, 'invalid_request'],
    ['a month before all sites', `site_id={site}&year_month=0001-01`, 400, 'invalid_request'],
    ['no month', `site_id={site}`, 400, 'invalid_request'],
    ['no site', `year_month=${frozen}`, 400, 'invalid_request'],
    ['an empty site', `site_id=&year_month=${frozen}`, 400, 'invalid_request'],
    ['a very long site', `site_id=${'x'.repeat(65)}&year_month=${frozen}`, 400, 'invalid_request'],
    ['U+0000', `site_id=%00&year_month=${frozen}`, 400, 'text_invalid'],
    ['a site that is none', `site_id=nobody&year_month=${frozen}`, 403, 'forbidden'],
    ['a foreign site', `site_id={foreign}&year_month=${frozen}`, 403, 'forbidden'],
    [
      'an export that is none',
      `site_id={site}&year_month=${frozen}&export_id=999999`,
      404,
      'export_not_found',
    ],
    [
      'an export id of no number',
      `site_id={site}&year_month=${frozen}&export_id=1;--`,
      404,
      'export_not_found',
    ],
    ['an empty export id', `site_id={site}&year_month=${frozen}&export_id=`, 404, 'export_not_found'],
    [
      'an endless export id',
      `site_id={site}&year_month=${frozen}&export_id=${'9'.repeat(19)}`,
      404,
      'export_not_found',
    ],
  ])('%s is refused in one sentence, and nothing is audited', async (_what, query, status, code) => {
    const before = await downloads();
    const { id: foreign } = await stack.site();
    const path = query.replace('{site}', site.id).replace('{foreign}', foreign);
    const answer = await call('billing', 'GET', `/api/billing/dispute-export?${path}`);
    expect(told(answer)).toEqual([status, code]);
    expect(answer.body).toMatchObject({
      ok: false,
      error: expect.stringMatching(/^[A-Z][^\n]{5,200}\.$/),
      request_id: answer.headers.get('x-request-id'),
    });
    expect(await downloads()).toBe(before);
  });
});
