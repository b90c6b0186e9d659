// Crash at every step of money: after a death or a lost reply at any step of a call, and the caller's repetition of it, the
// state is that of a run without. The usual check tries two of three ways of failing, in turns, the proof six.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { violations } from '../support/money.ts';
import { type Call, caller, key, type MoneyAnswer, openPlayer, type Player } from '../support/money-doors.ts';
import type { Effect, Rule } from './door-faults.ts';
import { openRig, type Rig } from './rig.ts';
import { proving } from './sections.ts';
import { inTurns } from './turns.ts';

/** What happens to a step: at each of the SDK's two attempts, once, or to the worker that takes it. */
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

interface Scene {
  player: Player;
  /** The withdrawal that was asked for before the faults, where the act needs one. */
  tx: string;
  same: Record<string, string>;
}

interface Act {
  steps: string[];
  /** What it needs before the faults: a request, or its approval too. */
  needs?: 'request' | 'approval';
  call(scene: Scene): Promise<MoneyAnswer>;
}

let rig: Rig;
let finance: Call;
beforeAll(async () => {
  rig = await openRig();
  finance = await caller(rig.stack, ['finance']);
});
afterAll(async () => {
  if (rig) expect(await violations(rig.stack.database)).toEqual([]);
  await rig?.close();
});

const at = (tx: string, verb: string) => `/finance/withdrawals/${tx}/${verb}`;
const review = ({ tx }: Scene, action: string) =>
  finance('POST', at(tx, 'review'), { action, reason: 'checked' });
const acts: Record<string, Act> = {
  'a deposit': {
    steps: ['begin_deposit', 'mockpsp', 'settle_deposit'],
    call: ({ player, same }) => player.deposit('70', same),
  },
  'a withdrawal': { steps: ['request_withdrawal'], call: ({ player, same }) => player.withdraw('60', same) },
  'an approval': {
    steps: ['act_on_withdrawal'],
    needs: 'request',
    call: (scene) => review(scene, 'approve'),
  },
  'a rejection': { steps: ['act_on_withdrawal'], needs: 'request', call: (scene) => review(scene, 'reject') },
  'a manual settlement': {
    steps: ['act_on_withdrawal'],
    needs: 'approval',
    call: ({ tx }) => finance('POST', at(tx, 'mark-paid'), { reason: 'by wire' }),
  },
  'a payout': {
    steps: ['act_on_withdrawal', 'read_withdrawal', 'mockpsp', 'settle_payout'],
    needs: 'approval',
    call: ({ tx, same }) => finance('POST', at(tx, 'payout'), {}, same),
  },
  'an adjustment': {
    steps: ['adjust_player'],
    call: ({ player, same }) =>
      finance('POST', '/admin/ledger/adjust', { player_id: player.id, delta_minor: '-5', reason: 'x' }, same),
  },
};

async function sceneOf({ needs }: Act): Promise<Scene> {
  const player = await openPlayer(rig.stack);
  await player.deposit('100');
  const scene = { player, tx: '', same: key() };
  if (needs) scene.tx = (await player.withdraw('80')).body.tx_id;
  if (needs === 'approval') await review(scene, 'approve');
  return scene;
}

/** Everything that may differ after a crash: states, wallet, movements, attempts, and what the provider did. */
async function stateOf({ player }: Scene): Promise<unknown> {
  const { rows } = await rig.stack.database.query(
    `select (select array_agg(state || ' ' || amount order by created_at) from deposits where player_id = $1) deposits,
            (select array_agg(state || ' ' || amount order by created_at) from withdrawals where player_id = $1) withdrawals,
            (select array_agg(t.kind || ' ' || e.amount order by e.transfer_no, e.n) from entries e join accounts a on a.id = e.account_id
               join transfers t on t.no = e.transfer_no where a.owner_id = $1) movements,
            (select array_agg(p.provider || ' ' || p.status) from payout_attempts p join withdrawals w on w.id = p.withdraw_tx_id where w.player_id = $1) attempts,
            (select array_agg(action || ' ' || status order by occurred_at) from psp_events where player_id = $1) provider,
            (select count(*)::int from reconciliation_findings where player_id = $1) findings`,
    [player.id],
  );
  return { ...rows[0], balance: await player.balance() };
}

/** A payout whose provider did not answer is unknown: a recheck, which asks with the same key, ends it. */
async function finish(scene: Scene, act: Act): Promise<MoneyAnswer> {
  const answer = await act.call(scene);
  if (answer.body.transaction?.state === 'unknown') await finance('POST', at(scene.tx, 'recheck'), {}, key());
  return answer;
}

describe.each(Object.entries(acts))('%s', (_name, act) => {
  let expected: unknown;
  beforeAll(async () => {
    const scene = await sceneOf(act);
    expect((await act.call(scene)).status).toBe(200);
    expected = await stateOf(scene);
  });

  test.each(inTurns(act.steps, failures))(
    'ends as without a fault when at %s %s',
    async (statement, failure) => {
      const scene = await sceneOf(act);
      const rule: Rule = {
        ...(failures[failure] as (typeof failures)[string]),
        caller: rig.stack.functionName('money'),
        service: 'rds-data',
        operation: 'ExecuteStatement',
        statement,
      };
      await rig.arm([rule]);
      await act.call(scene);
      const { fired } = await rig.heal();
      expect(Object.values(fired).reduce((sum, n) => sum + n, 0)).toBe(rule.times ?? 1);
      expect((await finish(scene, act)).status).toBe(200);
      expect(await stateOf(scene)).toEqual(expected);
    },
  );
});
