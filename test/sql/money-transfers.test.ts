// Guarantee 8, the movements: double entry, atomic batches, keys, reversals, and balances at any instant.
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDatabase, type TestDatabase } from '../support/database.ts';
import { call, openAccount, pair, violations, wallet } from '../support/money.ts';

let database: TestDatabase;
let money: pg.Client;
let jobs: pg.Client;
beforeAll(async () => {
  database = await openDatabase();
  money = await database.as('kernel_money');
  jobs = await database.as('kernel_jobs');
});
afterAll(async () => {
  expect(await violations(database.superuser)).toEqual([]);
  await database.close();
});

const one = async (sql: string, ...values: unknown[]) =>
  (await database.superuser.query(sql, values)).rows[0];
const books = () =>
  one(`select (select count(*) from transfers) transfers, (select count(*) from entries) entries, (select count(*) from idempotency_keys) keys,
              (select sum(version) from accounts) versions`);

/** An available account with money in it. */
async function funded(amount_minor: string, currency = 'USD'): Promise<{ id: string; owner: string }> {
  const owner = randomUUID();
  await call(money, 'credit_wallet', { owner_id: owner, currency, amount_minor });
  return { owner, id: await openAccount(money, 'available', { owner, currency }) };
}

describe('a movement', () => {
  test('takes from one account what it gives to the other, and answers with both balances', async () => {
    const [from, to] = [await funded('100'), await funded('1')];
    const answer = await call(money, 'transfer', pair(from.id, to.id, '30'));
    expect(answer).toMatchObject({ outcome: 'done', balances: { [from.id]: '70', [to.id]: '31' } });
  });

  test('between two balances that many share is written as entries only', async () => {
    const [clearing, revenue] = [await openAccount(money, 'clearing'), await openAccount(money, 'revenue')];
    expect(await call(money, 'transfer', pair(clearing, revenue, '5'))).toMatchObject({ balances: {} });
  });

  test('may have many entries, in several currencies, each of which sums to zero', async () => {
    const [usd, eur] = [await funded('100'), await funded('100', 'EUR')];
    const [usdClearing, eurClearing] = [
      await openAccount(money, 'clearing'),
      await openAccount(money, 'clearing', { currency: 'EUR' }),
    ];
    const legs = [...pair(usd.id, usdClearing, '50').entries, ...pair(eurClearing, eur.id, '45').entries];
    const answer = await call(money, 'transfer', { kind: 'exchange', entries: legs });
    expect(answer.balances).toEqual({ [usd.id]: '50', [eur.id]: '145' });
  });

  const refusals: [
    string,
    string,
    (a: string, b: string, eur: string, held: string) => Record<string, unknown>,
  ][] = [
    ['more than there is', 'INSUFFICIENT_FUNDS', (a, b) => pair(a, b, '101')],
    ['an unknown account', 'ACCOUNT_NOT_FOUND', (a) => pair(a, randomUUID(), '1')],
    ['the same account twice', 'SAME_ACCOUNT', (a) => pair(a, a, '1')],
    ['two currencies', 'CURRENCY_MISMATCH', (a, _b, eur) => pair(a, eur, '1')],
    ['a held balance', 'ACCOUNT_RESERVED', (a, _b, _eur, held) => pair(a, held, '1')],
    [
      'entries that do not sum to zero',
      'UNBALANCED',
      (a, b) => ({
        ...pair(a, b, '2'),
        entries: [
          ...pair(a, b, '2').entries.slice(0, 1),
          { account_id: b, direction: 'credit', amount_minor: '1' },
        ],
      }),
    ],
    [
      'more than a balance can hold',
      'BALANCE_OUT_OF_RANGE',
      (a, b) => ({
        kind: 'x',
        entries: [
          { account_id: b, direction: 'credit', amount_minor: '9223372036854775807' },
          ...pair(a, b, '9223372036854775807').entries.slice(0, 1),
        ],
      }),
    ],
  ];
  test.each(refusals)(
    'of %s is refused as %s, alone and in a batch alike, and moves nothing',
    async (_name, code, body) => {
      const [a, b, eur] = [await funded('100'), await funded('100'), await funded('100', 'EUR')];
      const held = await openAccount(money, 'held', { owner: b.owner });
      if (code === 'BALANCE_OUT_OF_RANGE') await makeOverdrawable(a.id);
      const before = await books();
      const movement = body(a.id, b.id, eur.id, held);
      expect(await call(money, 'transfer', movement)).toMatchObject({
        outcome: 'refused',
        code,
        movement: 1,
      });
      const batch = await call(money, 'transfer_batch', { movements: [pair(a.id, b.id, '1'), movement] });
      expect(batch).toMatchObject({ outcome: 'refused', code, movement: 2 });
      expect(await books()).toEqual({ ...before, keys: String(Number(before.keys) + 2) });
    },
  );

  test('that is malformed is raised, and its key stays free', async () => {
    const [a, b] = [await funded('100'), await funded('100')];
    const key = randomUUID();
    for (const amount of ['0', '-1', '01', ' 1', '1e3', '1.0', '', '９'])
      await expect(call(money, 'transfer', pair(a.id, b.id, amount), { key })).rejects.toMatchObject({
        code: 'RK030',
      });
    await expect(
      call(money, 'transfer', pair(a.id, b.id, '9223372036854775808'), { key }),
    ).rejects.toMatchObject({ code: '22003' });
    expect(await call(money, 'transfer', pair(a.id, b.id, '1'), { key })).toMatchObject({ outcome: 'done' });
  });

  test('of another tenant cannot name our accounts', async () => {
    const [a, b] = [await funded('100'), await funded('100')];
    expect(await call(money, 'transfer', pair(a.id, b.id, '1'), { of: 'other' })).toMatchObject({
      code: 'ACCOUNT_NOT_FOUND',
    });
  });

  test('keeps when it happened beside when it was booked', async () => {
    const [a, b] = [await funded('100'), await funded('100')];
    const { transfer_ids } = await call(money, 'transfer', {
      ...pair(a.id, b.id, '1'),
      event_at: '2025-01-05T10:00:00Z',
    });
    const row = await one('select event_at, created_at from transfers where id = $1', transfer_ids?.[0]);
    expect(row.event_at.toISOString()).toBe('2025-01-05T10:00:00.000Z');
    expect(row.created_at.getTime()).toBeGreaterThan(Date.UTC(2026, 0));
  });

  test('of one event of a provider happens once, whatever the key', async () => {
    const body = {
      owner_id: randomUUID(),
      currency: 'USD',
      amount_minor: '5',
      provider: 'mockpsp',
      provider_event_id: randomUUID(),
    };
    expect(await call(money, 'credit_wallet', body)).toMatchObject({ outcome: 'done' });
    expect(await call(money, 'credit_wallet', body)).toMatchObject({ code: 'PROVIDER_EVENT_USED' });
    expect(await call(money, 'credit_wallet', body, { of: 'other' })).toMatchObject({ outcome: 'done' });
  });
});

describe('a batch', () => {
  test('leaves what its movements leave one by one', async () => {
    const [a, b, c] = [await funded('100'), await funded('100'), await funded('100')];
    const [d, e, f] = [await funded('100'), await funded('100'), await funded('100')];
    const moves = (x: string, y: string, z: string) => [
      pair(x, y, '100'),
      pair(y, z, '150'),
      pair(z, x, '7'),
      pair(y, x, '50'),
    ];
    const batch = await call(money, 'transfer_batch', { movements: moves(a.id, b.id, c.id) });
    for (const move of moves(d.id, e.id, f.id)) await call(money, 'transfer', move);
    const chain = async (id: string) =>
      (
        await database.superuser.query(
          'select amount, balance_before, balance_after, version from entries where account_id = $1 order by version',
          [id],
        )
      ).rows;
    for (const [together, alone] of [
      [a, d],
      [b, e],
      [c, f],
    ] as const)
      expect(await chain(together.id)).toEqual(await chain(alone.id));
    expect(batch.transfer_ids).toHaveLength(4);
    expect(Object.values(batch.balances ?? {}).sort()).toEqual(['0', '243', '57'].sort());
  });
});

describe('a key', () => {
  test('has one effect and one answer, which is given again', async () => {
    const [a, b] = [await funded('100'), await funded('100')];
    const key = randomUUID();
    const first = await call(money, 'transfer', pair(a.id, b.id, '10'), { key });
    const before = await books();
    expect(await call(money, 'transfer', pair(a.id, b.id, '10'), { key })).toEqual({
      ...first,
      replayed: true,
    });
    expect(await books()).toEqual(before);
  });

  test('with another body, or another verb, is a conflict and changes nothing', async () => {
    const [a, b] = [await funded('100'), await funded('100')];
    const key = randomUUID();
    await call(money, 'transfer', pair(a.id, b.id, '10'), { key });
    const before = await books();
    expect(await call(money, 'transfer', pair(a.id, b.id, '11'), { key })).toMatchObject({
      outcome: 'conflict',
    });
    expect(await call(money, 'transfer_batch', pair(a.id, b.id, '10'), { key })).toMatchObject({
      outcome: 'conflict',
    });
    expect(await books()).toEqual(before);
  });

  test('is one for each scope and tenant', async () => {
    const body = { owner_id: randomUUID(), currency: 'USD', amount_minor: '5' };
    const key = 'shared';
    expect(await call(money, 'credit_wallet', body, { key, scope: 'one' })).not.toHaveProperty('replayed');
    expect(await call(money, 'credit_wallet', body, { key, scope: 'two' })).not.toHaveProperty('replayed');
    expect(await call(money, 'credit_wallet', body, { key, scope: 'one', of: 'other' })).not.toHaveProperty(
      'replayed',
    );
  });

  test('pins a refusal: the same call is refused for ever, a new key is not', async () => {
    const [a, b] = [await funded('10'), await funded('100')];
    const key = randomUUID();
    expect(await call(money, 'transfer', pair(a.id, b.id, '20'), { key })).toMatchObject({
      code: 'INSUFFICIENT_FUNDS',
    });
    await call(money, 'transfer', pair(b.id, a.id, '50'));
    expect(await call(money, 'transfer', pair(a.id, b.id, '20'), { key })).toMatchObject({
      code: 'INSUFFICIENT_FUNDS',
      replayed: true,
    });
    expect(await call(money, 'transfer', pair(a.id, b.id, '20'))).toMatchObject({ outcome: 'done' });
  });

  test('is undone with its movement: a call that never committed leaves the key free', async () => {
    const [a, b] = [await funded('10'), await funded('10')];
    const key = randomUUID();
    await money.query('begin');
    await call(money, 'transfer', pair(a.id, b.id, '3'), { key });
    await money.query('rollback');
    expect(await call(money, 'transfer', pair(a.id, b.id, '3'), { key })).not.toHaveProperty('replayed');
  });
});

describe('a reversal', () => {
  test('takes back in parts what was moved, and never more', async () => {
    const [a, b] = [await funded('100'), await funded('1')];
    const { transfer_ids } = await call(money, 'transfer', pair(a.id, b.id, '60'));
    const transfer_id = transfer_ids?.[0];
    expect(await call(money, 'reverse', { transfer_id, amount_minor: '20' })).toMatchObject({
      balances: { [a.id]: '60', [b.id]: '41' },
    });
    expect(await call(money, 'reverse', { transfer_id, amount_minor: '41' })).toMatchObject({
      code: 'REVERSAL_EXCEEDS_ORIGINAL',
    });
    const last = await call(money, 'reverse', { transfer_id });
    expect(last).toMatchObject({ balances: { [a.id]: '100', [b.id]: '1' } });
    for (const again of [transfer_id, last.transfer_ids?.[0]])
      expect(await call(money, 'reverse', { transfer_id: again })).toMatchObject({ outcome: 'refused' });
    expect(await call(money, 'reverse', { transfer_id: last.transfer_ids?.[0] })).toMatchObject({
      code: 'NOT_REVERSIBLE',
    });
  });

  test('of an exchange is whole, and once', async () => {
    const [usd, eur] = [await funded('100'), await funded('100', 'EUR')];
    const [x, y] = [
      await openAccount(money, 'clearing'),
      await openAccount(money, 'clearing', { currency: 'EUR' }),
    ];
    const body = {
      kind: 'exchange',
      entries: [...pair(usd.id, x, '50').entries, ...pair(y, eur.id, '45').entries],
    };
    const transfer_id = (await call(money, 'transfer', body)).transfer_ids?.[0];
    expect(await call(money, 'reverse', { transfer_id, amount_minor: '1' })).toMatchObject({
      code: 'REVERSAL_NOT_DIVISIBLE',
    });
    expect(await call(money, 'reverse', { transfer_id })).toMatchObject({
      balances: { [usd.id]: '100', [eur.id]: '100' },
    });
    expect(await call(money, 'reverse', { transfer_id })).toMatchObject({
      code: 'REVERSAL_EXCEEDS_ORIGINAL',
    });
  });

  test('is refused where the money is gone, unless it may overdraw', async () => {
    const [a, b, c] = [await funded('100'), await funded('1'), await funded('1')];
    const transfer_id = (await call(money, 'transfer', pair(a.id, b.id, '100'))).transfer_ids?.[0];
    await call(money, 'transfer', pair(b.id, c.id, '101'));
    expect(await call(money, 'reverse', { transfer_id })).toMatchObject({ code: 'INSUFFICIENT_FUNDS' });
    expect(await call(money, 'reverse', { transfer_id, overdraw: true, kind: 'chargeback' })).toMatchObject({
      balances: { [b.id]: '-100' },
    });
    expect(await call(money, 'transfer', pair(b.id, c.id, '1'))).toMatchObject({
      code: 'INSUFFICIENT_FUNDS',
    });
    expect(await call(money, 'transfer', pair(c.id, b.id, '30'))).toMatchObject({
      balances: { [b.id]: '-70' },
    });
  });

  test('by another tenant finds nothing', async () => {
    const [a, b] = [await funded('100'), await funded('100')];
    const transfer_id = (await call(money, 'transfer', pair(a.id, b.id, '60'))).transfer_ids?.[0];
    expect(await call(money, 'reverse', { transfer_id }, { of: 'other' })).toMatchObject({
      code: 'TRANSFER_NOT_FOUND',
    });
  });
});

describe('a balance', () => {
  const at = async (id: string, when: unknown = 'infinity') =>
    (await one('select balance_at($1, $2) value', id, when)).value;

  test('is known for any instant of the past, of a wallet and of a shared account, folded or not', async () => {
    const owner = randomUUID();
    const shared = await openAccount(money, 'clearing', { name: randomUUID() });
    const own = (await one('select account_id($1, $2, $3, $4) id', 'tenant', owner, 'USD', 'available')).id;
    const instants: { when: string; own: bigint; shared: bigint }[] = [];
    let total = 0n;
    for (let i = 1n; i <= 20n; i++) {
      await call(money, 'credit_wallet', {
        owner_id: owner,
        currency: 'USD',
        amount_minor: String(i),
        account_id: shared,
      });
      total += i;
      instants.push({ when: (await one('select clock_timestamp()::text t')).t, own: total, shared: -total });
      if (i % 7n === 0n) await jobs.query('select fold_accounts()');
    }
    for (const { when, ...expected } of instants)
      expect({ own: BigInt(await at(own, when)), shared: BigInt(await at(shared, when)) }).toEqual(expected);
    expect([await at(own), await at(shared), await at(own, '2020-01-01')]).toEqual(['210', '-210', '0']);
    expect(await at(randomUUID())).toBeNull();
  });

  test('of a shared account is folded up to transfers that have ended, and no entry is left out when one is still at work', async () => {
    const shared = await openAccount(money, 'clearing', { name: randomUUID() });
    const slow = await database.connect();
    await slow.query('begin');
    await call(slow, 'credit_wallet', {
      owner_id: randomUUID(),
      currency: 'USD',
      amount_minor: '3',
      account_id: shared,
    });
    await call(money, 'credit_wallet', {
      owner_id: randomUUID(),
      currency: 'USD',
      amount_minor: '4',
      account_id: shared,
    });
    const fold = jobs.query('select fold_accounts() folded');
    await new Promise((resolve) => setTimeout(resolve, 200));
    await slow.query('commit');
    expect(Number((await fold).rows[0].folded)).toBeGreaterThan(0);
    expect((await one('select balance from accounts where id = $1', shared)).balance).toBe('-7');
  });
});

test('an account is opened once, and not with another constraint', async () => {
  const owner = randomUUID();
  const id = await openAccount(money, 'available', { owner });
  expect(await openAccount(money, 'available', { owner })).toBe(id);
  await expect(openAccount(money, 'available', { owner, floor: null })).rejects.toMatchObject({
    code: 'RK031',
  });
  await expect(openAccount(money, 'available', { owner, currency: 'XXX' })).rejects.toMatchObject({
    code: '23503',
  });
  expect(await wallet(money, owner)).toEqual([]);
});

/** Only for the largest amounts: no floor, so that a debit of them is not refused for funds. */
async function makeOverdrawable(id: string): Promise<void> {
  await database.superuser.query('alter table accounts disable trigger accounts_fixed');
  await database.superuser.query('update accounts set floor = null where id = $1', [id]);
  await database.superuser.query('alter table accounts enable trigger accounts_fixed');
}
