// Reconciliation with providers over HTTP: runs at once, queued and nightly, and what the mock provider’s own callbacks and lost
// webhooks come to.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fakeClock } from '../../local/schedule/clock.ts';
import { violations } from '../support/money.ts';
import { type Call, caller } from '../support/money-doors.ts';
import { plant } from '../support/reconciliation.ts';
import { depositAs, missing, openShop, type Row, type Shop } from '../support/shop.ts';
import { type JsonAnswer, openStack, type TestStack } from '../support/stack.ts';

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

/** How many webhooks about each were sent and taken. */
async function called(txs: Row[]): Promise<number[]> {
  const { rows } = await stack.database.query(
    `select body::jsonb ->> 'tx_id' tx, count(*)::int n from psp_callbacks where sent_at is not null group by 1`,
  );
  return txs.map(({ id }) => rows.find(({ tx }) => tx === id)?.n ?? 0);
}

describe('the mock provider', () => {
  test('calls back twice, late, out of order and over a part, and each has its right effect', async () => {
    const modes = ['duplicate', 'out_of_order', 'partial', 'timeout_then_success'] as const;
    const made = await Promise.all(
      modes.map(async (mode) => {
        const shop = await openShop(stack);
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
    const last = [done, done, open, done].map((state, n) => [modes[n], ...state]);
    await eventually(async () => {
      expect(await cron('payments-process')).toMatchObject({ status: 200, body: { ok: true, dead: '0' } });
      return [await states(), await called(made.map(({ tx }) => tx))];
    }).toEqual([last, [2, 2, 1, 1]]);
    expect(await made[2]?.shop.findings()).toMatchObject([
      { finding_type: 'amount_mismatch', tx_id: made[2]?.tx.id },
    ]);
    const { rows } = await stack.database.query(
      'select type, signature from provider_events where tx_id = $1 order by received_at',
      [made[1]?.tx.id],
    );
    expect(rows.map(({ type, signature }) => `${type} ${signature}`)).toEqual([
      ...['deposit_captured valid', 'deposit_authorized valid'],
    ]);
    expect(await cron('payments-process')).toMatchObject({ body: { sent: 0, waiting: '0' } });
  });

  test('whose webhooks were lost is listened to by the catch-up', async () => {
    const shop = await openShop(stack);
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
    const shop = await openShop(stack);
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
    const shop = await openShop(stack);
    const stranger = await openShop(stack);
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
    const { player, finance } = await openShop(stack);
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
    const shop = await openShop(stack);
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
