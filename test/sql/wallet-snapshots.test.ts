// The balances of the system before enter the ledger once, as opening balances; what has moved is overwritten only on purpose.
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { openDatabase, type TestDatabase } from '../support/database.ts';
import { violations } from '../support/money.ts';
import type { Row } from '../support/reconciliation.ts';

let database: TestDatabase;
let jobs: pg.Client;
let tenant = '';
beforeAll(async () => {
  database = await openDatabase();
  jobs = await database.as('kernel_jobs');
});
beforeEach(() => {
  tenant = `t${randomUUID().slice(0, 8)}`;
});
afterAll(async () => {
  expect(await violations(database.superuser)).toEqual([]);
  await database.close();
});

async function legacy(available: string, held = '0', player = randomUUID() as string): Promise<string> {
  await database.superuser.query(
    `insert into legacy_balances (tenant_id, player_id, currency, available, held) values ($1, $2, 'USD', $3, $4)
     on conflict (tenant_id, player_id, currency) do update set available = excluded.available, held = excluded.held`,
    [tenant, player, available, held],
  );
  return player;
}

async function plan(force = false, pending = false): Promise<Row> {
  const { rows } = await jobs.query('select plan_wallets($1, $2, $3) plan', [tenant, force, pending]);
  return rows[0].plan;
}

async function run({
  force = false,
  pending = false,
  hash = null as string | null,
  confirm = false,
  size = 1000,
} = {}): Promise<Row> {
  const begun = await jobs.query(`select begin_wallets($1, 'test', $2, $3, $4, $5) run`, [
    tenant,
    force,
    pending,
    hash,
    confirm,
  ]);
  let job: Row = begun.rows[0].run;
  while (job.status === 'running') {
    const { rows } = await jobs.query('select backfill_wallets($1, $2) run', [job.id, size]);
    job = rows[0].run;
  }
  return job;
}

async function balances(player: string): Promise<string[]> {
  const { rows } = await database.superuser.query(
    'select balance_real_available, balance_real_pending from wallet_balances where tenant_id = $1 and player_id = $2',
    [tenant, player],
  );
  return rows.flatMap((row) => Object.values<string>(row));
}

const spend = (player: string, amount_minor: string, verb = 'debit_wallet') =>
  database.superuser.query(`select ${verb}($1, 'test', $2, $3) answer`, [
    tenant,
    randomUUID(),
    { owner_id: player, currency: 'USD', amount_minor },
  ]);

test('a wallet gets what was available and held as opening balances, once', async () => {
  const players = [await legacy('70', '30'), await legacy('5'), await legacy('0'), await legacy('-1')];
  expect(await plan()).toMatchObject({ scanned: '4', created: '3', skipped_exists: '0', errors: '1' });
  expect(await balances(players[0] as string)).toEqual([]);
  const first = await run({ size: 2 });
  expect(first).toMatchObject({
    status: 'failed',
    error: '1 wallets were left out.',
    checkpoint: { scanned: 4, created: 3, skipped_exists: 0, updated_forced: 0, errors: 1 },
  });
  expect(await Promise.all(players.map(balances))).toEqual([['70', '30'], ['5', '0'], ['0', '0'], []]);
  await legacy('1000', '0', players[0]);
  expect(await run()).toMatchObject({ checkpoint: { scanned: 4, created: 1, skipped_exists: 2, errors: 1 } });
  expect(await balances(players[0] as string)).toEqual(['70', '30']);
  const { rows } = await database.superuser.query(
    'select distinct kind from transfers where tenant_id = $1',
    [tenant],
  );
  expect(rows).toEqual([{ kind: 'opening_balance' }]);
});

test('a wallet that has moved is overwritten by the hash of a fresh dry run of the same, or when confirmed', async () => {
  const player = await legacy('100');
  await run();
  await spend(player, '40');
  const { hash } = await plan(true);
  await expect(run({ force: true })).rejects.toMatchObject({ code: 'RK055' });
  const old = `2020-01-01T00:00:00.000Z.${hash.slice(-64)}`;
  await expect(run({ force: true, hash: old })).rejects.toMatchObject({ code: 'RK055' });
  await spend(player, '1');
  await expect(run({ force: true, hash })).rejects.toMatchObject({ code: 'RK055' });
  const fresh = await plan(true);
  expect(fresh).toMatchObject({ updated_forced: '1' });
  expect(await run({ force: true, hash: fresh.hash })).toMatchObject({ checkpoint: { updated_forced: 1 } });
  expect(await balances(player)).toEqual(['100', '0']);
  await legacy('20', '7', player);
  expect(await run({ force: true, confirm: true })).toMatchObject({ checkpoint: { updated_forced: 1 } });
  expect(await balances(player)).toEqual(['20', '7']);
});

test('a wallet with a pending hold is refused, or brought to the total beside its hold', async () => {
  const player = await legacy('100');
  await run();
  await spend(player, '30', 'hold');
  await legacy('150', '30', player);
  expect(await run({ force: true, confirm: true })).toMatchObject({
    checkpoint: { errors: 1, updated_forced: 0 },
  });
  expect(await balances(player)).toEqual(['70', '30']);
  expect(await run({ force: true, confirm: true, pending: true })).toMatchObject({
    checkpoint: { updated_forced: 1 },
  });
  expect(await balances(player)).toEqual(['150', '30']);
});

test('a run that was killed between two batches goes on where it stopped', async () => {
  const players = await Promise.all([1, 2, 3, 4, 5].map((n) => legacy(String(n))));
  const dying = await database.as('kernel_jobs');
  const { rows } = await dying.query(`select begin_wallets($1, 'test', false, false, null, false) run`, [
    tenant,
  ]);
  const { id } = rows[0].run;
  await dying.query('select backfill_wallets($1, 2)', [id]);
  const backend = await dying.query('select pg_backend_pid() pid');
  await dying.query('begin');
  await dying.query('select backfill_wallets($1, 2)', [id]);
  await database.superuser.query('select pg_terminate_backend($1)', [backend.rows[0].pid]);
  const rest = await jobs.query('select backfill_wallets($1, 1000) run', [id]);
  expect(rest.rows[0].run).toMatchObject({ status: 'completed', checkpoint: { scanned: 5, created: 5 } });
  expect((await Promise.all(players.map(balances))).map(([available]) => available)).toEqual([
    '1',
    '2',
    '3',
    '4',
    '5',
  ]);
});
