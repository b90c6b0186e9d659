// A random history of wallets: takes each step in the books and in the model, and shows what both hold.
import { createHash, randomUUID } from 'node:crypto';
import type pg from 'pg';
import { expect } from 'vitest';
import { type Answer, call, type Verb } from './money.ts';
import { type Entry, MoneyModel } from './money-model.ts';
import type { Step } from './money-steps.ts';

/** One history in a tenant of its own: each step is taken by the books and by the model, and their answers are compared. */
export class History {
  readonly model = new MoneyModel();
  readonly tenant = `t-${randomUUID()}`;
  readonly #client: pg.ClientBase;
  readonly #owners = [randomUUID(), randomUUID(), randomUUID()];
  readonly #said: { verb: Verb; key: string; body: Record<string, unknown>; answer: Answer }[] = [];
  #grants = 0;

  constructor(client: pg.ClientBase) {
    this.#client = client;
  }

  #owner(n: number): string {
    return this.#owners[n % this.#owners.length] ?? '';
  }

  /** Sends the call, and has the model decide on it with the id that the call will have. */
  async #say(verb: Verb, body: Record<string, unknown>, decide: (id: string) => string): Promise<void> {
    const key = randomUUID();
    const answer = await call(this.#client, verb, body, { key, of: this.tenant });
    expect([verb, answer.code ?? answer.outcome]).toEqual([
      verb,
      decide(derivedUuid(`key|${this.tenant}|test|${key}`)),
    ]);
    this.#said.push({ verb, key, body, answer });
  }

  #account(name: string): string {
    const [owner, kind] = name.includes('/') ? name.split('/') : ['', name];
    return derivedUuid(`account|${this.tenant}|${owner}|USD|${kind}|`);
  }

  #movement({
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
        account_id: this.#account(name),
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
        const { entries, body } = this.#movement(each.movement);
        return this.#say('transfer', body, (id) => model.transfer(id, entries));
      }
      case 'batch': {
        const movements = each.movements.map((one) => this.#movement(one));
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
        await this.#query('select fold_accounts()');
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
    await this.#query('begin');
    await this.#query(aged);
    await this.#query('update holds set expires_at = clock_timestamp() where id = $1', hold?.id);
    await this.#query('update promo_lots set expires_at = clock_timestamp() where id = $1', lot?.id);
    await this.#query('commit');
    if (hold) hold.status = 'due';
    if (lot) this.model.age(lot);
    if (!run) return;
    await this.#query('select expire_holds(), expire_promo()');
    this.model.expireHolds();
    this.model.expirePromo();
  }

  async #again(n: number, otherwise: boolean): Promise<void> {
    const before = this.#said[n % (this.#said.length || 1)];
    if (!before) return;
    const body = otherwise ? { ...before.body, reference: 'another' } : before.body;
    const answer = await call(this.#client, before.verb, body, { key: before.key, of: this.tenant });
    if (otherwise) expect(answer.outcome).toBe('conflict');
    else expect(answer).toEqual({ ...before.answer, replayed: true });
  }

  /** Balances and lots as the books have them. */
  async state(): Promise<{ balances: Record<string, bigint>; lots: Record<string, bigint> }> {
    const { rows } = await this.#client.query({
      name: 'state',
      text: `select coalesce(owner_id || '/', '') || kind as name, balance_at(id)::text amount, true as account from accounts where tenant_id = $1
             union all select id::text, remaining::text, false from promo_lots where tenant_id = $1`,
      values: [this.tenant],
    });
    const taken = (account: boolean) =>
      Object.fromEntries(
        rows.filter((row) => row.account === account).map(({ name, amount }) => [name, BigInt(amount)]),
      );
    return { balances: taken(true), lots: taken(false) };
  }

  /** The same as the model has them. */
  expected(): Awaited<ReturnType<History['state']>> {
    return {
      balances: Object.fromEntries(this.model.balances),
      lots: Object.fromEntries(this.model.lots.map(({ id, remaining }) => [id, remaining])),
    };
  }

  #query(sql: string, ...values: unknown[]) {
    return this.#client.query(sql, values);
  }
}

/** What the ledger derives ids with, said a second time. */
function derivedUuid(text: string): string {
  const hex = createHash('sha256').update(text).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
