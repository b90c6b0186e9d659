// What a later run does with what an earlier one found: it opens again what recurs, and closes what agrees by now.
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDatabase, type TestDatabase } from '../support/database.ts';
import { violations } from '../support/money.ts';
import * as provider from '../support/provider-books.ts';
import { type Books, deposit, findingsOf, hear, openBooks, reconcile } from '../support/provider-books.ts';
import { type Answer, ask } from '../support/withdrawals.ts';

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

/** A deposit that the provider captured and the ledger has not heard of. */
async function lost(): Promise<{ books: Books; row: provider.Listed }> {
  const books = await openBooks(root);
  return { books, row: await provider.beginDeposit(books, '500', 'USD') };
}

const resolve = async (books: Books, accept: boolean): Promise<Answer> => {
  const [{ id = '' } = {}] = await findingsOf(books);
  return ask(root, 'resolve_finding($1, $2, $3, $4, $5)', books.tenant, 'somebody', id, 'seen', accept);
};

const stateOf = async (books: Books) =>
  (await findingsOf(books)).map(({ type, status, reopened }) => `${type} ${status} ${reopened}`);

describe('a finding', () => {
  test('that was resolved is open again when it recurs, and only then', async () => {
    const { books, row } = await lost();
    await reconcile(jobs, books, [row]);
    await resolve(books, false);
    expect((await reconcile(jobs, books, [])).stats).toMatchObject({
      new: '0',
      reopened: '0',
      resolved: '0',
    });
    expect(await stateOf(books)).toEqual(['missing_in_ledger RESOLVED 0']);
    expect((await reconcile(jobs, books, [row])).stats).toMatchObject({ new: '0', reopened: '1' });
    expect((await reconcile(jobs, books, [row])).stats).toMatchObject({ new: '0', reopened: '0' });
    expect(await stateOf(books)).toEqual(['missing_in_ledger OPEN 1']);
  });

  test('that was accepted stays resolved as long as it says the same', async () => {
    const { books, row } = await lost();
    await reconcile(jobs, books, [row]);
    await resolve(books, true);
    for (const reopened of ['0', '0'])
      expect((await reconcile(jobs, books, [row])).stats).toMatchObject({ new: '0', reopened });
    expect(await stateOf(books)).toEqual(['missing_in_ledger RESOLVED 0']);
    await ask(root, 'settle_deposit($1, $2, $3, $4)', books.tenant, row.tx_id, 'FAILED', {});
    expect((await reconcile(jobs, books, [row])).stats).toMatchObject({ new: '1' });
    expect(await stateOf(books)).toEqual(['missing_in_ledger RESOLVED 0', 'status_mismatch OPEN 0']);
  });

  test('that was accepted is open again when the provider says another amount', async () => {
    const books = await openBooks(root);
    const row = await deposit(books, '500');
    await reconcile(jobs, books, [{ ...row, amount_minor: '600' }]);
    await resolve(books, true);
    expect((await reconcile(jobs, books, [{ ...row, amount_minor: '700' }])).stats).toMatchObject({
      reopened: '1',
    });
    expect(await stateOf(books)).toEqual(['amount_mismatch OPEN 1']);
  });

  test('whose two sides agree by now is resolved by the next run of its window; money moved twice is not', async () => {
    const { books, row } = await lost();
    const twice = await deposit(books, '7');
    const rows = [row, twice, { ...twice, event_id: randomUUID() }];
    await reconcile(jobs, books, rows);
    await hear(books, row);
    const earlier = {
      ...books,
      from: new Date(Date.now() - 7_200_000),
      to: new Date(Date.now() - 3_600_000),
    };
    expect((await reconcile(jobs, earlier, rows)).stats).toMatchObject({ resolved: '0' });
    expect((await reconcile(jobs, books, rows)).stats).toMatchObject({ resolved: '1', new: '0' });
    expect((await stateOf(books)).sort()).toEqual(['duplicate OPEN 0', 'missing_in_ledger RESOLVED 0']);
  });

  test('that a correction resolved stays so, and one that agrees by now can no longer be corrected', async () => {
    const { books, row } = await lost();
    await reconcile(jobs, books, [row]);
    const [{ id = '' } = {}] = await findingsOf(books);
    const correct = (delta_minor: string) =>
      ask(root, 'correct_finding($1, $2, $3, $4, $5)', books.tenant, 'one', randomUUID(), id, {
        ...{ delta_minor, currency: 'USD', reason: 'by hand' },
      });
    expect(await correct('500')).toMatchObject({ correction: { state: 'posted' } });
    expect((await reconcile(jobs, books, [row])).stats).toMatchObject({ new: '0', reopened: '0' });
    expect(await stateOf(books)).toEqual(['missing_in_ledger RESOLVED 0']);
    expect(await correct('500')).toMatchObject({ code: 'FINDING_RESOLVED' });

    const { books: other, row: late } = await lost();
    await reconcile(jobs, other, [late]);
    const [{ id: second = '' } = {}] = await findingsOf(other);
    const wish = { delta_minor: '50000', currency: 'USD', reason: 'by hand' };
    const proposed = await ask(
      root,
      'correct_finding($1, $2, $3, $4, $5)',
      other.tenant,
      'one',
      'key',
      second,
      wish,
    );
    await hear(other, late);
    await reconcile(jobs, other, [late]);
    const decide = (action: string) =>
      ask(
        root,
        'decide_correction($1, $2, $3, $4, $5)',
        other.tenant,
        'two',
        proposed.correction.id,
        action,
        'ok',
      );
    expect(await decide('approve')).toMatchObject({ code: 'FINDING_RESOLVED' });
    expect(await decide('reject')).toMatchObject({ correction: { state: 'rejected' } });
  });
});
