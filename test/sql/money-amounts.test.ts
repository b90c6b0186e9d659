// What requests may say as an amount or a currency: taken exactly, or refused with one sentence, by shared/money.ts and the ledger alike.
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { KernelError } from '../../shared/errors.ts';
import { parseAmountMinor, parseCurrency } from '../../shared/money.ts';
import { openDatabase, type TestDatabase } from '../support/database.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await openDatabase();
});
afterAll(() => database.close());

const inLedger = async (amount: unknown) =>
  (await database.superuser.query('select minor_units($1::jsonb) amount', [JSON.stringify(amount)])).rows[0]
    .amount;

test.each<[unknown, bigint]>([
  [1, 1n],
  ['1', 1n],
  [2 ** 53 - 1, 9007199254740991n],
  ['9007199254740991', 9007199254740991n],
  ['9007199254740992', 9007199254740992n],
  ['9007199254740993', 9007199254740993n],
  ['1000000000000000000', 10n ** 18n],
  ['9223372036854775807', 2n ** 63n - 1n],
])('%j is taken exactly', async (given, amount) => {
  expect(parseAmountMinor(given)).toBe(amount);
  expect(await inLedger(given)).toBe(String(amount));
});

test.each([
  0,
  '0',
  -1,
  '-1',
  -0,
  2 ** 53,
  2 ** 53 + 2,
  1e18,
  '9223372036854775808',
  '10000000000000000000',
  '1e3',
  '01',
  ' 1',
  '1 ',
  '1\n',
  '+1',
  '0x10',
  '1_000',
  '1,000',
  '١',
  Number.NaN,
  Number.POSITIVE_INFINITY,
  1.005,
  '1.005',
  '1.0',
  '',
  null,
  undefined,
  true,
  [1],
  { amount: 1 },
])('%j is refused with one sentence', (given) => {
  expect(() => parseAmountMinor(given)).toThrow(KernelError);
  expect(() => parseAmountMinor(given)).toThrow(/^amount_minor must be [^.]+\.$/);
});

test.each(['0', '-1', '1e3', '01', ' 1', '1\n', '1.0', '', '0x10', '1_000', '١', null, [1], true])(
  '%j is refused by the ledger too',
  async (given) => {
    await expect(inLedger(given)).rejects.toMatchObject({ code: 'RK030' });
  },
);

test('every amount that is taken is taken as it was written', () => {
  fc.assert(
    fc.property(fc.bigInt(1n, 2n ** 63n - 1n), (amount) => {
      expect(parseAmountMinor(String(amount))).toBe(amount);
    }),
  );
});

test('a currency is a code in capitals', () => {
  expect(['USD', 'POINTS', 'USDC_2'].map(parseCurrency)).toEqual(['USD', 'POINTS', 'USDC_2']);
  for (const wrong of ['usd', 'U', '', ' USD', 'USD\n', 'US-D', '1USD', 'ABCDEFGHIJKLM', null, 840])
    expect(() => parseCurrency(wrong)).toThrow(/^currency must be [^.]+\.$/);
});
