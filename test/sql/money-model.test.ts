// Random histories of wallets: after every step the books answer and hold what a small model says, and no invariant is broken.
import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openDatabase, type TestDatabase } from '../support/database.ts';
import { type Answer, call, type Verb, violations } from '../support/money.ts';
import { type Entry, MoneyModel } from '../support/money-model.ts';

const runs = Number(process.env.RUNS ?? process.env.SEEDS ?? 60);

let database: TestDatabase;
beforeAll(async () => {
  database = await openDatabase();
});
afterAll(() => database.close());

const amount = fc.oneof(
  { weight: 12, arbitrary: fc.bigInt(1n, 60n) },
  { weight: 1, arbitrary: fc.constantFrom(2n ** 53n - 1n, 2n ** 53n + 1n, 10n ** 18n, 2n ** 63n - 1n) },
);
const which = fc.nat(30);
const movement = fc.record({ from: which, to: which, amount, fee: fc.option(amount, { nil: undefined }) });
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('credit' as const), who: which, amount }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom('debit' as const, 'adjust' as const),
      who: which,
      amount,
      overdraw: fc.boolean(),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('spend' as const), who: which, amount }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('grant' as const),
      who: which,
      amount,
      days: fc.integer({ min: 1, max: 9 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('hold' as const), who: which, amount, expires: fc.boolean() }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom('capture' as const, 'void' as const),
      which,
      amount: fc.option(amount),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('transfer' as const), movement }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('batch' as const),
      movements: fc.array(movement, { minLength: 1, maxLength: 6 }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('reverse' as const),
      which,
      amount: fc.option(amount),
      overdraw: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('let time pass' as const), which, run: fc.boolean() }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom('say again' as const, 'say otherwise' as const), which }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('fold' as const) }) },
);
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

test(
  `in ${runs} random histories every answer and balance is the model's, and every invariant holds after every step`,
  async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40, size: 'max' }), async (steps) => {
        const history = new History();
        for (const each of steps) {
          await history.take(each);
          expect(await history.balances()).toEqual(Object.fromEntries(history.model.balances));
          expect(await history.lots()).toEqual(
            Object.fromEntries(history.model.lots.map(({ id, remaining }) => [id, remaining])),
          );
          expect(await violations(database.superuser)).toEqual([]);
        }
      }),
      { numRuns: runs },
    );
  },
  60_000 + runs * 1_500,
);

const query = (sql: string, ...values: unknown[]) => database.superuser.query(sql, values);

class History {
  readonly model = new MoneyModel();
  readonly #tenant = `t-${randomUUID()}`;
  readonly #owners = [randomUUID(), randomUUID(), randomUUID()];
  readonly #said: { verb: Verb; key: string; body: Record<string, unknown>; answer: Answer }[] = [];
  #grants = 0;

  #owner(n: number): string {
    return this.#owners[n % this.#owners.length] ?? '';
  }

  /** Sends the call, and has the model decide on it with the id that the call will have. */
  async #say(verb: Verb, body: Record<string, unknown>, decide: (id: string) => string): Promise<void> {
    const key = randomUUID();
    const { rows } = await query(`select derived_uuid('key|' || $1 || '|test|' || $2) id`, this.#tenant, key);
    const answer = await call(database.superuser, verb, body, { key, of: this.#tenant });
    expect([verb, answer.code ?? answer.outcome]).toEqual([verb, decide(rows[0].id)]);
    this.#said.push({ verb, key, body, answer });
  }

  async #account(name: string): Promise<string> {
    const [owner, kind] = name.includes('/') ? name.split('/') : [null, name];
    return (await query(`select account_id($1, $2, 'USD', $3) id`, this.#tenant, owner, kind)).rows[0].id;
  }

  async movement({
    from,
    to,
    amount: sent,
    fee,
  }: {
    from: number;
    to: number;
    amount: bigint;
    fee: bigint | undefined;
  }) {
    const total = sent + (fee ?? 0n) > 2n ** 63n - 1n ? sent : sent + (fee ?? 0n);
    const entries: Entry[] = [
      [`${this.#owner(from)}/available`, -total],
      [`${this.#owner(to)}/available`, sent],
    ];
    if (total > sent) entries.push(['revenue', total - sent]);
    const wire: Record<string, string>[] = [];
    for (const [name, signed] of entries)
      wire.push({
        account_id: await this.#account(name),
        direction: signed < 0n ? 'debit' : 'credit',
        amount_minor: String(signed < 0n ? -signed : signed),
      });
    return { entries, body: { kind: 'payment', entries: wire } };
  }

  async take(each: Step): Promise<void> {
    const { model } = this;
    switch (each.do) {
      case 'credit':
      case 'debit':
      case 'adjust':
      case 'spend':
      case 'grant':
      case 'hold':
        return this.#takeWallet(each);
      case 'capture':
      case 'void': {
        const hold = model.holds[each.which % (model.holds.length || 1)];
        if (!hold) return;
        const taken = each.do === 'void' ? 0n : each.amount;
        const body = {
          hold_id: hold.id,
          ...(each.do === 'capture' && taken !== null && { amount_minor: String(taken) }),
        };
        return this.#say(each.do, body, (id) => model.resolve(hold, id, taken));
      }
      case 'transfer': {
        const { entries, body } = await this.movement(each.movement);
        return this.#say('transfer', body, (id) => model.transfer(id, entries));
      }
      case 'batch': {
        const movements: Awaited<ReturnType<History['movement']>>[] = [];
        for (const one of each.movements) movements.push(await this.movement(one));
        const body = { movements: movements.map((one) => one.body) };
        return this.#say('transfer_batch', body, () => model.batch(movements.map(({ entries }) => entries)));
      }
      case 'reverse': {
        const original = model.booked[each.which % (model.booked.length || 1)];
        if (!original) return;
        const body = {
          transfer_id: original.id,
          overdraw: each.overdraw,
          ...(each.amount !== null && { amount_minor: String(each.amount) }),
        };
        return this.#say('reverse', body, () => model.reverse(original, each.amount, each.overdraw));
      }
      case 'let time pass':
        return this.#age(each.which, each.run);
      case 'say again':
      case 'say otherwise':
        return this.#again(each.which, each.do === 'say otherwise');
      case 'fold':
        await query('select fold_accounts()');
    }
  }

  #takeWallet(each: Extract<Step, { who: number }>): Promise<void> {
    const { model } = this;
    const owner = this.#owner(each.who);
    const body = { owner_id: owner, currency: 'USD', amount_minor: String(each.amount) };
    const available = `${owner}/available`;
    const funds = (code: string) => (code === 'ACCOUNT_NOT_FOUND' ? 'INSUFFICIENT_FUNDS' : code);
    switch (each.do) {
      case 'credit':
        return this.#say('credit_wallet', body, (id) => {
          model.open(owner);
          return model.transfer(id, [
            [available, each.amount],
            ['clearing', -each.amount],
          ]);
        });
      case 'debit':
        return this.#say('debit_wallet', { ...body, overdraw: each.overdraw }, (id) =>
          funds(
            model.transfer(
              id,
              [
                [available, -each.amount],
                ['clearing', each.amount],
              ],
              each.overdraw,
            ),
          ),
        );
      case 'adjust':
        return this.#say(
          'adjust_wallet',
          { ...body, direction: 'debit', reason: each.overdraw ? 'a mistake' : ' ' },
          (id) =>
            each.overdraw
              ? funds(
                  model.transfer(id, [
                    [available, -each.amount],
                    ['adjustments', each.amount],
                  ]),
                )
              : 'REASON_REQUIRED',
        );
      case 'spend':
        return this.#say('spend', body, (id) => model.spend(id, owner, each.amount));
      case 'grant': {
        const days = each.days * 100 + this.#grants++; // no two alike, so that their order is known
        const expires_at = new Date(Date.now() + days * 86_400_000).toISOString();
        return this.#say('grant_promo', { ...body, expires_at }, (id) =>
          model.grant(id, owner, each.amount, days),
        );
      }
      case 'hold':
        return this.#say('hold', { ...body, ...(each.expires && { expires_in_s: '3600' }) }, (id) =>
          model.hold(id, owner, each.amount, each.expires),
        );
    }
  }

  /** Lets a hold and a lot reach their instant; the jobs may run, or not yet. */
  async #age(n: number, run: boolean): Promise<void> {
    const aged = `set local session_replication_role = replica`;
    const hold = this.model.holds.filter(({ expires, status }) => expires && status === 'pending')[n % 3];
    const lot = this.model.lots.filter(({ expiry }) => expiry > 0)[n % 3];
    await query('begin');
    await query(aged);
    await query('update holds set expires_at = clock_timestamp() where id = $1', hold?.id);
    await query('update promo_lots set expires_at = clock_timestamp() where id = $1', lot?.id);
    await query('commit');
    if (hold) hold.status = 'due';
    if (lot) this.model.age(lot);
    if (!run) return;
    await query('select expire_holds(), expire_promo()');
    this.model.expireHolds();
    this.model.expirePromo();
  }

  async #again(n: number, otherwise: boolean): Promise<void> {
    const before = this.#said[n % (this.#said.length || 1)];
    if (!before) return;
    const body = otherwise ? { ...before.body, reference: 'another' } : before.body;
    const answer = await call(database.superuser, before.verb, body, { key: before.key, of: this.#tenant });
    if (otherwise) expect(answer.outcome).toBe('conflict');
    else expect(answer).toEqual({ ...before.answer, replayed: true });
  }

  async balances(): Promise<Record<string, bigint>> {
    const { rows } = await query(
      `select coalesce(owner_id || '/', '') || kind as name, balance_at(id) balance from accounts where tenant_id = $1`,
      this.#tenant,
    );
    return Object.fromEntries(rows.map(({ name, balance }) => [name, BigInt(balance)]));
  }

  async lots(): Promise<Record<string, bigint>> {
    const { rows } = await query('select id, remaining from promo_lots where tenant_id = $1', this.#tenant);
    return Object.fromEntries(rows.map(({ id, remaining }) => [id, BigInt(remaining)]));
  }
}
