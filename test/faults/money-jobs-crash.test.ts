// Crash at every step of the jobs of money: after a death or a lost reply at any step of a reversal, a replay or a healing run, and
// the job's next call, the state is that of a run without. The usual check tries three ways of failing, the proof five.
import { createHash, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { callAs, tokenOf } from '../support/job-doors.ts';
import { violations } from '../support/money.ts';
import { plant } from '../support/reconciliation.ts';
import type { Effect } from './door-faults.ts';
import { openRig, type Rig } from './rig.ts';
import { proving } from './sections.ts';

const failures: Record<string, { point: 'before' | 'after'; effect: Effect; times?: number }> = {
  'its reply is lost': { point: 'after', effect: { kind: 'drop' }, times: 2 },
  'the worker dies before it': { point: 'before', effect: { kind: 'kill' } },
  'the worker dies after it': { point: 'after', effect: { kind: 'kill' } },
  ...(proving && {
    'its reply is lost once': { point: 'after', effect: { kind: 'drop' } },
    'the connection is cut before it': { point: 'before', effect: { kind: 'drop' }, times: 2 },
  }),
};

interface Scene {
  player: string;
  order: string;
  day: string;
}

interface Act {
  job: 'assure' | 'backfill';
  /** A statement, and which of its calls fails: a second one is the step between two pages. */
  steps: [statement: string, nth: number][];
  prepare(scene: Scene): Promise<void>;
  call(scene: Scene): Promise<{ status: number }>;
}

let rig: Rig;
let service: string;
let days = 0;
beforeAll(async () => {
  rig = await openRig();
  service = await tokenOf(rig.stack, 'service');
  await rig.stack.database.query(`select set_product('default', 'paynow', 'gold', 100, 'USD', 'test')`);
});
afterAll(async () => {
  if (rig) expect(await violations(rig.stack.database)).toEqual([]);
  await rig?.close();
});

async function event(type: string, { player: uid, order, day }: Scene, hour: number, line = 'a') {
  const lines = [{ lineId: line, productId: 'gold', quantity: 1 }];
  const text = JSON.stringify({ uid, orderId: order, ...(type === 'ON_ORDER_COMPLETED' && { lines }) });
  const hash = createHash('sha256').update(text).digest();
  await rig.stack.database.query(
    `select record_provider_event('default', 'paynow', null, $1, $2, $3, $4, $5)`,
    [randomUUID(), type, text, hash, `${day}T0${hour}:00:00Z`],
  );
}

const backfill = (type: string, { day }: Scene) =>
  callAs(rig.stack, service, '/api/jobs/backfill', { type, startDate: day, endDate: day });
const backfill_steps: Act['steps'] = [
  ['begin_backfill', 1],
  ['backfill_steps', 1],
];
const acts: Record<string, Act> = {
  'a reversal': {
    job: 'backfill',
    steps: backfill_steps,
    async prepare(scene) {
      await event('ON_ORDER_COMPLETED', scene, 1);
      await backfill('webhook_replay', scene);
      await event('ON_REFUND', scene, 2);
      await event('ON_CHARGEBACK', scene, 3);
    },
    call: (scene) => backfill('reversal_backfill', scene),
  },
  'a replay': {
    job: 'backfill',
    steps: backfill_steps,
    async prepare(scene) {
      await event('ON_ORDER_COMPLETED', scene, 1);
      await event('ON_ORDER_COMPLETED', scene, 2, 'b');
      await event('ON_REFUND', scene, 3);
    },
    call: (scene) => backfill('webhook_replay', scene),
  },
  'a healing run': {
    job: 'assure',
    steps: [
      ['begin_reconciliation', 1],
      ['reconcile_wallets', 1],
    ],
    async prepare({ player }) {
      const { database } = rig.stack;
      const credit = { owner_id: player, currency: 'USD', amount_minor: '100' };
      await database.query(`select credit_wallet('default', 'test', $1, $2)`, [player, credit]);
      await plant(
        database,
        `update accounts set balance = balance + 7, version = version + 1 where owner_id = '${player}' and kind = 'available';
         delete from accounts where owner_id = '${player}' and kind = 'promo'`,
      );
    },
    call: () => callAs(rig.stack, service, '/api/jobs/reconcile', {}),
  },
};

async function sceneOf({ prepare }: Act): Promise<Scene> {
  const day = new Date(Date.UTC(2025, 0, ++days)).toISOString().slice(0, 10); // no other scene's events
  const scene = { player: randomUUID(), order: randomUUID(), day };
  await prepare(scene);
  return scene;
}

/** What must not differ after a crash: accounts, movements, what was healed and reported, what became of events, and what is open. */
async function stateOf({ player }: Scene): Promise<unknown> {
  const { rows } = await rig.stack.database.query(
    `select (select array_agg(concat_ws(' ', kind, balance, version) order by kind) from accounts where owner_id = $1) accounts,
            (select array_agg(concat_ws(' ', t.kind, a.kind, e.amount) order by e.transfer_no, e.n) from entries e
               join accounts a on a.id = e.account_id join transfers t on t.no = e.transfer_no where a.owner_id = $1) movements,
            (select array_agg(concat_ws(' ', a.kind, r.balance_before, r.balance_after, r.actions) order by a.kind) from account_repairs r
               join accounts a on a.id = r.account_id where a.owner_id = $1) repairs,
            (select array_agg(concat_ws(' ', body ->> 'kind', status, delta) order by body ->> 'kind') from reconciliation_reports
              where body ->> 'owner_id' = $1::text) reports,
            (select array_agg(concat_ws(' ', type, status, attempts) order by occurred_at) from provider_events where payload ->> 'uid' = $1::text) events,
            (select count(*)::int from order_lines where owner_id = $1) lines,
            (select count(*)::int from open_migrations()) open_backfills,
            (select count(*)::int from reconciliation_runs where status = 'running') open_runs,
            (select count(*)::int from account_facts(array[$1]) f where f.drift <> '{}') drifted`,
    [player],
  );
  return rows[0];
}

/** The next calls: a run is taken up once the lease of the dead worker has passed, an open backfill by its schedule. */
async function finish(act: Act, scene: Scene): Promise<void> {
  await rig.stack.database.query(
    `update reconciliation_runs set lease_until = now() - interval '1 second' where status = 'running'`,
  );
  expect((await act.call(scene)).status).toBe(200);
  if (act.job === 'backfill') await rig.stack.functions.invoke(rig.stack.functionName('backfill'), {});
}

describe.each(Object.entries(acts))('%s', (_name, act) => {
  let expected: unknown;
  beforeAll(async () => {
    const scene = await sceneOf(act);
    expect((await act.call(scene)).status).toBe(200);
    expected = await stateOf(scene);
    expect(expected).toMatchObject({ open_backfills: 0, open_runs: 0, drifted: 0 });
  });

  const cells = act.steps.flatMap((step) =>
    Object.keys(failures).map((failure) => [...step, failure] as const),
  );
  test.each(cells)('ends as without a fault when at %s, call %i, %s', async (statement, nth, failure) => {
    const scene = await sceneOf(act);
    await rig.arm([
      {
        ...(failures[failure] as (typeof failures)[string]),
        caller: rig.stack.functionName(act.job),
        service: 'rds-data',
        operation: 'ExecuteStatement',
        statement,
        nth,
      },
    ]);
    await act.call(scene);
    const { fired } = await rig.heal();
    expect(Object.values(fired).reduce((sum, n) => sum + n, 0)).toBeGreaterThan(0);
    await finish(act, scene);
    expect(await stateOf(scene)).toEqual(expected);
  });
});
