// Findings of payments over HTTP: who sees one, resolves it, takes it on or corrects it, and which correction waits for another person.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { violations } from '../support/money.ts';
import { type Call, caller, key, type MoneyAnswer } from '../support/money-doors.ts';
import { sharedStack } from '../support/shared-stack.ts';
import { findings_path, missing, openShop, type Row } from '../support/shop.ts';
import type { TestStack } from '../support/stack.ts';

let stack: TestStack;
let platform: Call;
beforeAll(async () => {
  stack = await sharedStack(); // no schedule brings in what a test calls missing
  platform = await caller(stack, ['platform-admin']);
});
afterAll(async () => {
  expect(await violations(stack.database)).toEqual([]);
});

describe('a finding', () => {
  test('is listed by each filter, by page, and with both sides by its id', async () => {
    const shop = await openShop(stack);
    const { finding: older } = await missing(shop);
    const { tx, finding } = await missing(shop, '2000');
    await shop.finance('PUT', `${findings_path}/${finding.id}/owner`, { owner: 'Fay' });
    await shop.finance('POST', `${findings_path}/${older.id}/resolve`, { reason: 'known' });
    const ids = async (query: string) => (await shop.findings(query)).map(({ id }) => id);
    const both = [finding.id, older.id];
    for (const query of ['', 'provider=mockpsp', 'finding_type=missing_in_ledger', 'severity=ERROR'])
      expect([query, await ids(query)]).toEqual([query, both]);
    expect(await ids(`player_id=${shop.player.id}&tenant_id=${shop.tenant}`)).toEqual(both);
    const event = encodeURIComponent(finding.provider_event_id);
    for (const query of [
      'status=OPEN',
      `tx_id=${tx.id}`,
      `provider_event_id=${event}`,
      'owner=Fay',
      'limit=1',
    ])
      expect([query, await ids(query)]).toEqual([query, [finding.id]]);
    expect(await ids('limit=1&offset=1')).toEqual([older.id]);
    for (const query of [
      'provider=stripe',
      'finding_type=duplicate',
      'severity=WARN',
      `tx_id=${randomUUID()}`,
    ])
      expect([query, await ids(query)]).toEqual([query, []]);
    for (const query of [
      'status=GONE',
      'severity=BAD',
      'tx_id=1',
      'player_id=x',
      'limit=0',
      'limit=201',
      'offset=-1',
    ])
      expect([query, (await shop.finance('GET', `${findings_path}?${query}`)).status]).toEqual([query, 400]);
    expect((await shop.finance('GET', findings_path)).body.meta).toEqual({ total: 2, limit: 50, offset: 0 });
    const { body } = await shop.finance('GET', `${findings_path}/${finding.id}`);
    const sides = {
      provider: { amount_minor: '2000', currency: 'USD' },
      ledger: { state: 'pending_provider' },
    };
    expect(body.finding).toMatchObject({ id: finding.id, raw: sides, corrections: [] });
  });

  test('is resolved with a reason, once, and taken on by somebody', async () => {
    const shop = await openShop(stack);
    const { finding } = await missing(shop);
    const at = (verb: string) => `${findings_path}/${finding.id}/${verb}`;
    for (const body of [{}, { reason: '  ' }])
      expect(await shop.finance('POST', at('resolve'), body)).toMatchObject({
        ...{ status: 400, body: { code: 'REASON_REQUIRED' } },
      });
    for (const owner of ['Fay', null])
      expect((await shop.finance('PUT', at('owner'), { owner })).body.finding).toMatchObject({ owner });
    const resolve = () => shop.finance('POST', at('resolve'), { reason: 'paid by hand', accept: true });
    const said = { id: finding.id, status: 'RESOLVED', changed: true };
    expect(await resolve()).toMatchObject({ status: 200, body: said });
    expect(await resolve()).toMatchObject({ status: 200, body: { ...said, changed: false } });
    expect((await shop.run()).body.run.stats).toMatchObject({ new: '0', reopened: '0' });
    for (const id of [randomUUID(), 'x'])
      expect(await shop.finance('POST', `${findings_path}/${id}/resolve`, { reason: 'x' })).toMatchObject({
        ...{ status: 404, body: { code: 'FINDING_NOT_FOUND' } },
      });
  });

  test('of another tenant is neither seen nor touched', async () => {
    const shop = await openShop(stack);
    const { finding } = await missing(shop);
    const { finance: other, player, ...stranger } = await openShop(stack);
    const at = `${findings_path}/${finding.id}`;
    expect(await stranger.findings()).toEqual([]);
    expect(await stranger.findings(`tx_id=${finding.tx_id}`)).toEqual([]);
    expect(await other('GET', `${findings_path}?tenant_id=${shop.tenant}`)).toMatchObject({ status: 403 });
    expect(await other('GET', at)).toMatchObject({ status: 404, body: { code: 'FINDING_NOT_FOUND' } });
    const correction = { delta_minor: '1', currency: 'USD', reason: 'mine' };
    for (const answer of [
      other('POST', `${at}/resolve`, { reason: 'mine' }),
      other('PUT', `${at}/owner`, { owner: 'me' }),
      other('POST', `${at}/correction`, correction, key()),
      player.call('GET', findings_path),
      player.call('POST', `${at}/resolve`, { reason: 'mine' }),
    ])
      expect(await answer).toMatchObject({ status: 403, body: { code: 'forbidden' } });
    expect(await shop.findings()).toMatchObject([{ status: 'OPEN', owner: null }]);
    const all = async () => (await platform('GET', `${findings_path}?tx_id=${finding.tx_id}`)).body.items;
    expect(await all()).toMatchObject([{ id: finding.id }]);
  });
});

describe('a correction', () => {
  test('below the ceiling is posted at once, resolves its finding, and its replay posts nothing', async () => {
    const shop = await openShop(stack);
    const { finding } = await missing(shop);
    const at = `${findings_path}/${finding.id}/correction`;
    const body = { delta_minor: '1000', currency: 'USD', reason: 'captured at the provider' };
    const own = await caller(stack, [`finance:${shop.tenant}`], shop.player.id);
    expect(await own('POST', at, body, key())).toMatchObject({ status: 409, body: { code: 'FOUR_EYES' } });
    const refusals: [Row, Record<string, string>, number, string][] = [
      [body, {}, 400, 'IDEMPOTENCY_KEY_REQUIRED'],
      [{ ...body, reason: ' ' }, key(), 400, 'REASON_REQUIRED'],
      [{ ...body, delta_minor: '0' }, key(), 400, 'invalid_request'],
      [{ ...body, delta_minor: 1000 }, key(), 400, 'invalid_request'],
      [{ ...body, currency: 'XXX' }, key(), 400, 'CURRENCY_UNKNOWN'],
    ];
    for (const [wish, headers, status, code] of refusals)
      expect(await shop.finance('POST', at, wish, headers)).toMatchObject({ status, body: { code } });
    const same = key();
    for (const replayed of [false, true])
      expect(await shop.finance('POST', at, body, same)).toMatchObject({
        ...{ status: 200, replayed },
        body: { correction: { state: 'posted', delta_minor: '1000' }, finding: { status: 'RESOLVED' } },
      });
    expect(await shop.finance('POST', at, body, key())).toMatchObject({ body: { code: 'FINDING_RESOLVED' } });
    expect(await shop.player.balance()).toEqual(['1000', '0', '1000']);
    expect((await shop.run()).body.run.stats).toMatchObject({ new: '0', reopened: '0' });
  });

  test('above the ceiling waits for another person', async () => {
    const shop = await openShop(stack);
    const { finding } = await missing(shop, '500');
    const ceiling = (who: Call, units: string) =>
      who('PUT', `/admin/correction-ceiling?tenant_id=${shop.tenant}`, { units });
    expect(await ceiling(shop.finance, '9')).toMatchObject({ status: 403 });
    expect(await ceiling(platform, '4')).toMatchObject({ status: 200, body: { ceiling_units: '4' } });
    const at = (verb: string) => `${findings_path}/${finding.id}/${verb}`;
    const propose = () =>
      shop.finance(
        'POST',
        at('correction'),
        { delta_minor: '500', currency: 'USD', reason: 'captured' },
        key(),
      );
    const proposed = await propose();
    expect(proposed.body).toMatchObject({ correction: { state: 'proposed' }, finding: { status: 'OPEN' } });
    for (const answer of [propose(), shop.finance('POST', at('resolve'), { reason: 'x' })])
      expect(await answer).toMatchObject({ status: 409, body: { code: 'CORRECTION_PENDING' } });
    const second = await caller(stack, [`finance:${shop.tenant}`]);
    const stranger = await caller(stack, ['finance']);
    const decide = (who: Call, action: string, reason = 'seen', id = proposed.body.correction.id) =>
      who('POST', `/payments/reconciliation/corrections/${id}/decision`, { action, reason });
    const refusals: [Promise<MoneyAnswer>, number, string][] = [
      [decide(shop.finance, 'approve'), 409, 'FOUR_EYES'],
      [decide(stranger, 'approve'), 403, 'forbidden'],
      [decide(second, 'approve', ' '), 400, 'REASON_REQUIRED'],
      [decide(second, 'bless'), 400, 'INVALID_ACTION'],
      [decide(second, 'approve', 'x', randomUUID()), 404, 'CORRECTION_NOT_FOUND'],
    ];
    for (const [answer, status, code] of refusals)
      expect(await answer).toMatchObject({ status, body: { code } });
    expect(await shop.player.balance()).toEqual(['0', '0', '0']);
    expect(await decide(second, 'reject')).toMatchObject({
      status: 200,
      body: { correction: { state: 'rejected' } },
    });
    proposed.body = (await propose()).body;
    expect((await decide(second, 'approve')).body).toMatchObject({
      ...{ correction: { state: 'posted' }, finding: { status: 'RESOLVED' } },
    });
    expect(await decide(second, 'approve')).toMatchObject({
      status: 409,
      body: { code: 'CORRECTION_DECIDED' },
    });
    expect(await shop.player.balance()).toEqual(['500', '0', '500']);
  });
});
