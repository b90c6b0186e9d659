// A history of payments, lived through: opened in the ledger, told and answered in turns, several jobs at once, and what is then so.
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { type Doors, depositState, type Payment, pending } from './payment-provider.ts';
import {
  currencies,
  depositTracks,
  depositTruth,
  finding_of,
  interleave,
  keyOf,
  type Lie,
  players_count,
  type Step,
  type Story,
  withdrawalTracks,
  withdrawalTruth,
} from './payment-stories.ts';
import { type Random, random } from './random.ts';
import { act, approve, ask, newPlayer, outcome, reject, tenant } from './withdrawals.ts';

const funds = 1_000;
const steps_a_turn = 5;
export const stranger_tenant = 'stranger';

export interface Lived {
  /** What is so in the end, and what should be. */
  found: Record<string, unknown>;
  truth: Record<string, unknown>;
  deliveries: number;
}

export async function live(doors: Doors, story: Story): Promise<Lived> {
  const source = random(story.seed);
  const stranger = { tenant_id: stranger_tenant, player_id: await newPlayer(doors.money, stranger_tenant) };
  const players: string[] = [];
  for (let n = 0; n < players_count; n++) players.push(await newPlayer(doors.money));
  for (const owner_id of players) for (const currency of currencies) await fund(doors, owner_id, currency);
  const deposits: Payment[] = [];
  for (const { player, amount, currency } of story.deposits)
    deposits.push(await pending(doors, players[player] as string, String(amount), currency));
  const withdrawals: Payment[] = [];
  for (const { player, amount, currency } of story.withdrawals)
    withdrawals.push(await approved(doors, players[player] as string, String(amount), currency));
  const steps = interleave(
    [
      ...story.deposits.flatMap((one, n) => depositTracks(one, deposits[n] as Payment, stranger, source)),
      ...story.withdrawals.flatMap((one, n) =>
        withdrawalTracks(one, withdrawals[n] as Payment, stranger, source),
      ),
    ],
    source,
  );
  await take(doors, steps, source);
  const found = {
    deposits: await inTurn(deposits, (payment) => depositState(doors, payment)),
    withdrawals: await inTurn(withdrawals, ({ id }) => outcome(doors.root, id)),
    wallets: await wallets(doors, players),
    ...(await eventsOf(doors, steps)),
  };
  return {
    found,
    truth: truthOf(story, steps),
    deliveries: steps.filter((step) => step.do === 'tell').length,
  };
}

async function inTurn<T, R>(items: T[], ask: (item: T) => Promise<R>): Promise<R[]> {
  const answers: R[] = [];
  for (const item of items) answers.push(await ask(item));
  return answers;
}

async function fund({ root }: Doors, owner_id: string, currency: string): Promise<void> {
  const body = { owner_id, currency, amount_minor: String(funds) };
  await ask(root, `credit_wallet($1, 'test', $2, $3)`, tenant, randomUUID(), body);
}

async function approved(
  { money }: Doors,
  player: string,
  amount_minor: string,
  currency: string,
): Promise<Payment> {
  const body = { amount_minor, currency, method: 'bank' };
  const { transaction } = await ask(money, 'request_withdrawal($1, $2, $3)', player, randomUUID(), body);
  await approve(money, transaction.id);
  return transaction;
}

/** A few steps at a time: told first, then worked through by one job or several, beside the answers of the provider. */
async function take(doors: Doors, steps: Step[], source: Random): Promise<void> {
  let heard: string[] = [];
  for (let at = 0; at < steps.length; ) {
    const step = steps[at] as Step;
    if (step.do === 'payout' || step.do === 'reject') {
      at += 1;
      await settleAll(doors, heard);
      const key = keyOf(step.payment, step.nth);
      const { id } = step.payment;
      const done =
        step.do === 'reject' ? reject(doors.money, id) : act(doors.money, 'payout', id, {}, { key });
      const { outcome: said, code } = await done;
      if (said !== 'done') throw new Error(`${step.do} ${step.nth}: ${code}`);
      continue;
    }
    const until = steps.findIndex(({ do: what }, n) => n > at && (what === 'payout' || what === 'reject'));
    const end = Math.min(until === -1 ? steps.length : until, at + 1 + source.below(steps_a_turn));
    const named = await turn(doors, steps.slice(at, end), source);
    heard = [...new Set([...heard, ...named])];
    at = end;
  }
  await settleAll(doors, heard);
}

async function turn(doors: Doors, steps: Step[], source: Random): Promise<string[]> {
  const named: string[] = [];
  for (const step of steps) {
    if (step.do !== 'tell') continue;
    if (step.by === 'webhook') named.push(...(await doors.hook(step.event)));
    else named.push(...(await doors.list([step.event])).due);
  }
  const jobs = doors.jobs.slice(0, 1 + source.below(doors.jobs.length));
  await Promise.all([...jobs.map((job) => doors.process(source.shuffle(named), job)), answers(doors, steps)]);
  return named;
}

async function answers({ money, root }: Doors, steps: Step[]): Promise<void> {
  for (const step of steps) {
    if (step.do === 'answer') {
      const said = { provider_event_id: step.event_id };
      await ask(money, 'settle_deposit($1, $2, $3, $4)', tenant, step.payment.id, step.status, said);
    } else if (step.do === 'answer payout') {
      const attempt = await attemptOf(root, step.payment, step.nth);
      const said = { provider_event_id: step.event_id };
      await ask(money, 'settle_payout($1, $2, $3, $4)', tenant, attempt, step.status, said);
    }
  }
}

async function attemptOf(root: pg.Client, payment: Payment, nth: number): Promise<string> {
  const text = 'select id from payout_attempts where withdraw_tx_id = $1 and idempotency_key = $2';
  return (await root.query(text, [payment.id, keyOf(payment, nth)])).rows[0].id;
}

/** What was skipped, for another call had it, or waits for its next try, is taken up. */
async function settleAll(doors: Doors, ids: string[]): Promise<void> {
  await doors.hurry();
  await doors.process(ids);
}

async function wallets({ root }: Doors, players: string[]): Promise<Record<string, string>> {
  const { rows } = await root.query(
    `select player_id, currency, balance_real_available a, balance_real_pending h from wallet_balances
      where player_id = any($1) and tenant_id = $2`,
    [players, tenant],
  );
  const shown = rows.map(({ player_id, currency, a, h }) => [
    `${players.indexOf(player_id)} ${currency}`,
    `${a} ${h}`,
  ]);
  return Object.fromEntries(shown);
}

async function eventsOf({ root }: Doors, steps: Step[]) {
  const told = steps.flatMap((step) => (step.do === 'tell' ? [step.event.event_id] : []));
  const open = await root.query(
    `select event_id, status, last_error from provider_events where event_id = any($1) and status in ('received', 'failed', 'dead')`,
    [told],
  );
  const { rows } = await root.query(
    `select provider_event_id || ' ' || finding_type f, raw ->> 'kind' kind from reconciliation_findings where provider_event_id = any($1) order by 1`,
    [told],
  );
  // Of a dispute that is won it does not matter whether it found room before.
  const counted = rows.filter(({ f, kind }) => !(kind === 'chargeback' && f.endsWith(' amount_mismatch')));
  return { open: open.rows, findings: counted.map(({ f }) => f) };
}

function truthOf(story: Story, steps: Step[]): Lived['found'] {
  const deposits = story.deposits.map(depositTruth);
  const withdrawals = story.withdrawals.map(withdrawalTruth);
  const balance: Record<string, string> = {};
  for (let player = 0; player < players_count; player++)
    for (const currency of currencies) {
      const mine = (one: { player: number; currency: string }) =>
        one.player === player && one.currency === currency;
      let [available, held] = [funds, 0];
      story.deposits.forEach((one, n) => {
        const [state, refunded, charged_back] = deposits[n] as (typeof deposits)[0];
        if (mine(one) && state === 'completed') available += one.amount - refunded - charged_back;
      });
      story.withdrawals.forEach((one, n) => {
        const [state] = withdrawals[n] as (typeof withdrawals)[0];
        if (!mine(one) || state === 'rejected') return;
        available -= one.amount;
        if (state !== 'paid') held += one.amount;
      });
      balance[`${player} ${currency}`] = `${available} ${held}`;
    }
  const lies = steps.flatMap((step) => {
    const type = step.do === 'tell' ? finding_of[step.event.event_id.split(':', 1)[0] as Lie] : undefined;
    return step.do === 'tell' && type !== undefined ? [`${step.event.event_id} ${type}`] : [];
  });
  return {
    deposits: deposits.map(([state, ...taken]) => [state, ...taken.map(String)]),
    withdrawals,
    wallets: balance,
    open: [],
    findings: lies.sort(),
  };
}
