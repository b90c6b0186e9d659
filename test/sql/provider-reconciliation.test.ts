// What a provider lists against what the ledger moved: each planted difference is found once, as what it is, and nothing else is.
// RUNS sets how many random plantings are tried.
import fc from 'fast-check';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDatabase, type TestDatabase } from '../support/database.ts';
import { violations } from '../support/money.ts';
import {
  all,
  type Class,
  classes,
  driftOf,
  type Plan,
  type Planted,
  payments,
  plant,
} from '../support/planted-differences.ts';
import {
  type Books,
  deposit,
  type Finding,
  findingsOf,
  type Listed,
  openBooks,
  reconcile,
} from '../support/provider-books.ts';
import { type Answer, ask } from '../support/withdrawals.ts';

const runs = Number(process.env.RUNS ?? 5);

let database: TestDatabase;
let root: pg.Client;
let jobs: pg.Client;
beforeAll(async () => {
  database = await openDatabase();
  root = database.superuser;
  jobs = await database.as('kernel_jobs');
  await ask(root, `apply_stage_defaults('dev')`);
});
afterAll(async () => {
  expect(await violations(root)).toEqual([]);
  await database.close();
});

interface Scene {
  books: Books;
  planted: Planted[];
  rows: Listed[];
}

/** Plants each plan among the payments that a player needs to have any money, and mixes the list. */
async function stage(plans: Plan[]): Promise<Scene> {
  const books = await openBooks(root);
  const planted: Planted[] = [];
  for (const currency of ['USD', 'EUR']) {
    const funds = await deposit(books, '1000000', currency);
    planted.push({ class: 'none', told: [funds], moved: [funds], names: [funds.event_id] });
  }
  for (const plan of plans) planted.push(await plant(books, plan));
  const [mine = {} as Listed] = planted.flatMap(({ told }) => told);
  const stranger = { ...mine, event_id: `of another tenant ${mine.event_id}`, tenant_id: 'another' };
  const rows = [...planted.flatMap(({ told }) => told), stranger];
  return { books, planted, rows: rows.sort((a, b) => a.event_id.localeCompare(b.event_id)) };
}

type Matrix = Record<string, Record<string, number>>;

/** Planted × found; a finding about nothing that was planted stands in the row `nothing`. */
function confusion(planted: Planted[], findings: Finding[]): Matrix {
  const matrix: Matrix = {};
  const count = (row: string, column: string) => {
    matrix[row] ??= {};
    matrix[row][column] = (matrix[row][column] ?? 0) + 1;
  };
  const left = new Set(findings);
  for (const { class: wanted, names } of planted) {
    const found = findings.filter(({ event }) => names.includes(event));
    for (const one of found) left.delete(one);
    count(wanted, found.map(({ type }) => type).join(' + ') || 'none');
  }
  for (const { type } of left) count('nothing', type);
  return matrix;
}

function diagonal(planted: Planted[]): Matrix {
  const matrix: Matrix = {};
  for (const { class: wanted } of planted) matrix[wanted] = { [wanted]: (matrix[wanted]?.[wanted] ?? 0) + 1 };
  return matrix;
}

function printed(matrix: Matrix): string {
  const columns = [...all, 'nothing'];
  const line = (cells: (string | number)[]) => cells.map((cell) => String(cell).padStart(18)).join('');
  const rows = all.map((row) => line([row, ...columns.map((column) => matrix[row]?.[column] ?? 0)]));
  return `${[line(['planted \\ found', ...columns]), ...rows].join('\n')}\n`;
}

function driftIn(run: Answer): Record<string, bigint> {
  const currencies = run.stats.currencies as Record<string, { drift_minor: string }>;
  return Object.fromEntries(
    Object.entries(currencies).map(([code, { drift_minor }]) => [code, BigInt(drift_minor)]),
  );
}

const countsOf = (planted: Planted[]): Record<string, string> =>
  Object.fromEntries(
    classes
      .map((one) => [one, planted.filter(({ class: wanted }) => wanted === one).length] as const)
      .filter(([, n]) => n > 0)
      .map(([one, n]) => [one, String(n)]),
  );

/** Runs twice: the second time there is nothing new. */
async function judge({ books, planted, rows }: Scene): Promise<Matrix> {
  const window = { tenant: books.tenant };
  const run = await reconcile(jobs, window, rows);
  const different = planted.filter(({ class: wanted }) => wanted !== 'none').length;
  const differences = countsOf(planted);
  expect(run).toMatchObject({
    status: 'completed',
    stats: { differences, new: String(different), reopened: '0', resolved: '0' },
  });
  expect(driftIn(run)).toEqual({ USD: 0n, EUR: 0n, ...driftOf(planted) });
  const findings = await findingsOf(books);
  expect(findings).toHaveLength(different);
  const again = await reconcile(jobs, window, rows);
  expect(again.stats).toMatchObject({ differences, new: '0', reopened: '0', resolved: '0' });
  expect(await findingsOf(books)).toEqual(findings);
  return confusion(planted, findings);
}

const plan = (payment: Plan['payment'], wanted: Class, other = false, n = 0): Plan => ({
  ...{ payment, class: wanted, other, amount: 100 + n },
  currency: n % 2 === 0 ? 'USD' : 'EUR',
});

describe('a difference', () => {
  test('of each class among payments that agree is found once, as what it is', async () => {
    const different = payments.flatMap((payment) =>
      all.flatMap((wanted, n) => [false, true].map((other) => plan(payment, wanted, other, n))),
    );
    const agreeing = Array.from({ length: 40 }, (_, n) =>
      plan(payments[n % 5] ?? 'deposit', 'none', false, n),
    );
    const scene = await stage([...different, ...agreeing]);
    const matrix = await judge(scene);
    process.stdout.write(printed(matrix));
    expect(matrix).toEqual(diagonal(scene.planted));
    expect(Object.keys(matrix).sort()).toEqual([...all].sort());
  });

  test('is found once, as what it is, however many are planted where', async () => {
    const plans = fc.array(
      fc.record<Plan>({
        payment: fc.constantFrom(...payments),
        class: fc.constantFrom<Class>('none', 'none', ...all),
        amount: fc.integer({ min: 1, max: 900 }),
        currency: fc.constantFrom('USD', 'EUR'),
        other: fc.boolean(),
      }),
      { minLength: 1, maxLength: 8 },
    );
    await fc.assert(
      fc.asyncProperty(plans, async (drawn) => {
        const scene = await stage(drawn);
        expect(await judge(scene)).toEqual(diagonal(scene.planted));
      }),
      { numRuns: runs },
    );
  });
});
