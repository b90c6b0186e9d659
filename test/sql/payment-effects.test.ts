// Whatever order a provider tells its events in, and however often: in the end balances and states are those of what really happened.
// RUNS sets how many histories are lived through, PERMUTATIONS how many orders of one deposit's life are tried; the proof takes all.
import fc from 'fast-check';
import type pg from 'pg';
import { afterAll, expect, test } from 'vitest';
import { proving, table, writeSection } from '../faults/sections.ts';
import { openDatabase } from '../support/database.ts';
import { violations } from '../support/money.ts';
import { live } from '../support/payment-history.ts';
import {
  type Doors,
  depositState,
  openDoors,
  pending,
  type Told,
  told,
} from '../support/payment-provider.ts';
import { story } from '../support/payment-stories.ts';
import { type Random, random } from '../support/random.ts';
import { ask, ledgerOf, newPlayer } from '../support/withdrawals.ts';

const runs = Number(process.env.RUNS ?? process.env.SEEDS ?? (proving ? 2_000 : 40));
const orders = Number(process.env.PERMUTATIONS ?? (proving ? 720 : 30));
/** Histories in one database: check_money(), which looks at all of it, stays cheap. */
const batch = 50;
/** SEED takes one batch again: the one that its failure names. */
const again = process.env.SEED ? Number(process.env.SEED) : undefined;

const counted = { permutations: 0, told: 0, histories: 0, deliveries: 0, seconds: 0 };
afterAll(writeEffects);

/** The life of a deposit of 100: events in the order in which they happened, of which 30 are refunded in the end. */
const lives: Record<string, [kind: string, amount: string, ref?: string][]> = {
  'a refund, then a won dispute about the rest': [
    ['deposit_authorized', '100'],
    ['deposit_failed', '100'],
    ['deposit_captured', '100'],
    ['refund', '30', 'refund'],
    ['chargeback', '70', 'dispute'],
    ['chargeback_won', '70', 'dispute'],
  ],
  'a won dispute about all of it, then a refund': [
    ['deposit_authorized', '100'],
    ['deposit_failed', '100'],
    ['deposit_captured', '100'],
    ['chargeback', '100', 'dispute'],
    ['chargeback_won', '100', 'dispute'],
    ['refund', '30', 'refund'],
  ],
};

test.each(Object.keys(lives))(
  `in ${orders} of the 720 orders (PERMUTATIONS=n for more) a deposit's six events, each told one to five times, end in its truth: %s`,
  (life) =>
    inOneDatabase(async (doors) => {
      const source = random(7);
      const job = doors.jobs[0] as pg.Client;
      const all = permutations([0, 1, 2, 3, 4, 5]);
      for (const order of orders < all.length ? source.shuffle(all).slice(0, orders) : all) {
        const player = await newPlayer(doors.money);
        const payment = await pending(doors, player, '100');
        const events = (lives[life] ?? []).map(([kind, amount_minor, ref]) =>
          told(payment, kind, { amount_minor, ...(ref && { ref: `${ref} of ${payment.id}` }) }),
        );
        for (const event of repeated(
          order.map((n) => events[n] as Told),
          source,
        )) {
          await ask(job, 'process_events($1)', JSON.stringify(await doors.hook(event)));
          counted.told += 1;
        }
        const end = [order, await depositState(doors, payment), await ledgerOf(doors.root, player)];
        expect(end).toEqual([order, ['completed', '30', '0'], ['70', '0']]);
        const { rows } = await doors.root.query(
          `select kind, status from provider_events where tx_id = $1 and status in ('received', 'failed', 'dead')`,
          [payment.id],
        );
        expect([order, rows]).toEqual([order, []]);
        counted.permutations += 1;
      }
      expect(await violations(doors.root)).toEqual([]);
    }),
  60_000 + orders * 1_000,
);

test(
  `in ${runs} random histories (RUNS=n for more) of deposits and withdrawals, told in any order, repeated, contradicted and worked through by several jobs at once, balances and states are the truth`,
  async () => {
    const started = performance.now();
    const batches = again === undefined ? Math.ceil(runs / batch) : 1;
    for (let n = 0; n < batches; n++) {
      const numRuns = again === undefined ? Math.min(batch, runs - n * batch) : batch;
      const parameters = { numRuns, seed: again ?? (Math.random() * 2 ** 31) | 0 };
      await inOneDatabase((doors) =>
        fc.assert(
          fc.asyncProperty(story, async (one) => {
            const { found, truth, deliveries } = await live(doors, one);
            expect(found).toEqual(truth);
            expect(await violations(doors.root)).toEqual([]);
            counted.histories += 1;
            counted.deliveries += deliveries;
          }),
          parameters,
        ),
      );
      if (proving) process.stderr.write(`${batches - n - 1} batches of histories of payments left\n`);
    }
    counted.seconds = (performance.now() - started) / 1_000;
  },
  60_000 + runs * 2_000,
);

async function inOneDatabase(work: (doors: Doors) => Promise<unknown>): Promise<void> {
  const database = await openDatabase();
  try {
    await work(await openDoors(database));
  } finally {
    await database.close();
  }
}

function permutations(items: number[]): number[][] {
  if (items.length < 2) return [items];
  return items.flatMap((first) =>
    permutations(items.filter((n) => n !== first)).map((rest) => [first, ...rest]),
  );
}

/** Each event up to four times more, somewhere behind its first time. */
function repeated(events: Told[], source: Random): Told[] {
  const all = [...events];
  for (const event of events)
    for (let left = source.below(5); left > 0; left--) {
      const first = all.indexOf(event);
      all.splice(first + 1 + source.below(all.length - first), 0, event);
    }
  return all;
}

function writeEffects(): void {
  const { permutations: tried, told: times, histories, deliveries, seconds } = counted;
  writeSection(
    '65-payment-effects',
    'Events of payment providers in any order',
    'Authorized, failed, captured, partly refunded, charged back and won, each told one to five times, in every order; and random histories of ' +
      'deposits and withdrawals of three players in two currencies, whose truth is known: told in any order by webhooks and lists, repeated, with wrong ' +
      'amounts, currencies, transactions and owners between them, beside the answers of the provider, worked through by up to three jobs at once. ' +
      'Every state, every balance and every finding was that of the truth, and `check_money()` held after each history. ' +
      'A failure is shrunk and named by its seed: `SEED=n npx vitest run test/sql/payment-effects.test.ts`.\n\n' +
      table(
        ['what', 'count'],
        [
          ['orders of the life of a deposit', tried],
          ['deliveries in them', times],
          ['random histories', histories],
          ['deliveries in them', deliveries],
          ['minutes for the histories', (seconds / 60).toFixed(1)],
        ],
      ),
  );
}
