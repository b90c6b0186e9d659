// Reconciliation with providers over HTTP: runs at once, queued and nightly, findings and what people do with them, and what
// the mock provider’s own callbacks and lost webhooks come to.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fakeClock } from '../../local/schedule/clock.ts';
import { violations } from '../support/money.ts';
import { type Call, caller, key, type MoneyAnswer, openPlayer, type Player } from '../support/money-doors.ts';
import { plant } from '../support/reconciliation.ts';
import { type JsonAnswer, openStack, type TestStack } from '../support/stack.ts';

const findings_path = '/payments/reconciliation/findings';
const day_ms = 86_400_000;
let stack: TestStack;
let platform: Call;
let secret: string;
beforeAll(async () => {
  stack = await openStack({ clock: fakeClock(new Date()) }); // no schedule takes a callback away from a test
  platform = await caller(stack, ['platform-admin']);
  secret = stack.state.secret(
    stack.resource('AWS::SecretsManager::Secret', 'CronSecret').ref.split(':').at(-1) ?? '',
  );
});
afterAll(async () => {
  expect(await violations(stack.database)).toEqual([]);
  await stack.close();
});

// biome-ignore lint/suspicious/noExplicitAny: tests read fields of many shapes
type Row = Record<string, any>;
interface Shop {
  tenant: string;
  player: Player;
  finance: Call;
  run(): Promise<MoneyAnswer>;
  findings(query?: string): Promise<Row[]>;
}

/** A tenant of its own: its runs and findings are nobody else's. */
async function openShop(): Promise<Shop> {
  const tenant = `t-${randomUUID().slice(0, 13)}`;
  const [player, finance] = [await openPlayer(stack, tenant), await caller(stack, [`finance:${tenant}`])];
  return {
    ...{ tenant, player, finance },
    run: () => finance('POST', '/payments/reconciliation/run?provider=mockpsp'),
    findings: async (query = '') => (await finance('GET', `${findings_path}?${query}`)).body.items,
  };
}

const depositAs = async (player: Player, outcome: string, amount = '1000'): Promise<Row> =>
  (await player.deposit(amount, { 'x-mock-outcome': outcome })).body.transaction;

async function cron(path: string, bearer = secret): Promise<JsonAnswer> {
  const response = await fetch(`${stack.url}/api/cron/${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${bearer}` },
  });
  return { status: response.status, body: await response.json() };
}
const stateOf = async ({ player }: Shop, tx: string): Promise<[string, string]> => {
  const { items } = (await player.call('GET', '/player/wallet/transactions')).body;
  return [items.find(({ id }: Row) => id === tx).state, (await player.balance())[2]];
};
const eventually = (read: () => Promise<unknown>) => expect.poll(read, { timeout: 15_000, interval: 100 });

/** A deposit that the provider has captured and told nobody of, and its finding. */
async function missing(shop: Shop, amount = '1000'): Promise<{ tx: Row; finding: Row }> {
  const tx = await depositAs(shop.player, 'lost', amount);
  expect((await shop.run()).body).toMatchObject({ status: 'ok', run: { stats: { new: '1' } } });
  const [finding = {}] = await shop.findings(`tx_id=${tx.id}`);
  expect(finding).toMatchObject({ finding_type: 'missing_in_ledger', severity: 'ERROR', status: 'OPEN' });
  return { tx, finding };
}

describe('the mock provider', () => {
  test('calls back twice, late, out of order and over a part, and each has its right effect', async () => {
    const modes = ['duplicate', 'out_of_order', 'partial', 'timeout_then_success'] as const;
    const made = await Promise.all(
      modes.map(async (mode) => {
        const shop = await openShop();
        return { mode, shop, tx: await depositAs(shop.player, mode) };
      }),
    );
    const states = () =>
      Promise.all(made.map(async ({ mode, shop, tx }) => [mode, ...(await stateOf(shop, tx.id))]));
    expect(await cron('payments-process', 'x')).toMatchObject({
      status: 403,
      body: { code: 'CRON_FORBIDDEN' },
    });
    const done = ['completed', '1000'];
    const open = ['pending_provider', '0'];
    const first = [done, done, open, open].map((state, n) => [modes[n], ...state]);
    expect(await states()).toEqual(first);
    expect(await cron('payments-process')).toMatchObject({ status: 200, body: { ok: true, sent: 4 } });
    await eventually(() => made[2]?.shop.findings() ?? Promise.resolve([])).toMatchObject([
      { finding_type: 'amount_mismatch', tx_id: made[2]?.tx.id },
    ]);
    expect(await states()).toEqual(first);
    await new Promise((wait) => setTimeout(wait, 3_000));
    expect(await cron('payments-process')).toMatchObject({ status: 200, body: { sent: 2 } });
    const last = [done, done, open, done].map((state, n) => [modes[n], ...state]);
    await eventually(states).toEqual(last);
    const { rows } = await stack.database.query(
      `select type, signature from provider_events where tx_id = $1 order by received_at`,
      [made[1]?.tx.id],
    );
    expect(rows).toEqual(
      ['deposit_captured', 'deposit_authorized'].map((type) => ({ type, signature: 'valid' })),
    );
    expect(await cron('payments-process')).toMatchObject({ body: { sent: 0, waiting: '0', dead: '0' } });
  });

  test('whose webhooks were lost is listened to by the catch-up', async () => {
    const shop = await openShop();
    const tx = await depositAs(shop.player, 'lost');
    expect(await stateOf(shop, tx.id)).toEqual(['pending_provider', '0']);
    expect(await cron('payments-match/catch-up')).toMatchObject({ status: 200, body: { ok: true } });
    await eventually(() => stateOf(shop, tx.id)).toEqual(['completed', '1000']);
    expect(await cron('payments-match/catch-up')).toMatchObject({ body: { runs: 0, caught_up: 0 } });
    expect(await stateOf(shop, tx.id)).toEqual(['completed', '1000']);
  });
});

describe('the nightly job', () => {
  test('finds what is missing, brings it in, and resolves it by the next run', async () => {
    const shop = await openShop();
    const tx = await depositAs(shop.player, 'lost');
    const tomorrow = new Date(Date.now() + day_ms).toISOString().slice(0, 10);
    const nightly = () =>
      stack.functions.invoke(stack.functionName('match'), { scheduled_time: `${tomorrow}T04:00:00Z` });
    expect(await nightly()).toMatchObject({ ok: true, value: { ok: true, runs: 1, failed: '' } });
    expect(await shop.findings()).toMatchObject([{ finding_type: 'missing_in_ledger', tx_id: tx.id }]);
    await eventually(() => stateOf(shop, tx.id)).toEqual(['completed', '1000']);
    expect(await nightly()).toMatchObject({ ok: true, value: { runs: 0, caught_up: 0 } });
    expect((await shop.run()).body.run.stats).toMatchObject({ new: '0', resolved: '1', differences: {} });
    expect(await shop.findings('status=RESOLVED')).toMatchObject([
      { resolved_by: 'system:reconciliation', tx_id: tx.id },
    ]);
  });
});

describe('a run', () => {
  test('is queued, worked on by the match function, and read by its tenant only', async () => {
    const shop = await openShop();
    const stranger = await openShop();
    const tx = await depositAs(shop.player, 'lost');
    const [window_start, window_end] = [-day_ms, day_ms].map((ms) => new Date(Date.now() + ms).toISOString());
    const order = { provider: 'mockpsp', window_start, window_end, idempotency_key: 'mine' };
    const queued = await shop.finance('POST', '/reconciliation/runs', order);
    expect(queued).toMatchObject({
      status: 200,
      replayed: false,
      body: { run: { status: 'queued', dry_run: false } },
    });
    const { id } = queued.body.run;
    const read = () => shop.finance('GET', `/reconciliation/runs/${id}`);
    await eventually(async () => (await read()).body.run.status).toBe('completed');
    expect((await read()).body.run).toMatchObject({
      tenant_id: shop.tenant,
      stats: { complete: true, new: '1' },
    });
    expect(await shop.findings()).toMatchObject([{ tx_id: tx.id, run_id: id }]);
    const again = await shop.finance('POST', '/reconciliation/runs', order);
    expect(again).toMatchObject({ status: 200, replayed: true, body: { run: { id, status: 'completed' } } });
    expect(await shop.finance('POST', '/reconciliation/runs', { ...order, dry_run: true })).toMatchObject({
      ...{ status: 409, body: { code: 'IDEMPOTENCY_CONFLICT' } },
    });
    expect(await stranger.finance('POST', '/reconciliation/runs', order)).toMatchObject({
      status: 200,
      replayed: false,
    });
    for (const path of [id, randomUUID(), 'x'])
      expect(await stranger.finance('GET', `/reconciliation/runs/${path}`)).toMatchObject({
        ...{ status: 404, body: { code: 'RUN_NOT_FOUND' } },
      });
    expect(await platform('GET', `/reconciliation/runs/${id}`)).toMatchObject({ status: 200 });
    await shop.run();
    const list = async (query: string) => (await shop.finance('GET', `/reconciliation/runs?${query}`)).body;
    expect((await list('')).meta).toEqual({ total: 2, limit: 50, offset: 0 });
    expect((await list('limit=1&offset=1&provider=mockpsp')).items.map((run: Row) => run.id)).toEqual([id]);
    expect((await list('provider=stripe')).items).toEqual([]);
  });

  test('is for finance, over a provider that lists, and a window that is one', async () => {
    const { player, finance } = await openShop();
    const run = (provider: string, who: Call = finance) =>
      who('POST', `/payments/reconciliation/run?provider=${provider}`);
    for (const provider of ['zzz', 'paynow', ''])
      expect(await run(provider)).toMatchObject({ status: 400, body: { code: 'UNSUPPORTED_PROVIDER' } });
    expect(await run('mockpsp', player.call)).toMatchObject({ status: 403 });
    expect(await run('mockpsp&tenant_id=default')).toMatchObject({ status: 403 });
    const at = (ms: number) => new Date(Date.now() + ms).toISOString();
    const order = { provider: 'mockpsp', window_start: at(-day_ms), window_end: at(0) };
    for (const change of [
      ...[{ window_start: at(day_ms) }, { window_start: at(-40 * day_ms) }, { window_end: 'soon' }],
      ...[{ dry_run: 'yes' }, { provider: undefined }, { tenant_id: 'default' }, { idempotency_key: '' }],
    ])
      expect(await finance('POST', '/reconciliation/runs', { ...order, ...change })).toMatchObject({
        ...{ status: 400, body: { code: 'invalid_request' } },
      });
    expect(await player.call('POST', '/reconciliation/runs', order)).toMatchObject({ status: 403 });
  });

  test('over a list with a gap is incomplete and concludes nothing', async () => {
    const shop = await openShop();
    const { tx, finding } = await missing(shop);
    await depositAs(shop.player, 'lost');
    await plant(stack.database, `update psp_events set no = no + 1000 where tx_id = '${tx.id}'`);
    const { body } = await shop.run();
    await plant(stack.database, `update psp_events set no = no - 1000 where tx_id = '${tx.id}'`);
    expect(body).toMatchObject({
      status: 'incomplete',
      run: { status: 'incomplete', error: { code: 'FEED_INCOMPLETE' } },
    });
    expect(await shop.findings()).toMatchObject([
      { id: finding.id, status: 'OPEN', seen_at: finding.seen_at },
    ]);
  });
});

describe('a finding', () => {
  test('is listed by each filter, by page, and with both sides by its id', async () => {
    const shop = await openShop();
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
    const shop = await openShop();
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
    const shop = await openShop();
    const { finding } = await missing(shop);
    const { finance: other, player, ...stranger } = await openShop();
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
    const shop = await openShop();
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
    const shop = await openShop();
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
