// Random histories of wallets: after every step the books answer and hold what a small model says, and no invariant is broken.
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { proving, table, writeSection } from '../faults/sections.ts';
import { openDatabase } from '../support/database.ts';
import { violations } from '../support/money.ts';
import { History } from '../support/money-history.ts';
import { every_kind, history, kept, type Step } from '../support/money-steps.ts';
import { openTenantCheck } from '../support/money-tenant.ts';

const runs = Number(process.env.RUNS ?? process.env.SEEDS ?? (proving ? 10_000 : 60));
/** Histories in one database: what must look at all of it stays cheap. */
const batch = 50;
const lanes = proving ? 2 : 1;
/** SEED takes one batch again: the one that its failure names. */
const again = process.env.SEED ? [Number(process.env.SEED)] : undefined;
const seeds = again ?? Array.from({ length: Math.ceil(runs / batch) }, () => (Math.random() * 2 ** 31) | 0);

let seconds = 0;
const taken = new Map<string, number>();
afterAll(writeHistories);

test(
  `in ${again ? batch : runs} random histories (RUNS=n for more) every answer and balance is the model's, and every invariant holds after every step`,
  async () => {
    const started = performance.now();
    const left = seeds.map((seed, n) => ({
      seed,
      numRuns: again ? batch : Math.min(batch, runs - n * batch),
    }));
    const lane = async () => {
      for (let next = left.pop(); next; next = left.pop()) {
        const parameters = next;
        await inOneDatabase((take) => fc.assert(fc.asyncProperty(history, take), parameters));
        if (proving) process.stderr.write(`${left.length} batches of histories left\n`);
      }
    };
    await Promise.all(Array.from({ length: lanes }, lane));
    seconds = (performance.now() - started) / 1_000;
  },
  60_000 + runs * 1_500,
);

test('so it is in each history that failed once', () =>
  inOneDatabase(async (take) => {
    for (const steps of kept) await take(steps);
  }));

const plants = [
  `update accounts set balance = balance + 1 where kind = 'held'`,
  `update accounts set version = version + 1 where kind = 'promo'`,
  'update entries set amount = amount + 1 where n = 2 and version is null',
  'update entries set version = 9 where version = 2',
  'update entries set balance_after = -1 where amount < 0 and version = 2',
  'update folds set balance_before = 7',
  'update holds set amount = amount + 1',
  'update promo_lots set remaining = remaining - 1',
  'update promo_moves set amount = amount + 1',
  'delete from entries where transfer_no = (select max(no) from transfers)',
  `update transfers set key_id = id where kind = 'payment'`,
  'update transfers set amount = 1 where reverses is null',
  `delete from transfers where kind = 'hold'`,
];

test('the invariants of one tenant are broken by whatever breaks those of all, and by no other tenant', async () => {
  const database = await openDatabase();
  try {
    const check = await openTenantCheck(database);
    const [one, other] = [new History(database.superuser), new History(database.superuser)];
    for (const history of [one, other]) for (const step of every_kind) await history.take(step);
    const noticed = new Set<string>();
    for (const plant of plants) {
      await check.client.query('begin');
      await check.client.query('set local session_replication_role = replica');
      await check.client.query(`select set_config('test.tenant', $1, false)`, [one.tenant]);
      await check.client.query(plant);
      const seen = await check.violations(one.tenant);
      expect([plant, seen]).toEqual([plant, await violations(check.client)]);
      expect(await check.violations(other.tenant)).toEqual([]);
      await check.client.query('rollback');
      for (const { invariant } of seen) noticed.add(invariant);
    }
    const { rows } = await database.superuser.query(
      `select invariant from check_money() where invariant <> 'a transfer stays in its tenant'`,
    );
    expect(rows.filter(({ invariant }) => !noticed.has(invariant))).toEqual([]);
  } finally {
    await database.close();
  }
});

/** After each step the invariants of the history's own tenant, after all of them those of the whole database. */
async function inOneDatabase(work: (take: (steps: Step[]) => Promise<void>) => Promise<void>): Promise<void> {
  const database = await openDatabase();
  try {
    // Whether a commit reaches the disk is the question of other tests.
    await database.superuser.query('set synchronous_commit = off');
    const check = await openTenantCheck(database);
    await work(async (steps) => {
      const one = new History(database.superuser);
      for (const step of steps) {
        await one.take(step);
        expect(await one.state()).toEqual(one.expected());
        expect(await check.violations(one.tenant)).toEqual([]);
        taken.set(step.do, (taken.get(step.do) ?? 0) + 1);
      }
    });
    expect(await violations(database.superuser)).toEqual([]);
  } finally {
    await database.close();
  }
}

function writeHistories(): void {
  const steps = [...taken.values()].reduce((sum, n) => sum + n, 0);
  writeSection(
    '60-money-histories',
    'Random histories of wallets',
    `${runs} histories of 5 to 40 steps, ${steps} steps in ${(seconds / 60).toFixed(1)} minutes. After every step the answer, every balance and every lot is ` +
      `what a model in memory says, and every invariant of the tenant holds; after every ${batch} histories \`check_money()\` of the whole database. ` +
      'A failure is shrunk to the fewest steps and named by its seed: `SEED=n npx vitest run test/sql/money-model.test.ts`.\n\n' +
      table(
        ['step', 'taken'],
        [...taken].sort(([a], [b]) => a.localeCompare(b)),
      ),
  );
}
