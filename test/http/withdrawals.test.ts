// Withdrawals over HTTP: the way of a player's money from deposit to payment, who may do what with it, and what finance sees.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { demoPlayer } from '../../local/demo-player.ts';
import { violations } from '../support/money.ts';
import { type Call, caller, key, openPlayer, type Player } from '../support/money-doors.ts';
import { openStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;
let finance: Call;
beforeAll(async () => {
  stack = await openStack();
  finance = await caller(stack, ['finance']);
});
afterAll(async () => {
  expect(await violations(stack.database)).toEqual([]);
  await stack.close();
});

const at = (tx: string, verb: string) => `/finance/withdrawals/${tx}/${verb}`;
const review = (tx: string, action: string, reason = 'checked') =>
  finance('POST', at(tx, 'review'), { action, reason });
const listed = async (state: string) =>
  (await finance('GET', `/finance/withdrawals?state=${state}&limit=200`)).body.items as Record<
    string,
    unknown
  >[];
const found = async (state: string, tx: string) => (await listed(state)).find(({ tx_id }) => tx_id === tx);

async function requested(amount = '1000'): Promise<{ player: Player; tx: string }> {
  const player = await openPlayer(stack);
  await player.deposit('1500');
  const { body } = await player.withdraw(amount);
  return { player, tx: body.transaction.tx_id };
}

async function approved() {
  const made = await requested();
  await review(made.tx, 'approve');
  return made;
}

const stateOf = async (tx: string): Promise<string> =>
  (await finance('GET', `/finance/withdrawals/${tx}`)).body.transaction.state;

describe('the smoke of the requirement', () => {
  test('from registration to payment, and a second approval is too late', async () => {
    const { player, tx } = await requested();
    expect(await player.balance()).toEqual(['500', '1000', '1500']);
    expect(await found('requested', tx)).toMatchObject({
      player_id: player.id,
      amount_minor: '1000',
      status: 'pending',
    });
    const after = (await found('requested', tx))?.balance_after;
    expect(await review(tx, 'approve')).toMatchObject({ status: 200 });
    expect(await found('approved', tx)).toMatchObject({ balance_after: after });
    expect(await review(tx, 'approve')).toMatchObject({ status: 200, body: { changed: false } });
    expect(await finance('POST', at(tx, 'mark-paid'), { reason: 'by wire' })).toMatchObject({
      status: 200,
      body: { transaction: { state: 'paid', provider: 'manual' } },
    });
    expect(await found('paid', tx)).toBeDefined();
    expect(await review(tx, 'approve')).toMatchObject({
      status: 409,
      body: {
        ok: false,
        code: 'ILLEGAL_TRANSACTION_STATE_TRANSITION',
        from_state: 'paid',
        to_state: 'approved',
      },
    });
    expect(await player.balance()).toEqual(['500', '0', '500']);
  });

  test('the demo player is ready for it after a local start, at each start', async () => {
    for (let i = 0; i < 2; i++) await demoPlayer(stack.url, stack.issuer);
    const { body } = await finance('GET', '/admin/players/0d000000-0000-4000-8000-000000000006/wallet');
    expect(body.player).toMatchObject({ email_verified: true, sms_verified: true, kyc_status: 'approved' });
  });
});

describe('a payout', () => {
  test('before the approval is refused with 409, and needs a key', async () => {
    const { tx } = await requested();
    expect(await finance('POST', at(tx, 'payout'), {}, key())).toMatchObject({
      status: 409,
      body: { code: 'INVALID_STATE_TRANSITION' },
    });
    expect(await finance('POST', at(tx, 'payout'), {})).toMatchObject({
      status: 400,
      body: { code: 'IDEMPOTENCY_KEY_REQUIRED' },
    });
  });

  test('pays, and its replay says the same', async () => {
    const { player, tx } = await approved();
    const same = key();
    const first = await finance('POST', at(tx, 'payout'), {}, same);
    expect(first).toMatchObject({
      status: 200,
      replayed: false,
      body: { transaction: { state: 'paid' }, payout_attempt: { status: 'succeeded', provider: 'mockpsp' } },
    });
    const again = await finance('POST', at(tx, 'payout'), {}, same);
    expect(again).toMatchObject({ status: 200, replayed: true });
    expect(again.body.payout_attempt).toEqual(first.body.payout_attempt);
    expect(await player.balance()).toEqual(['500', '0', '500']);
  });

  test('that fails keeps the money held; a retry waits, and a rejection gives it back', async () => {
    const { player, tx } = await approved();
    const failed = await finance('POST', at(tx, 'payout'), {}, { ...key(), 'x-mock-outcome': 'fail' });
    expect(failed.body).toMatchObject({
      transaction: { state: 'payout_failed' },
      payout_attempt: { status: 'failed', error_code: 'PSP_PAYOUT_FAILED' },
    });
    expect(await player.balance()).toEqual(['500', '1000', '1500']);
    const early = await finance('POST', at(tx, 'retry'), { reason: 'again' }, key());
    expect(early).toMatchObject({ status: 429, body: { code: 'PAYMENT_COOLDOWN_ACTIVE' } });
    expect(Number(early.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await review(tx, 'reject', 'not payable')).toMatchObject({ status: 200 });
    expect(await player.balance()).toEqual(['1500', '0', '1500']);
  });

  test('without an answer is unknown and blocks a second one until a recheck settles it', async () => {
    const { tx } = await approved();
    await finance('POST', at(tx, 'payout'), {}, { ...key(), 'x-mock-outcome': 'timeout' });
    expect(await stateOf(tx)).toBe('unknown');
    expect(await finance('POST', at(tx, 'payout'), {}, key())).toMatchObject({ status: 409 });
    expect(await finance('POST', at(tx, 'mark-paid'), { reason: 'x' })).toMatchObject({ status: 409 });
    expect((await finance('POST', at(tx, 'recheck'), {}, key())).body.transaction.state).toBe('paid');
    expect(await finance('POST', at(tx, 'recheck'), {}, key())).toMatchObject({ status: 409 });
  });

  test('of one withdrawal by many at once is one debit', async () => {
    const { player, tx } = await approved();
    await Promise.all(
      Array.from({ length: 12 }, (_, n) =>
        n % 3 === 0
          ? finance('POST', at(tx, 'mark-paid'), { reason: 'by wire' })
          : n % 3 === 1
            ? finance('POST', at(tx, 'payout'), {}, key())
            : finance('POST', at(tx, 'recheck'), {}, key()),
      ),
    );
    expect([await stateOf(tx), await player.balance()]).toEqual(['paid', ['500', '0', '500']]);
  });
});

describe('finance', () => {
  test('gives a reason, names what exists, and decides about nothing of its own', async () => {
    const { tx, player } = await requested();
    expect(await review(tx, 'approve', '  ')).toMatchObject({
      status: 400,
      body: { code: 'REASON_REQUIRED' },
    });
    expect(await review(tx, 'bless')).toMatchObject({ status: 400, body: { code: 'INVALID_ACTION' } });
    for (const id of [randomUUID(), 'nothing'])
      expect(await review(id, 'approve')).toMatchObject({ status: 404, body: { code: 'TX_NOT_FOUND' } });
    const both = await caller(stack, ['finance'], player.id);
    expect(await both('POST', at(tx, 'review'), { action: 'approve', reason: 'mine' })).toMatchObject({
      status: 409,
      body: { code: 'FOUR_EYES' },
    });
  });

  test('of another tenant sees and moves nothing, and a player is no finance', async () => {
    const { tx, player } = await requested();
    const other = await caller(stack, ['finance:other']);
    expect((await other('GET', '/finance/withdrawals')).body.meta.total).toBe(0);
    expect((await other('GET', `/finance/withdrawals/export`)).text.split('\r\n')).toHaveLength(2);
    for (const path of [`/finance/withdrawals/${tx}`, `/admin/players/${player.id}/wallet`])
      expect(await other('GET', path)).toMatchObject({ status: 404 });
    expect(await other('POST', at(tx, 'review'), { action: 'approve', reason: 'x' })).toMatchObject({
      status: 404,
    });
    expect(await other('GET', '/finance/withdrawals?tenant_id=default')).toMatchObject({ status: 403 });
    const adjust = { player_id: player.id, delta_minor: '1', reason: 'x' };
    expect(await other('POST', '/admin/ledger/adjust', adjust, key())).toMatchObject({ status: 404 });
    expect(await player.call('GET', '/finance/withdrawals')).toMatchObject({ status: 403 });
    expect(await player.call('POST', at(tx, 'review'), { action: 'approve', reason: 'x' })).toMatchObject({
      status: 403,
    });
    const platform = await caller(stack, ['platform-admin']);
    expect((await platform('GET', '/finance/withdrawals?tenant_id=other')).body.meta.total).toBe(0);
    expect(await platform('GET', `/finance/withdrawals/${tx}`)).toMatchObject({ status: 200 });
  });

  test('lists by state, player, amount and date, by page and by cursor', async () => {
    const player = await openPlayer(stack, 'listed');
    const theirs = await caller(stack, ['finance:listed']);
    await player.deposit('1000');
    for (let n = 1; n <= 5; n++) await player.withdraw(String(n));
    const get = async (query: string) => (await theirs('GET', `/finance/withdrawals?${query}`)).body;
    const amounts = ({ items }: { items: { amount_minor: string }[] }) =>
      items.map(({ amount_minor }) => amount_minor);
    expect(amounts(await get(''))).toEqual(['5', '4', '3', '2', '1']);
    const offset = await get('limit=2&offset=3');
    expect([amounts(offset), offset.meta]).toEqual([['2', '1'], { total: 5, limit: 2, offset: 3 }]);
    const pages: string[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const page: { items: { amount_minor: string }[]; next_cursor: string | null } = await get(
        `sort=created_at_asc&limit=2${cursor && `&cursor=${cursor}`}`,
      );
      pages.push(...amounts(page));
      cursor = page.next_cursor;
    }
    expect(pages).toEqual(['1', '2', '3', '4', '5']);
    expect(amounts(await get('min_amount=2&max_amount=3'))).toEqual(['3', '2']);
    expect(amounts(await get(`player_id=${randomUUID()}`))).toEqual([]);
    expect(amounts(await get('date_to=2020-01-01'))).toEqual([]);
    expect(amounts(await get('state=paid'))).toEqual([]);
    for (const query of ['state=gone', 'limit=0', 'offset=-1', 'sort=amount', 'date_from=x', 'cursor=x'])
      expect(await theirs('GET', `/finance/withdrawals?${query}`)).toMatchObject({ status: 400 });
  });

  test('exports what opens in a spreadsheet without a formula of a stranger', async () => {
    const player = await openPlayer(stack, 'exported');
    await player.deposit('1000');
    const address = '=HYPERLINK("http://evil.example","a, b")';
    await player.call(
      'POST',
      '/player/wallet/withdraw',
      { amount_minor: '7', method: 'test_bank', address },
      key(),
    );
    const file = await (await caller(stack, ['finance:exported']))('GET', '/finance/withdrawals/export');
    expect(file.headers.get('content-type')).toBe('text/csv; charset=utf-8');
    const [header, row, end] = file.text.split('\r\n');
    expect(header).toMatch(/^tx_id,player_id,amount_minor,/);
    expect(row).toContain(`,7,USD,test_bank,"'=HYPERLINK(""http://evil.example"",""a, b"")",requested,`);
    expect(end).toBe('');
  });
});

test('of 50 withdrawals of 80 at once from a balance of 100 exactly one succeeds', async () => {
  const player = await openPlayer(stack);
  await player.deposit('100');
  const answers = await Promise.all(Array.from({ length: 50 }, () => player.withdraw('80')));
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
  expect(
    answers.filter(({ status, body }) => status === 400 && body.code === 'INSUFFICIENT_FUNDS'),
  ).toHaveLength(49);
  expect(await player.balance()).toEqual(['20', '80', '100']);
});
