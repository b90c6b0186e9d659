// Corrections of a frozen invoice: proposed by one, decided by another, once; booked in the open month, where invoices and exports show them.
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { DemoUser } from '../../local/issuer.ts';
import { callWith, type Role, secondFinance, staffedSite, told, userOf } from '../support/callers.ts';
import { behindGuards, freezeMonth, monthsAgo, plantRows } from '../support/frozen-month.ts';
import { sharedStack } from '../support/shared-stack.ts';
import type { Answer, TestStack } from '../support/stack.ts';

const frozen = monthsAgo(2);
const open = monthsAgo(0);
const instant = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
const no_id = '0d000000-0000-4000-8000-0000000000ff';
const author = userOf('finance');
const approver = secondFinance;

let stack: TestStack;
let site: string;
beforeAll(async () => {
  stack = await sharedStack();
});
beforeEach(async () => {
  ({ id: site } = await staffedSite(stack));
  await plantRows(stack.database, site, frozen, 14);
  await freezeMonth(stack.database, site, frozen, 5);
});

const call = async (by: DemoUser, method: string, path: string, body?: unknown): Promise<Answer> =>
  callWith(stack, method, path, body, { authorization: `Bearer ${await stack.issuer.token(by)}` });
const correction = (more: object = {}) => ({
  corrects_month: frozen,
  event_delta: '-3',
  overage_delta: '-1',
  reason: 'Double tracker',
  ...more,
});
const propose = (body: unknown = correction(), by = author, ref = site) =>
  call(by, 'POST', `/api/admin/sites/${ref}/adjustments`, body);
const proposed = async (body?: unknown): Promise<string> => (await propose(body)).body.adjustment.id;
const decide = (id: string, decision: unknown, by = approver, ref = site) =>
  call(by, 'POST', `/api/admin/sites/${ref}/adjustments/${id}/decision`, { decision });
const list = async (by = author) =>
  (await call(by, 'GET', `/api/admin/sites/${site}/adjustments`)).body.adjustments;
const exportOf = async (month: string): Promise<string> =>
  (await call(userOf('billing'), 'GET', `/api/billing/dispute-export?site_id=${site}&year_month=${month}`))
    .body;

/** What proposals and decisions leave behind. */
async function traces() {
  const { rows } = await stack.database.query(
    `select (select coalesce(jsonb_agg(to_jsonb(a) - 'created_at' - 'id' order by a.id), '[]') from invoice_adjustments a where a.site_id = $1) booked,
            (select count(*)::int from adjustment_proposals p where p.site_id = $1) proposals,
            (select coalesce(jsonb_agg(jsonb_build_array(a.action, a.actor_id) order by a.id), '[]') from audit_log a
              where a.site_id = $1 and a.action like 'invoice_adjust%') audit,
            (select md5(string_agg(l::text, '|' order by l.id)) from ingest_idempotency l where l.site_id = $1) ledger`,
    [site],
  );
  return rows[0];
}

describe('a proposal', () => {
  test('waits, books nothing, and is listed newest first', async () => {
    const { status, body } = await propose();
    expect([status, body.adjustment]).toEqual([
      201,
      {
        ...{
          id: expect.any(String),
          site_id: site,
          corrects_month: frozen,
          event_delta: '-3',
          overage_delta: '-1',
        },
        ...{
          reason: 'Double tracker',
          author: author.id,
          created_at: instant,
          decision: null,
          decided_by: null,
          decided_at: null,
        },
      },
    ]);
    const second = await proposed(
      correction({ event_delta: 9_007_199_254_740, overage_delta: undefined, reason: ' Lost ' }),
    );
    expect(await list()).toMatchObject([
      { id: second, event_delta: '9007199254740', overage_delta: '0', reason: 'Lost' },
      { id: body.adjustment.id },
    ]);
    expect(await traces()).toMatchObject({
      booked: [],
      proposals: 2,
      audit: Array(2).fill(['invoice_adjust_propose', author.id]),
    });
  });

  test('of a month that is not frozen is refused', async () => {
    const before = await traces();
    for (const corrects_month of [open, monthsAgo(1), '2099-01'])
      expect(told(await propose(correction({ corrects_month })))).toEqual([409, 'month_not_frozen']);
    expect(await traces()).toEqual(before);
  });

  test.each<[string, unknown]>([
    ['nothing', {}],
    ['no JSON object', []],
    ['no delta', { corrects_month: frozen, reason: 'x' }],
    ['deltas of zero', correction({ event_delta: '0', overage_delta: '0' })],
    ['minus zero', correction({ event_delta: '-0', overage_delta: undefined })],
    ['half an event', correction({ event_delta: '1.5' })],
    ['half an event as number', correction({ event_delta: 1.5 })],
    ['a number too large to be exact', correction({ event_delta: 2 ** 53 })],
    ['fourteen digits', correction({ event_delta: '12345678901234' })],
    ['an exponent', correction({ event_delta: '1e3' })],
    ['a plus sign', correction({ event_delta: '+3' })],
    ['words', correction({ event_delta: 'three' })],
    ['overage in words', correction({ overage_delta: 'one' })],
    ['no reason', correction({ reason: undefined })],
    ['a blank reason', correction({ reason: ' \n' })],
    ['a reason of 2,001 characters', correction({ reason: 'x'.repeat(2_001) })],
    ['month 13', correction({ corrects_month: '2026-13' })],
    ['a short month', correction({ corrects_month: '26-1' })],
    ['no month', correction({ corrects_month: undefined })],
    ['an approver', correction({ approver: approver.id })],
    ['another author', correction({ author: approver.id })],
  ])('with %s is refused in one sentence, and leaves nothing', async (_what, body) => {
    const before = await traces();
    const answer = await propose(body);
    expect(told(answer)).toEqual([400, 'invalid_request']);
    expect(answer.body.error).toMatch(/^[A-Z][^\n]*\.$/);
    expect(await traces()).toEqual(before);
  });
});

describe('a decision', () => {
  test('approved by another books the correction in the open month, where invoices and the export show it', async () => {
    const before = { open: await exportOf(open), frozen: await exportOf(frozen), ...(await traces()) };
    const id = await proposed();
    const { status, body } = await decide(id, 'approved');
    expect([status, body.adjustment]).toMatchObject([
      200,
      { id, decision: 'approved', author: author.id, decided_by: approver.id, decided_at: instant },
    ]);
    const { booked, audit, ledger } = await traces();
    expect(booked).toMatchObject([
      {
        year_month: open,
        corrects_month: frozen,
        event_delta: -3,
        overage_delta: -1,
        author: author.id,
        approver: approver.id,
        unique_key: id,
      },
    ]);
    expect(audit.map(([action]: string[]) => action)).toEqual(['invoice_adjust_propose', 'invoice_adjust']);
    expect(ledger).toBe(before.ledger);

    const added = (await exportOf(open)).slice(before.open.length).split('\n').slice(1);
    expect(added.map((line) => line.split(',').slice(1).join(',').replace(/:\d+,/, ':id,'))).toEqual([
      `adjustment:${frozen}:id,0,ADJUSTMENT,-3`,
      `adjustment:${frozen}:id,0,ADJUSTMENT_OVERAGE,-1`,
    ]);
    expect(await exportOf(frozen)).toBe(before.frozen);
    const { invoices } = (await call(userOf('billing'), 'GET', `/api/sites/${site}/invoices`)).body;
    expect(invoices).toMatchObject([
      {
        year_month: frozen,
        event_count: '12',
        adjustments: [],
        corrected_by: [
          {
            year_month: open,
            event_delta: '-3',
            overage_delta: '-1',
            author: author.id,
            approver: approver.id,
          },
        ],
      },
    ]);
    const { proof } = (await call(userOf('billing'), 'GET', `/api/sites/${site}/invoices/${frozen}`)).body;
    expect(proof).toMatchObject({ hash_ok: true, ledger_ok: true, seal_ok: true });
  });

  test('by the author is no approval, even as platform admin; the author may withdraw', async () => {
    const id = await proposed();
    expect(told(await decide(id, 'approved', author))).toEqual([409, 'four_eyes']);
    const admins = await call(
      userOf('platform-admin'),
      'POST',
      `/api/admin/sites/${site}/adjustments`,
      correction(),
    );
    expect(told(await decide(admins.body.adjustment.id, 'approved', userOf('platform-admin')))).toEqual([
      409,
      'four_eyes',
    ]);
    expect((await decide(id, 'rejected', author)).body.adjustment).toMatchObject({
      decision: 'rejected',
      decided_by: author.id,
    });
    expect((await traces()).booked).toEqual([]);
  });

  test('is taken once: repeated by the same person it changes nothing, anything else is refused', async () => {
    const [yes, no] = [await proposed(), await proposed()];
    const first = { yes: await decide(yes, 'approved'), no: await decide(no, 'rejected') };
    const before = await traces();
    expect(before.booked).toHaveLength(1);
    expect((await decide(yes, 'approved')).body.adjustment).toEqual(first.yes.body.adjustment);
    expect((await decide(no, 'rejected')).body.adjustment).toEqual(first.no.body.adjustment);
    for (const answer of [
      decide(yes, 'rejected'),
      decide(no, 'approved'),
      decide(yes, 'approved', userOf('platform-admin')),
      decide(yes, 'approved', author),
    ])
      expect(told(await answer)).toEqual([409, 'adjustment_decided']);
    expect(await traces()).toEqual(before);
    expect(before.audit.map(([action, by]: string[]) => [action, by]).at(-1)).toEqual([
      'invoice_adjust_reject',
      approver.id,
    ]);
  });

  test('of two at once is one: eight approvals and rejections book at most once', async () => {
    const id = await proposed();
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, n) =>
        decide(id, n % 2 ? 'approved' : 'rejected', n % 4 < 2 ? approver : userOf('platform-admin')),
      ),
    );
    const [{ decision, decided_by }] = await list();
    const winners = answers.filter(({ status }) => status === 200);
    expect(winners).toHaveLength(2); // both tries of the one who came first
    expect(winners[0]?.body.adjustment).toMatchObject({ decision, decided_by });
    expect(answers.filter(({ body }) => body.code === 'adjustment_decided')).toHaveLength(6);
    expect((await traces()).booked).toHaveLength(decision === 'approved' ? 1 : 0);
  });

  test.each<[string, unknown]>([
    ['neither', 'maybe'],
    ['empty', ''],
    ['true', true],
    ['missing', undefined],
  ])('that is %s is refused', async (_what, decision) => {
    const id = await proposed();
    expect(told(await decide(id, decision))).toEqual([400, 'invalid_request']);
    expect(await list()).toMatchObject([{ id, decision: null }]);
  });

  test('on a proposal that the site does not have is refused', async () => {
    const id = await proposed();
    const { id: other } = await staffedSite(stack);
    for (const wrong of [no_id, 'x', '1'])
      expect(told(await decide(wrong, 'approved'))).toEqual([404, 'adjustment_not_found']);
    expect(told(await decide(id, 'approved', approver, other))).toEqual([404, 'adjustment_not_found']);
    expect(told(await decide(id, 'approved', approver, 'nobody'))).toEqual([400, 'site_not_found']);
    expect((await traces()).booked).toEqual([]);
  });

  test('that has been booked can be changed by nobody', async () => {
    await decide(await proposed(), 'approved');
    for (const sql of [
      'update invoice_adjustments set event_delta = 0',
      'delete from invoice_adjustments',
      'truncate invoice_adjustments',
    ])
      await expect(stack.database.query(sql)).rejects.toMatchObject({ code: 'RK011' });
  });
});

describe('who may', () => {
  test.each<Role>(['finance', 'platform-admin'])('%s may propose, see and decide', async (role) => {
    expect((await propose(correction(), userOf(role))).status).toBe(201);
    const [{ id }] = await list(userOf(role));
    expect(
      (await decide(id, 'approved', role === 'finance' ? userOf('platform-admin') : author)).status,
    ).toBe(200);
  });

  test.each<Role>(['owner', 'admin', 'billing', 'analyst', 'operator', 'player'])(
    '%s may none of it',
    async (role) => {
      const id = await proposed();
      const before = await traces();
      expect(told(await propose(correction(), userOf(role)))).toEqual([403, 'forbidden']);
      expect(told(await decide(id, 'approved', userOf(role)))).toEqual([403, 'forbidden']);
      expect(told(await call(userOf(role), 'GET', `/api/admin/sites/${site}/adjustments`))).toEqual([
        403,
        'forbidden',
      ]);
      expect(await traces()).toEqual(before);
    },
  );

  test('nobody may without a token, and finance may nothing else of the administration', async () => {
    const path = `/api/admin/sites/${site}`;
    expect(told(await callWith(stack, 'POST', `${path}/adjustments`, correction(), {}))).toEqual([
      401,
      'not_authenticated',
    ]);
    for (const [method, rest] of [
      ['GET', '/usage'],
      ['PUT', '/plan'],
      ['PUT', '/unblock'],
      ['PUT', '/enforcement'],
      ['POST', '/keys'],
      ['PUT', `/members/${author.id}`],
    ] as const)
      expect(told(await call(author, method, `${path}${rest}`, method === 'GET' ? undefined : {}))).toEqual([
        403,
        'forbidden',
      ]);
  });
});

test('a correction in a month that was frozen since is found in that month for ever', async () => {
  await decide(await proposed(), 'approved');
  await behindGuards(stack.database, () =>
    // as if it had been booked a month ago, and that month had ended since
    stack.database.query('update invoice_adjustments set year_month = $2 where site_id = $1', [
      site,
      monthsAgo(1),
    ]),
  );
  await freezeMonth(stack.database, site, monthsAgo(1), 0);
  const { invoices } = (await call(userOf('billing'), 'GET', `/api/sites/${site}/invoices`)).body;
  expect(invoices).toMatchObject([
    { year_month: monthsAgo(1), event_count: '0', adjustments: [{ event_delta: '-3' }] },
    { corrected_by: [{ event_delta: '-3' }] },
  ]);
  expect((await exportOf(monthsAgo(1))).split('\n')).toHaveLength(3);
});
