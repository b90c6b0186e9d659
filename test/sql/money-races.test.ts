// Guarantee 8 under concurrency: funds are never spent twice, keys act once, nobody waits in a circle, a hot account stops nobody.
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { proving, writeSection } from '../faults/sections.ts';
import { openDatabase, type TestDatabase } from '../support/database.ts';
import { type Answer, call, openAccount, pair, violations, wallet } from '../support/money.ts';
import { random } from '../support/random.ts';

const clients_count = 50;
const count = Number(process.env.SEEDS ?? (proving ? 100 : 1));
/** SEED takes one of them again. */
const seeds = process.env.SEED ? [Number(process.env.SEED)] : Array.from({ length: count }, (_, n) => n + 1);

let database: TestDatabase;
let clients: pg.Client[];
let calls_count = 0;
let sound_count = 0;

async function open(): Promise<void> {
  database = await openDatabase();
  clients = await Promise.all(Array.from({ length: clients_count }, () => database.connect()));
}

async function close(): Promise<void> {
  expect(await violations(database.superuser)).toEqual([]);
  sound_count += 1;
  await database.close();
}

const say: typeof call = (...given) => {
  calls_count += 1;
  return call(...given);
};
const client = (n: number) => clients[n % clients_count] as pg.Client;
const done = (answers: Answer[]) => answers.filter(({ outcome }) => outcome === 'done').length;

async function funded(amount_minor: string): Promise<{ owner_id: string; currency: string; id: string }> {
  const wallet = { owner_id: randomUUID(), currency: 'USD' };
  await say(client(0), 'credit_wallet', { ...wallet, amount_minor });
  return { ...wallet, id: await openAccount(client(0), 'available', { owner: wallet.owner_id }) };
}

describe.each(seeds)(
  `with the order and the sizes of seed %i, one of ${seeds.length} (SEEDS=n for more)`,
  (seed) => {
    const source = random(seed);
    beforeAll(open);
    afterAll(close);

    test.each([2, 50])(
      'of %i withdrawals of 80 at once from a balance of 100 exactly one succeeds',
      async (count) => {
        const { owner_id, currency } = await funded('100');
        const body = { owner_id, currency, amount_minor: '80' };
        const answers = await Promise.all(
          source
            .shuffle(clients)
            .slice(0, count)
            .map((each) => say(each, 'hold', body)),
        );
        expect(done(answers)).toBe(1);
        expect(answers.filter(({ code }) => code === 'INSUFFICIENT_FUNDS')).toHaveLength(count - 1);
        expect(await wallet(client(0), owner_id)).toEqual(['20', '80', '0']);
      },
    );

    test('of 16 clients with the same key one moves money, and all get its answer', async () => {
      const { owner_id, currency } = await funded('100');
      const key = randomUUID();
      const body = { owner_id, currency, amount_minor: '10' };
      const answers = await Promise.all(
        source
          .shuffle(clients)
          .slice(0, 16)
          .map((each) => say(each, 'debit_wallet', body, { key })),
      );
      expect(answers.filter(({ replayed }) => !replayed)).toHaveLength(1);
      expect(new Set(answers.map(({ transfer_ids }) => transfer_ids?.[0])).size).toBe(1);
      expect((await wallet(client(0), owner_id))[0]).toBe('90');
    });

    test('many clients that move money both ways between the same accounts never wait in a circle', async () => {
      const accounts = [
        await funded('1000'),
        await funded('1000'),
        await funded('1000'),
        await funded('1000'),
      ];
      const some = () => accounts[source.below(4)] as (typeof accounts)[0];
      const steps = source
        .shuffle(clients)
        .slice(0, 16)
        .map(async (each) => {
          for (let i = 0; i < 40; i++) {
            const [from, to, third] = [some(), some(), some()];
            if (i % 4 === 0)
              await say(each, 'transfer_batch', {
                movements: [
                  pair(from.id, to.id, '3'),
                  pair(to.id, third.id, '2'),
                  pair(third.id, from.id, '1'),
                ],
              });
            else if (i % 4 === 1) {
              const { hold_id } = await say(each, 'hold', { ...from, amount_minor: '5' });
              if (hold_id) await say(each, 'capture', { hold_id, amount_minor: '2', account_id: to.id });
            } else if (i % 4 === 2) await say(each, 'spend', { ...from, amount_minor: '1' });
            else await say(each, 'transfer', pair(from.id, to.id, '7'));
          }
        });
      const jobs = (async () => {
        for (let i = 0; i < 20; i++) {
          await database.superuser.query('select fold_accounts()');
          await database.superuser.query('select expire_holds(), expire_promo()');
          expect(await violations(database.superuser)).toEqual([]);
        }
      })();
      await Promise.all([...steps, jobs]);
    });

    test('a reply that is lost and asked for again changes nothing', async () => {
      const { owner_id, currency } = await funded('100');
      const body = { owner_id, currency, amount_minor: '10' };
      for (let i = 0; i < 9; i++) {
        const key = randomUUID();
        const cut = new pg.Client({ connectionString: database.url });
        cut.on('error', () => undefined);
        await cut.connect();
        const lost = say(cut, 'debit_wallet', body, { key }).catch(() => undefined);
        // Cut at some moment of the call: before, in or after its commit.
        await new Promise((resolve) => setTimeout(resolve, source.below(50) / 10));
        (cut as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
        await lost;
        await say(client(1), 'debit_wallet', body, { key });
        expect((await wallet(client(0), owner_id))[0]).toBe(String(90 - 10 * i));
      }
    });

    test('reversals at once never exceed the original', async () => {
      const part = 10 + source.below(60);
      const [a, b] = [await funded('100'), await funded('1000')];
      const transfer_id = (await say(client(0), 'transfer', pair(a.id, b.id, '100'))).transfer_ids?.[0];
      const answers = await Promise.all(
        source
          .shuffle(clients)
          .slice(0, 16)
          .map((each) => say(each, 'reverse', { transfer_id, amount_minor: String(part) })),
      );
      const times = Math.floor(100 / part);
      expect(done(answers)).toBe(times);
      expect((await wallet(client(0), a.owner_id))[0]).toBe(String(part * times));
    });
  },
);

describe('whatever the order', () => {
  beforeAll(open);
  afterAll(close);

  test('a movement does not wait for another one to the same shared account that is still at work', async () => {
    const [a, b] = [await funded('10'), await funded('10')];
    const revenue = await openAccount(client(0), 'revenue');
    await client(0).query('begin');
    await say(client(0), 'transfer', pair(a.id, revenue, '1'));
    await client(1).query(`set statement_timeout = '2s'`);
    expect(await say(client(1), 'transfer', pair(b.id, revenue, '1'))).toMatchObject({ outcome: 'done' });
    await client(1).query('reset statement_timeout');
    await client(0).query('commit');
  });

  test('a wallet that is locked for long is a retryable error after three seconds, and the key stays free', async () => {
    const { owner_id, currency } = await funded('10');
    const body = { owner_id, currency, amount_minor: '1' };
    const key = randomUUID();
    await client(0).query('begin');
    await say(client(0), 'debit_wallet', body);
    await expect(say(client(1), 'debit_wallet', body, { key })).rejects.toMatchObject({ code: '55P03' });
    await client(0).query('commit');
    expect(await say(client(1), 'debit_wallet', body, { key })).not.toHaveProperty('replayed');
  });
});

afterAll(() =>
  writeSection(
    '61-money-races',
    'Races of money',
    `${seeds.length} seeds, ${calls_count} calls of up to ${clients_count} clients at once: withdrawals of one balance, one key said by many, transfers, batches, holds and spends ` +
      'both ways between the same accounts while the jobs run, replies that are lost, reversals of one transfer. After each seed every invariant is examined: ' +
      `**${seeds.length + 1 - sound_count} of ${seeds.length + 1} databases broken**. Replay one with \`SEED=n npx vitest run test/sql/money-races.test.ts\`: ` +
      'who asks and for how much is the same; how the clients interleave is not replayed.',
  ),
);
