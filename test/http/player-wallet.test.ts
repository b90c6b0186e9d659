// A player's wallet over HTTP: keys and replays, every kind of amount, limits, and that nobody sees what is not theirs.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { violations } from '../support/money.ts';
import { type Call, caller, key, openPlayer } from '../support/money-doors.ts';
import { sharedStack } from '../support/shared-stack.ts';
import type { TestStack } from '../support/stack.ts';

let stack: TestStack;
let finance: Call;
beforeAll(async () => {
  stack = await sharedStack();
  finance = await caller(stack, ['finance']);
});
afterAll(async () => {
  expect(await violations(stack.database)).toEqual([]);
});

const adjust = (player_id: string, delta_minor: unknown, headers = key(), reason = 'a correction') =>
  finance('POST', '/admin/ledger/adjust', { player_id, delta_minor, reason }, headers);

describe('a key', () => {
  test('is required of every write of money', async () => {
    const player = await openPlayer(stack);
    const body = { amount_minor: '1', method: 'test', player_id: player.id, delta_minor: '1', reason: 'x' };
    for (const [call, path] of [
      [player.call, '/player/wallet/deposit'],
      [player.call, '/player/wallet/withdraw'],
      [finance, '/admin/ledger/adjust'],
    ] as const)
      for (const none of [{}, key(' '), key('x'.repeat(201))])
        expect(await call('POST', path, body, none)).toMatchObject({
          status: 400,
          body: { ok: false, code: 'IDEMPOTENCY_KEY_REQUIRED' },
        });
    expect(await player.balance()).toEqual(['0', '0', '0']);
  });

  test('answers the same again, whichever way the amount is written, and another body with 409 and the transaction', async () => {
    const player = await openPlayer(stack);
    const one = key('one');
    const first = await player.deposit('500', one);
    const again = await player.deposit(500, one);
    expect([first.status, first.replayed, again.status, again.replayed]).toEqual([200, false, 200, true]);
    expect(again.body.transaction).toEqual(first.body.transaction);
    expect(await player.deposit('501', one)).toMatchObject({
      status: 409,
      body: { code: 'IDEMPOTENCY_KEY_REUSE_CONFLICT', tx_id: first.body.tx_id },
    });
    const asked = await player.withdraw('100', key('two'));
    const asked_again = await player.withdraw('100', key('two'));
    expect(asked_again).toMatchObject({ status: 200, replayed: true });
    expect({ ...asked_again.body, request_id: '' }).toEqual({ ...asked.body, request_id: '' });
    expect(await player.withdraw('101', key('two'))).toMatchObject({
      status: 409,
      body: { code: 'IDEMPOTENCY_CONFLICT', tx_id: asked.body.tx_id },
    });
    expect(await player.balance()).toEqual(['400', '100', '500']);
  });

  test('keeps a refusal for good, and one key of two players is two keys', async () => {
    const [player, other] = [await openPlayer(stack), await openPlayer(stack)];
    const same = key('shared');
    expect(await player.withdraw('5', same)).toMatchObject({
      status: 400,
      body: { code: 'INSUFFICIENT_FUNDS' },
    });
    await player.deposit('100');
    await other.deposit('100');
    expect(await player.withdraw('5', same)).toMatchObject({
      status: 400,
      replayed: true,
      body: { code: 'INSUFFICIENT_FUNDS' },
    });
    expect(await other.withdraw('5', same)).toMatchObject({ status: 200, replayed: false });
  });

  test('used by 16 calls at once makes one transaction', async () => {
    const player = await openPlayer(stack);
    const same = key();
    const answers = await Promise.all(Array.from({ length: 16 }, () => player.deposit('10', same)));
    expect(new Set(answers.map(({ body }) => body.tx_id)).size).toBe(1);
    expect(answers.filter(({ replayed }) => !replayed)).toHaveLength(1);
    expect(await player.balance()).toEqual(['10', '0', '10']);
  });
});

describe('an amount', () => {
  const raw = (amount: string) => `{"amount_minor":${amount},"method":"test"}`;

  test.each(
    [
      '0',
      '-1',
      '"0"',
      '"-5"',
      '"1e3"',
      '"01"',
      '" 1"',
      '"1 "',
      '"+1"',
      '"NaN"',
      '1.005',
      '"1.00"',
      '""',
      'null',
      'true',
    ].concat(['9007199254740993', '"9223372036854775808"', '1e400', '[1]', '{"a":1}', '"0x10"', '"１"']),
  )('%s is refused with one sentence, and nothing moves', async (amount) => {
    const player = await openPlayer(stack);
    for (const path of ['deposit', 'withdraw']) {
      const answer = await player.call('POST', `/player/wallet/${path}`, raw(amount), key());
      expect(answer).toMatchObject({ status: 400, body: { ok: false, code: 'invalid_request' } });
      expect(answer.body.error).toMatch(/^[A-Za-z_ ]+ [^.]+\.$/);
    }
    expect(await player.balance()).toEqual(['0', '0', '0']);
  });

  test.each([
    '1',
    '9007199254740991',
    '9007199254740992',
    '9007199254740993',
    '1000000000000000000',
    '9223372036854775807',
  ])('%s is kept exactly', async (amount) => {
    const player = await openPlayer(stack);
    expect(await adjust(player.id, amount)).toMatchObject({
      status: 200,
      body: { idempotent_replay: false },
    });
    expect(await player.balance()).toEqual([amount, '0', amount]);
  });

  test('beyond what a balance can hold is refused, and the balance stays', async () => {
    const player = await openPlayer(stack);
    await adjust(player.id, '9223372036854775807');
    expect(await adjust(player.id, '1')).toMatchObject({
      status: 422,
      body: { code: 'BALANCE_OUT_OF_RANGE' },
    });
    for (const delta of ['0', '9223372036854775808', '1.5', 'x', 1.5])
      expect(await adjust(player.id, delta)).toMatchObject({ status: 400 });
    expect((await player.balance())[0]).toBe('9223372036854775807');
  });
});

describe('an adjustment', () => {
  test('needs a reason, is replayed, and never takes more than there is', async () => {
    const player = await openPlayer(stack);
    const same = key();
    expect(await adjust(player.id, '100', same)).toMatchObject({
      status: 200,
      body: { idempotent_replay: false },
    });
    expect(await adjust(player.id, '100', same)).toMatchObject({
      status: 200,
      body: { idempotent_replay: true },
    });
    expect(await adjust(player.id, '7', same)).toMatchObject({
      status: 409,
      body: { code: 'IDEMPOTENCY_CONFLICT' },
    });
    expect(await adjust(player.id, '5', key(), '  ')).toMatchObject({
      status: 400,
      body: { code: 'REASON_REQUIRED' },
    });
    expect(await adjust(player.id, '-101')).toMatchObject({
      status: 400,
      body: { code: 'INSUFFICIENT_FUNDS' },
    });
    expect(await adjust(player.id, '-40')).toMatchObject({ status: 200 });
    expect(await player.balance()).toEqual(['60', '0', '60']);
    expect(await adjust(randomUUID(), '1')).toMatchObject({
      status: 404,
      body: { code: 'PLAYER_NOT_FOUND' },
    });
  });
});

describe('a player', () => {
  test('registers once, with one tenant, and is shown before the first deposit', async () => {
    const call = await caller(stack);
    expect(await call('GET', '/player/wallet/balance')).toMatchObject({
      status: 404,
      body: { code: 'PLAYER_NOT_FOUND' },
    });
    for (let i = 0; i < 2; i++)
      expect(await call('POST', '/player/register', { tenant_id: 'a' })).toMatchObject({
        status: 200,
        body: { player: { tenant_id: 'a', kyc_status: 'none' } },
      });
    expect(await call('POST', '/player/register', { tenant_id: 'b' })).toMatchObject({ status: 409 });
    expect(await call('POST', '/player/kyc', {})).toMatchObject({
      body: { player: { kyc_status: 'pending' } },
    });
  });

  test('is stopped where identity or policy asks for more, with the code of the requirement', async () => {
    const player = await openPlayer(stack, 'policy', { approved: false });
    const theirs = await caller(stack, ['finance:policy']);
    expect(await player.deposit('10001')).toMatchObject({ status: 403, body: { code: 'KYC_DEPOSIT_LIMIT' } });
    expect(await player.deposit('10000')).toMatchObject({ status: 200 });
    expect(await player.withdraw('1')).toMatchObject({
      status: 403,
      body: { code: 'KYC_REQUIRED_FOR_WITHDRAWAL' },
    });
    const kyc = `/admin/players/${player.id}/kyc`;
    expect(await theirs('POST', kyc, { decision: 'rejected' })).toMatchObject({ status: 400 });
    expect(await theirs('POST', kyc, { decision: 'approved', reason: 'seen' })).toMatchObject({
      status: 200,
    });
    const platform = await caller(stack, ['platform-admin']);
    const policy = { daily_withdrawal_units: 1, withdrawals_per_minute: 1 };
    expect(await platform('PUT', '/admin/policy?tenant_id=policy', policy)).toMatchObject({ status: 200 });
    expect(await theirs('PUT', '/admin/policy', {})).toMatchObject({ status: 403 });
    expect(await player.withdraw('101')).toMatchObject({ status: 422, body: { code: 'LIMIT_EXCEEDED' } });
    expect(await player.withdraw('100')).toMatchObject({ status: 200 });
    const fast = await player.withdraw('1');
    expect(fast).toMatchObject({ status: 429, body: { code: 'VELOCITY_LIMIT_EXCEEDED' } });
    expect(fast.headers.get('retry-after')).toBe('60');
  });

  test('who is not verified deposits nothing', async () => {
    const call = await caller(stack);
    await call('POST', '/player/register', {});
    const body = { amount_minor: '1', method: 'test' };
    expect(await call('POST', '/player/wallet/deposit', body, key())).toMatchObject({
      status: 403,
      body: { code: 'AUTH_UNVERIFIED' },
    });
  });

  test('reads own transactions only, newest first, by page', async () => {
    const [player, other] = [await openPlayer(stack), await openPlayer(stack)];
    await player.deposit('10');
    await player.withdraw('3');
    await other.deposit('99');
    const all = (await player.call('GET', '/player/wallet/transactions')).body;
    expect(all.items.map(({ type, amount_minor }: Record<string, string>) => [type, amount_minor])).toEqual([
      ['withdrawal', '3'],
      ['deposit', '10'],
    ]);
    expect(all.meta).toEqual({ total: 2, page: 1, page_size: 50 });
    const second = (await player.call('GET', '/player/wallet/transactions?page=2&limit=1')).body;
    expect(second.items).toHaveLength(1);
    expect(second.items[0]).toMatchObject({ type: 'deposit', player_id: player.id });
  });

  test('without a token, with a broken body or at a path that does not exist is told so', async () => {
    const player = await openPlayer(stack);
    const response = await fetch(`${stack.url}/api/v1/player/wallet/balance`);
    expect([response.status, ((await response.json()) as { code: string }).code]).toEqual([
      401,
      'not_authenticated',
    ]);
    expect(await player.call('POST', '/player/wallet/deposit', '{', key())).toMatchObject({ status: 400 });
    expect(await player.call('GET', '/player/nothing')).toMatchObject({
      status: 404,
      body: { code: 'not_found' },
    });
    expect(await player.deposit('1', { 'x-mock-outcome': 'fail' })).toMatchObject({
      status: 200,
      body: { transaction: { state: 'failed' } },
    });
  });
});
