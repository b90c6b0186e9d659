// Crash at every step of payments: whatever dies or is not heard while events are taken, applied and paid out, the next call ends
// in the state of a run without; and one payout is one payment, whichever path brings its answer. The check tries two of three failures.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { signMockPsp } from '../../shared/adapters/mockpsp.ts';
import { violations } from '../support/money.ts';
import { type Call, caller, key, type MoneyAnswer, openPlayer, type Player } from '../support/money-doors.ts';
import { mockpspSecretOf } from '../support/payment-doors.ts';
import type { Effect, Rule } from './door-faults.ts';
import { openRig, type Rig } from './rig.ts';
import { proving } from './sections.ts';
import { inTurns } from './turns.ts';

const failures: Record<string, { point: 'before' | 'after'; effect: Effect; times?: number }> = {
  'its reply is lost': { point: 'after', effect: { kind: 'drop' }, times: 2 },
  'the worker dies before it': { point: 'before', effect: { kind: 'kill' } },
  'the worker dies after it': { point: 'after', effect: { kind: 'kill' } },
  ...(proving && {
    'the connection is cut before it': { point: 'before', effect: { kind: 'drop' }, times: 2 },
    'its reply is lost once': { point: 'after', effect: { kind: 'drop' } },
    'the worker dies while it is done': { point: 'before', effect: { kind: 'orphan' } },
  }),
};
type Failure = keyof typeof failures;

let rig: Rig;
let finance: Call;
let secret: string;
beforeAll(async () => {
  rig = await openRig();
  finance = await caller(rig.stack, ['finance']);
  secret = mockpspSecretOf(rig.stack);
});
afterAll(async () => {
  if (rig) expect(await violations(rig.stack.database)).toEqual([]);
  await rig?.close();
});

type Payment = Record<string, string>;
const told = (payment: Payment, event_type: string, more: object = {}) => ({
  ...{ provider_event_id: `${event_type}:${payment.id}`, event_type, tx_id: payment.id },
  ...{ tenant_id: payment.tenant_id, player_id: payment.player_id },
  ...{ amount_minor: payment.amount_minor, currency: payment.currency },
  ...more,
});

/** The provider's webhook, signed; the status of the answer, or 0 without one. */
async function hook(event: object): Promise<number> {
  const body = JSON.stringify(event);
  const headers = signMockPsp(body, secret, Date.now());
  const url = `${rig.stack.url}/api/v1/payments/webhook/mockpsp`;
  const answer = await fetch(url, { method: 'POST', body, headers }).catch(() => undefined);
  return answer?.status ?? 0;
}

const query = async (text: string, ...values: unknown[]) =>
  (await rig.stack.database.query(text, values)).rows;
const processJob = (event: unknown = {}) =>
  rig.stack.functions.invoke(rig.stack.functionName('process'), event);
/** Payouts without an answer have waited long enough to be asked about. */
const overdue = () =>
  query(
    `update payout_attempts set updated_at = now() - interval '3 minutes' where status in ('pending', 'unknown')`,
  );
/** The schedule's next run, when what waits is due. */
async function nextRun(): Promise<void> {
  await query(
    `update provider_events set next_attempt_at = now() where status in ('received', 'failed') and processed_at is null`,
  );
  await overdue();
  expect(await processJob()).toMatchObject({ ok: true });
}

interface Scene {
  player: Player;
  payment: Payment;
  events: object[];
}

interface Act {
  caller: 'webhook' | 'process';
  steps: string[];
  prepare(): Promise<Scene>;
  call(scene: Scene): Promise<unknown>;
  /** What comes next of itself: the provider's repetition, the message again, the schedule. */
  again(scene: Scene): Promise<unknown>;
}

async function depositScene(): Promise<Scene> {
  const player = await openPlayer(rig.stack);
  const { body } = await player.call(
    'POST',
    '/player/wallet/deposit',
    { amount_minor: '100', method: 'card' },
    key(),
  );
  const payment = body.transaction;
  const refund = told(payment, 'refund', { amount_minor: '30', ref: randomUUID() });
  return { player, payment, events: [refund, told(payment, 'deposit_captured')] };
}

/** The refund came before, and is held; the capture was kept, and nobody has named it to the job. */
async function keptScene(): Promise<Scene> {
  const scene = await depositScene();
  for (const event of scene.events) {
    const { provider_event_id: event_id, event_type, ...rest } = event as Record<string, string>;
    const kind = event_type === 'refund' ? 'refund' : 'deposit_captured';
    const kept = { ...rest, event_id, type: event_type, kind, occurred_at: new Date(), payload: {} };
    await query(`select receive_events('mockpsp', '', 'list', $1)`, JSON.stringify([kept]));
  }
  return scene;
}

/** A payout that the provider made, and of which it has told nobody. */
async function lostScene(): Promise<Scene> {
  const player = await openPlayer(rig.stack);
  await player.deposit('100');
  const payment = (await player.withdraw('80')).body.transaction;
  await finance('POST', at(payment, 'review'), { action: 'approve', reason: 'checked' });
  const lost = { ...key(), 'x-mock-outcome': 'lost' };
  expect((await finance('POST', at(payment, 'payout'), {}, lost)).body.transaction.state).toBe('unknown');
  await overdue();
  return { player, payment, events: [] };
}

const at = ({ id }: Payment, verb: string) => `/finance/withdrawals/${id}/${verb}`;
const message = async ({ payment }: Scene) => {
  const rows = await query(
    'select id from provider_events where tx_id = $1 order by occurred_at, id',
    payment.id,
  );
  const body = JSON.stringify({ events: rows.map(({ id }) => id) });
  return { Records: [{ messageId: randomUUID(), body, eventSource: 'aws:sqs' }] };
};

const acts: Record<string, Act> = {
  'a webhook': {
    caller: 'webhook',
    steps: ['receive_webhook', 'SendMessage'],
    prepare: depositScene,
    call: ({ events }) => hook(events[1] as object),
    async again({ events }) {
      for (const event of events) expect(await hook(event)).toBe(200);
      await nextRun();
    },
  },
  'a message of the queue': {
    caller: 'process',
    steps: ['process_events'],
    prepare: keptScene,
    call: async (scene) => processJob(await message(scene)),
    again: async (scene) => expect(await processJob(await message(scene))).toMatchObject({ ok: true }),
  },
  'the schedule': {
    caller: 'process',
    steps: ['mockpsp_callbacks', 'process_due_events', 'waiting_payouts', 'payment_backlog'],
    async prepare() {
      const scene = await keptScene();
      await query('update provider_events set next_attempt_at = now() where tx_id = $1', scene.payment.id);
      return scene;
    },
    call: () => processJob(),
    again: nextRun,
  },
  'a recheck by the schedule': {
    caller: 'process',
    steps: ['waiting_payouts', 'mockpsp', 'settle_payout'],
    prepare: lostScene,
    call: () => processJob(),
    again: nextRun,
  },
};

/** Everything that may differ after a crash. */
async function stateOf({ player }: Scene): Promise<unknown> {
  // What the mock provider tells by itself is on its way through the queue.
  const received = `select from provider_events where player_id = $1 and status = 'received'`;
  await vi.waitFor(async () => expect(await query(received, player.id)).toEqual([]), 10_000);
  const [row] = await query(
    `select (select array_agg(concat_ws(' ', state, amount, refunded, charged_back) order by created_at) from deposits where player_id = $1) deposits,
            (select array_agg(state || ' ' || amount order by created_at) from withdrawals where player_id = $1) withdrawals,
            (select array_agg(t.kind || ' ' || e.amount order by e.transfer_no, e.n) from entries e join accounts a on a.id = e.account_id
               join transfers t on t.no = e.transfer_no where a.owner_id = $1) movements,
            (select array_agg(p.provider || ' ' || p.status) from payout_attempts p join withdrawals w on w.id = p.withdraw_tx_id where w.player_id = $1) attempts,
            (select array_agg(kind || ' ' || status order by kind) from provider_events where player_id = $1) events,
            (select array_agg(action || ' ' || status order by occurred_at) from psp_events where player_id = $1) provider,
            (select count(*)::int from reconciliation_findings where player_id = $1) findings`,
    player.id,
  );
  return { ...row, balance: await player.balance() };
}

const ruleOf = (entry: string, step: string, failure: Failure): Rule => ({
  ...(failures[failure] as (typeof failures)[string]),
  caller: rig.stack.functionName(entry),
  ...(step === 'SendMessage'
    ? { service: 'sqs', operation: step }
    : { service: 'rds-data', operation: 'ExecuteStatement', statement: step }),
});

async function fails(rule: Rule, call: () => Promise<unknown>): Promise<void> {
  await rig.arm([rule]);
  await call();
  const { fired } = await rig.heal();
  expect(Object.values(fired).reduce((sum, n) => sum + n, 0)).toBe(rule.times ?? 1);
}

describe.each(Object.entries(acts))('%s', (_name, act) => {
  let expected: unknown;
  beforeAll(async () => {
    const scene = await act.prepare();
    await act.call(scene);
    await act.again(scene);
    expected = await stateOf(scene);
    expect(expected).toMatchObject({ findings: 0 });
  });

  test.each(inTurns(act.steps, failures))('ends as without a fault when at %s %s', async (step, failure) => {
    const scene = await act.prepare();
    await fails(ruleOf(act.caller, step, failure), () => act.call(scene));
    await act.again(scene);
    expect(await stateOf(scene)).toEqual(expected);
  });
});

describe('a payout whose answer did not come', () => {
  interface Asked extends Scene {
    same: Record<string, string>;
  }
  async function asked(failure: Failure): Promise<Asked> {
    const player = await openPlayer(rig.stack);
    await player.deposit('100');
    const payment = (await player.withdraw('80')).body.transaction;
    await finance('POST', at(payment, 'review'), { action: 'approve', reason: 'checked' });
    const same = key();
    await fails(ruleOf('money', 'mockpsp', failure), () => finance('POST', at(payment, 'payout'), {}, same));
    return { player, payment, same, events: [] };
  }
  const orders = (payment: Payment) =>
    query(`select psp_idem_key key, status from psp_events where tx_id = $1 order by no`, payment.id);

  /** Whichever way its answer comes in the end. */
  const paths: Record<string, (asked: Asked) => Promise<unknown>> = {
    'the payout again': async ({ payment, same }) => {
      await finance('POST', at(payment, 'payout'), {}, same);
      await finance('POST', at(payment, 'recheck'), {}, key());
    },
    'a recheck': ({ payment }) => finance('POST', at(payment, 'recheck'), {}, key()),
    'the job': nextRun,
    'the webhook, when the provider had paid': async ({ payment }) => {
      const [order] = await orders(payment);
      const event = told(payment, 'withdraw_paid', { idempotency_key: order?.key });
      if (order) expect(await hook(event)).toBe(200);
      await nextRun();
    },
  };
  const lost = Object.keys(failures).filter((failure) => !failure.endsWith('once'));
  const cells = Object.keys(paths).flatMap((path) => lost.map((one) => [path, one] as const));

  test.each(cells)(
    'is paid once, under one key, by %s, when at the order to the provider %s; nothing else may pay or give back meanwhile',
    async (path, failure) => {
      const scene = await asked(failure);
      const { payment } = scene;
      const refused: Promise<MoneyAnswer>[] = [
        finance('POST', at(payment, 'payout'), {}, key()),
        finance('POST', at(payment, 'retry'), { reason: 'again' }, key()),
        finance('POST', at(payment, 'mark-paid'), { reason: 'by wire' }),
        finance('POST', at(payment, 'review'), { action: 'reject', reason: 'no' }),
      ];
      for (const answer of await Promise.all(refused)) expect(answer.status).toBe(409);
      await paths[path]?.(scene);
      await nextRun();
      const key_of_it = `tx_${payment.id}:${scene.same['idempotency-key']}`;
      expect(await orders(payment)).toEqual([{ key: key_of_it, status: 'PAID' }]);
      expect(await stateOf(scene)).toMatchObject({
        withdrawals: ['paid 80'],
        attempts: ['mockpsp succeeded'],
        findings: 0,
        balance: ['20', '0', '20'],
      });
    },
  );

  test('is tried anew only after a confirmed failure, under a key of its own', async () => {
    const player = await openPlayer(rig.stack);
    await player.deposit('100');
    const payment = (await player.withdraw('80')).body.transaction;
    await finance('POST', at(payment, 'review'), { action: 'approve', reason: 'checked' });
    const pay = (how: object) => finance('POST', at(payment, 'payout'), {}, { ...key(), ...how });
    expect((await pay({ 'x-mock-outcome': 'timeout' })).body.transaction.state).toBe('unknown');
    expect((await pay({})).status).toBe(409);
    await finance('POST', at(payment, 'recheck'), {}, { ...key(), 'x-mock-outcome': 'fail' });
    expect((await pay({})).body.transaction.state).toBe('paid');
    const [failed, paid] = await orders(payment);
    expect([failed?.status, paid?.status, failed?.key === paid?.key]).toEqual(['FAILED', 'PAID', false]);
    expect(await player.balance()).toEqual(['20', '0', '20']);
  });
});
