// Payouts: a withdrawal is debited once whichever path comes first, nothing is paid while an answer is missing, and a call that
// died between its steps ends as if it had not. SEEDS sets how many random races are run.
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDatabase, type TestDatabase } from '../support/database.ts';
import { violations } from '../support/money.ts';
import { random } from '../support/random.ts';
import {
  act,
  approve,
  ask,
  deposit,
  findings,
  ledgerOf,
  newPlayer,
  outcome,
  pay,
  reject,
  setFlag,
  settle,
  tenant,
  withdraw,
} from '../support/withdrawals.ts';

const seeds = Number(process.env.SEEDS ?? 5);
const racers = 8;

let database: TestDatabase;
let money: pg.Client;
let root: pg.Client;
let clients: pg.Client[];
beforeAll(async () => {
  database = await openDatabase();
  root = database.superuser;
  money = await database.as('kernel_money');
  clients = await Promise.all(Array.from({ length: racers }, () => database.as('kernel_money')));
  await ask(root, `apply_stage_defaults('dev')`);
});
afterAll(async () => {
  expect(await violations(root)).toEqual([]);
  await database.close();
});

async function requested(): Promise<{ player: string; tx: string }> {
  const player = await newPlayer(money);
  await deposit(money, player, '100');
  return { player, tx: (await withdraw(money, player, '80')).tx_id };
}

async function approved() {
  const made = await requested();
  await approve(money, made.tx);
  return made;
}

const attempts = async (tx: string): Promise<string[]> =>
  (
    await root.query(
      'select provider, status from payout_attempts where withdraw_tx_id = $1 order by attempt_no',
      [tx],
    )
  ).rows.map(({ provider, status }) => `${provider} ${status}`);

/** What the provider really paid for a withdrawal. */
const paidOut = async (tx: string): Promise<number> =>
  (await root.query(`select count(*)::int n from psp_events where tx_id = $1 and status = 'PAID'`, [tx]))
    .rows[0].n;

const cooled = () => ask(money, 'set_money_policy($1, $2, $3)', tenant, { payout_cooldown_s: 0 }, 'test');
const usual = () => ask(money, 'set_money_policy($1, $2, $3)', tenant, {}, 'test');

describe('a payout', () => {
  test('pays an approved withdrawal, once, and its key is one attempt', async () => {
    const { player, tx } = await requested();
    expect(await act(money, 'payout', tx)).toMatchObject({ code: 'INVALID_STATE_TRANSITION' });
    await approve(money, tx);
    const key = randomUUID();
    const { attempt_id } = await act(money, 'payout', tx, {}, { key });
    expect(await act(money, 'payout', tx, {}, { key })).toMatchObject({ attempt_id, replayed: true });
    expect(await act(money, 'payout', tx, {}, { key, actor: randomUUID() })).toMatchObject({ attempt_id });
    expect(await act(money, 'payout', tx)).toMatchObject({ code: 'INVALID_STATE_TRANSITION' });
    for (let i = 0; i < 3; i++) await settle(money, tx, attempt_id);
    expect(await outcome(root, tx)).toEqual(['paid', 1]);
    expect(await act(money, 'payout', tx)).toMatchObject({ code: 'INVALID_STATE_TRANSITION' });
    expect(await approve(money, tx)).toMatchObject({ code: 'ILLEGAL_TRANSACTION_STATE_TRANSITION' });
    expect([await attempts(tx), await ledgerOf(root, player)]).toEqual([['mockpsp succeeded'], ['20', '0']]);
  });

  test('that fails keeps the money held, and is retried or rejected', async () => {
    const { player, tx } = await approved();
    await pay(money, 'payout', tx, 'fail');
    expect([await outcome(root, tx), await ledgerOf(root, player)]).toEqual([
      ['payout_failed', 0],
      ['20', '80'],
    ]);
    await pay(money, 'payout', tx, 'fail');
    expect(await reject(money, tx)).toMatchObject({ changed: true });
    expect([await outcome(root, tx), await ledgerOf(root, player)]).toEqual([
      ['rejected', 0],
      ['100', '0'],
    ]);
  });

  test('is retried after the cooldown only, with a reason, and three times at most', async () => {
    const { tx } = await approved();
    await pay(money, 'payout', tx, 'fail');
    const again = (body: object = { reason: 'try again' }) => pay(money, 'retry', tx, 'fail', body);
    expect(await again({})).toMatchObject({ code: 'REASON_REQUIRED' });
    const early = await again();
    expect(early).toMatchObject({ code: 'PAYMENT_COOLDOWN_ACTIVE' });
    expect(early.retry_after_s).toBeGreaterThan(50);
    await cooled();
    const started = await act(money, 'retry', tx, { reason: 'x' }, { key: null });
    expect(await act(money, 'retry', tx, { reason: 'x' }, { key: null })).toEqual(started);
    await settle(money, tx, started.attempt_id, 'fail');
    for (let i = 0; i < 2; i++) expect(await again()).toMatchObject({ outcome: 'done' });
    expect(await attempts(tx)).toHaveLength(4);
    expect(await again()).toMatchObject({ code: 'PAYMENT_RETRY_LIMIT_EXCEEDED' });
    expect(await act(money, 'payout', tx)).toMatchObject({ code: 'PAYMENT_RETRY_LIMIT_EXCEEDED' });
    await usual();
  });

  test.each(['paid', 'failed'])(
    'that is not answered blocks every other one until a recheck says it is %s',
    async (said) => {
      const { tx } = await approved();
      const { attempt_id } = await pay(money, 'payout', tx, 'timeout');
      expect(await outcome(root, tx)).toEqual(['unknown', 0]);
      for (const verb of ['payout', 'retry'] as const)
        expect(await act(money, verb, tx, { reason: 'x' })).toMatchObject({
          code: 'INVALID_STATE_TRANSITION',
        });
      for (const other of [reject(money, tx), act(money, 'mark_paid', tx, { reason: 'x' })])
        expect(await other).toMatchObject({ code: 'ILLEGAL_TRANSACTION_STATE_TRANSITION' });
      await pay(money, 'recheck', tx, 'pending');
      expect(await outcome(root, tx)).toEqual(['unknown', 0]);
      expect(await pay(money, 'recheck', tx, said)).toMatchObject({ attempt_id });
      expect(await outcome(root, tx)).toEqual(said === 'paid' ? ['paid', 1] : ['payout_failed', 0]);
    },
  );

  test('is never given to the mock provider where test methods are not allowed, but may be paid by hand', async () => {
    const { tx } = await approved();
    await setFlag(root, 'allow_test_payment_methods', false);
    const refused = await pay(money, 'payout', tx, 'fail');
    await setFlag(root, 'allow_test_payment_methods', null);
    expect(refused).toMatchObject({ code: 'PROVIDER_NOT_CONFIGURED' });
    expect(await outcome(root, tx)).toEqual(['approved', 0]);
    await act(money, 'mark_paid', tx, { reason: 'by bank' });
    expect(await outcome(root, tx)).toEqual(['paid', 1]);
  });
});

describe('a manual settlement', () => {
  test('pays an approved withdrawal with a reason and an attempt of its own, and is done once', async () => {
    const { player, tx } = await requested();
    const mark = (reason: string, actor?: string) =>
      act(money, 'mark_paid', tx, { reason }, actor === undefined ? {} : { actor });
    expect(await mark('by wire')).toMatchObject({ code: 'ILLEGAL_TRANSACTION_STATE_TRANSITION' });
    await approve(money, tx);
    expect(await mark(' ')).toMatchObject({ code: 'REASON_REQUIRED' });
    expect(await mark('by wire', player)).toMatchObject({ code: 'FOUR_EYES' });
    expect(await mark('by wire')).toMatchObject({ changed: true });
    expect(await mark('by wire')).toMatchObject({ changed: false });
    expect([await outcome(root, tx), await attempts(tx)]).toEqual([['paid', 1], ['manual succeeded']]);
  });
});

describe('a provider that is late', () => {
  test('and says it paid what had failed, settles it', async () => {
    const { tx } = await approved();
    const { attempt_id } = await pay(money, 'payout', tx, 'fail');
    const late = { provider_event_id: `late:${tx}` };
    for (let i = 0; i < 2; i++)
      await ask(money, 'settle_payout($1, $2, $3, $4)', tenant, attempt_id, 'PAID', late);
    expect([await outcome(root, tx), await attempts(tx)]).toEqual([['paid', 1], ['mockpsp succeeded']]);
  });

  test('and says it paid what was rejected meanwhile, or was paid by another try, is a finding and no debit', async () => {
    const first = await approved();
    const lost = await pay(money, 'payout', first.tx, 'fail');
    await reject(money, first.tx);
    await ask(money, 'settle_payout($1, $2, $3, $4)', tenant, lost.attempt_id, 'PAID', {
      provider_event_id: 'late-1',
    });
    expect(await outcome(root, first.tx)).toEqual(['rejected', 0]);
    expect(await findings(root, first.player)).toEqual(['paid_after_rejection']);
    const second = await approved();
    const failed = await pay(money, 'payout', second.tx, 'fail');
    await pay(money, 'payout', second.tx);
    await ask(money, 'settle_payout($1, $2, $3, $4)', tenant, failed.attempt_id, 'PAID', {
      provider_event_id: 'late-2',
    });
    expect(await outcome(root, second.tx)).toEqual(['paid', 1]);
    expect(await findings(root, second.player)).toEqual(['duplicate_payout']);
  });

  test('and takes back what it had confirmed, is a finding', async () => {
    const { player, tx } = await approved();
    const { attempt_id } = await pay(money, 'payout', tx);
    await ask(money, 'settle_payout($1, $2, $3, $4)', tenant, attempt_id, 'FAILED', {
      provider_event_id: `x:${tx}`,
    });
    expect([await outcome(root, tx), await findings(root, player)]).toEqual([
      ['paid', 1],
      ['failed_after_payment'],
    ]);
  });
});

describe('a payout that died', () => {
  test.each([
    ['before the provider was called', false],
    ['after the provider had paid', true],
  ])('%s ends by a repetition or by a recheck as one that did not', async (_when, called) => {
    for (const way of ['payout', 'recheck'] as const) {
      const { player, tx } = await approved();
      const key = randomUUID();
      const { attempt_id } = await act(money, 'payout', tx, {}, { key });
      const { order } = await ask(money, 'read_withdrawal($1, $2, $3)', tenant, tx, attempt_id);
      if (called) await ask(money, 'mockpsp($1, $2, $3, null)', 'payout_withdrawal', order.key, order);
      expect(await outcome(root, tx)).toEqual(['payout_pending', 0]);
      const next = await act(money, way, tx, {}, way === 'payout' ? { key } : {});
      expect(next).toMatchObject({ attempt_id });
      await settle(money, tx, attempt_id);
      expect([await outcome(root, tx), await attempts(tx)]).toEqual([['paid', 1], ['mockpsp succeeded']]);
      expect([await ledgerOf(root, player), await paidOut(tx)]).toEqual([['20', '0'], 1]);
    }
  });
});

test(`approve, reject, manual settlement, payout, callback and recheck at once end in one state with one debit (${seeds} seeds)`, async () => {
  await cooled();
  for (let seed = 1; seed <= seeds; seed++) {
    const source = random(seed);
    const { player, tx } = await requested();
    const callback = async (client: pg.Client) => {
      const { rows } = await client.query('select read_withdrawal($1, $2) w', [tenant, tx]);
      const attempt = rows[0].w.payout_attempts.findLast(
        ({ provider }: { provider: string }) => provider === 'mockpsp',
      );
      if (attempt) await settle(client, tx, attempt.id, source.below(2) ? 'success' : 'fail');
    };
    const steps: ((client: pg.Client) => Promise<unknown>)[] = [
      (client) => approve(client, tx),
      (client) => approve(client, tx),
      (client) => reject(client, tx),
      (client) => pay(client, 'payout', tx, ['success', 'fail', 'timeout'][source.below(3)]),
      (client) => pay(client, 'recheck', tx, ['paid', 'failed', 'pending'][source.below(3)]),
      (client) => pay(client, 'retry', tx, null, { reason: 'again' }),
      (client) => act(client, 'mark_paid', tx, { reason: 'by wire' }),
      callback,
    ];
    await Promise.all(
      clients.map(async (client) => {
        for (let i = 0; i < 12; i++) await steps[source.below(steps.length)]?.(client);
      }),
    );
    // whatever is still open is closed now
    await approve(money, tx);
    await pay(money, 'recheck', tx, 'paid');
    await pay(money, 'payout', tx);
    const state = await outcome(root, tx);
    if (state[0] === 'payout_failed') await reject(money, tx);
    const [end, debits] = await outcome(root, tx);
    expect([seed, end, debits]).toEqual([seed, end === 'paid' ? 'paid' : 'rejected', end === 'paid' ? 1 : 0]);
    expect(await ledgerOf(root, player)).toEqual(end === 'paid' ? ['20', '0'] : ['100', '0']);
    const manual = (await attempts(tx)).includes('manual succeeded') ? 1 : 0;
    expect((await paidOut(tx)) + manual).toBe(debits);
    expect(await findings(root, player)).toEqual([]);
  }
  await usual();
});
