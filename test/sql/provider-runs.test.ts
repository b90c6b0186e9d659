// Runs over a provider: where windows end, what a list with a hole may conclude, and that of many workers one finishes.
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { mockPsp } from '../../shared/adapters/mockpsp.ts';
import { KernelError } from '../../shared/errors.ts';
import type { TransactionalDatabase } from '../../shared/migration.ts';
import type { PaymentProvider } from '../../shared/ports.ts';
import { workOnRun } from '../../shared/provider-run.ts';
import { type MountedDataApi, mountDataApi } from '../support/data-api.ts';
import { openDatabase, type TestDatabase } from '../support/database.ts';
import { violations } from '../support/money.ts';
import * as provider from '../support/provider-books.ts';
import {
  type Books,
  deposit,
  findingsOf,
  hear,
  openBooks,
  reconcile,
  reversal,
} from '../support/provider-books.ts';
import { plant } from '../support/reconciliation.ts';
import { type Answer, ask, deposit as depositAtMock, newPlayer } from '../support/withdrawals.ts';

let database: TestDatabase;
let root: pg.Client;
let jobs: pg.Client;
let api: MountedDataApi;
let ledger: TransactionalDatabase;
beforeAll(async () => {
  database = await openDatabase();
  root = database.superuser;
  jobs = await database.as('kernel_jobs');
  api = await mountDataApi(Number(new URL(database.url).port), inject('masterPassword'));
  ledger = api.database(new URL(database.url).pathname.slice(1));
  await ask(root, `apply_stage_defaults('dev')`);
});
afterAll(async () => {
  expect(await violations(root)).toEqual([]);
  await api.close();
  await database.close();
});

/** A deposit that the provider captured and the ledger has not heard of. */
async function lost(): Promise<{ books: Books; row: provider.Listed }> {
  const books = await openBooks(root);
  return { books, row: await provider.beginDeposit(books, '500', 'USD') };
}

const stateOf = async (books: Books) =>
  (await findingsOf(books)).map(({ type, status, reopened }) => `${type} ${status} ${reopened}`);

describe('a window', () => {
  test('begins with its first instant and ends before its last, so that neighbours find each difference once', async () => {
    const { books, row } = await lost();
    const day_ms = 86_400_000;
    const start = Date.now() - 3 * day_ms;
    const at = (n: number, ms: number) => {
      const occurred_at = new Date(start + n * day_ms + ms).toISOString();
      return { ...row, tx_id: randomUUID(), event_id: `${n} ${ms}`, occurred_at };
    };
    const rows = [at(0, -1), at(0, 0), at(1, -1), at(1, 0), at(2, -1), at(2, 0)];
    const found = async (n: number) => {
      const before = new Set((await findingsOf(books)).map(({ event }) => event));
      const window = { ...books, from: new Date(start + n * day_ms), to: new Date(start + (n + 1) * day_ms) };
      await reconcile(jobs, window, rows);
      return (await findingsOf(books))
        .map(({ event }) => event)
        .filter((event) => !before.has(event))
        .sort();
    };
    expect(await found(0)).toEqual(['0 0', '1 -1']);
    expect(await found(1)).toEqual(['1 0', '2 -1']);
  });

  test('does not take a clock that differs for a difference', async () => {
    const books = await openBooks(root);
    const row = await deposit(books, '500');
    const occurred_at = new Date(Date.now() - 60_000).toISOString();
    const edge = new Date(Date.now() - 30_000);
    const listed = [{ ...row, occurred_at }];
    for (const window of [{ to: edge }, { from: edge }])
      expect((await reconcile(jobs, { ...books, ...window }, listed)).stats).toMatchObject({
        differences: {},
      });
    const later = { ...books, from: new Date(Date.now() + 60_000) };
    expect((await reconcile(jobs, later, listed)).stats).toMatchObject({ differences: {}, currencies: {} });
  });

  test('counts the refunds of its own time only, however many a deposit has', async () => {
    const books = await openBooks(root);
    const base = await deposit(books, '1000');
    const early = await hear(books, reversal(books, base, 'refund', '300'));
    await new Promise((wait) => setTimeout(wait, 5));
    const from = new Date();
    const late = await hear(books, reversal(books, base, 'refund', '200'));
    const run = await reconcile(jobs, { ...books, from }, [base, early, late]);
    expect(run.stats.currencies).toEqual({
      USD: { provider_minor: '-200', ledger_minor: '-200', drift_minor: '0' },
    });
  });
});

describe('a list', () => {
  test('that is asked for again after a lost reply is the same list, and one without our ids is matched by the provider’s', async () => {
    const books = await openBooks(root);
    const row = await deposit(books, '500');
    const dispute = { ...reversal(books, row, 'chargeback', '500'), provider_ref: `ref-${row.tx_id}` };
    await hear(books, dispute);
    const { tx_id: _, tenant_id: __, player_id: ___, ...bare } = dispute;
    const foreign = (n: number) => ({
      ...bare,
      kind: 'deposit_captured' as const,
      event_id: `f${n}`,
      provider_ref: 'f',
    });
    const { run } = await provider.request(jobs, books);
    const claimed = await provider.claim(jobs, run.id);
    for (let n = 0; n < 2; n += 1) await provider.addFeed(jobs, claimed, [row, bare, foreign(1), foreign(2)]);
    expect((await provider.finish(jobs, claimed)).stats).toMatchObject({ listed: '4', differences: {} });
    expect(await findingsOf(books)).toEqual([]);
    expect(
      (await reconcile(jobs, { tenant: null, dry: true }, [foreign(1), foreign(2)])).stats.differences,
    ).not.toHaveProperty('duplicate');
  });

  test('with a hole or a page that fails concludes nothing', async () => {
    const player = await newPlayer(root, 'holes');
    for (const amount of ['5', '6', '7']) await depositAtMock(root, player, amount);
    const books = { root, tenant: 'holes', player };
    const unheard = await provider.beginDeposit(books, '500', 'USD');
    await reconcile(jobs, books, [unheard]);
    const before = await stateOf(books);
    expect(before.sort()).toEqual(
      [...Array(3).fill('missing_in_psp OPEN 0'), 'missing_in_ledger OPEN 0'].sort(),
    );
    const mock = mockPsp(ledger);
    const work = async (of: PaymentProvider) => {
      const { run } = await provider.request(jobs, books);
      return workOnRun(ledger, () => of, run.id);
    };
    const failing: PaymentProvider = {
      ...mock,
      list: async (from, to, after) => {
        if (after !== null) throw new KernelError('ledger_unavailable', 'The provider does not answer.');
        return { events: (await mock.list?.(from, to, after))?.events ?? [], next: 'page 2' };
      },
    };
    const error = { code: 'FEED_INCOMPLETE', message: 'The provider does not answer.' };
    expect(await work(failing)).toMatchObject({
      status: 'incomplete',
      error,
      stats: { complete: false, listed: '3' },
    });
    await plant(root, `update psp_events set no = no + 10 where no > 1`);
    expect(await work(mock)).toMatchObject({
      status: 'incomplete',
      error: { message: expect.stringContaining('gap after event 1') },
    });
    expect((await stateOf(books)).sort()).toEqual(before.sort());
    await plant(root, `update psp_events set no = no - 10 where no > 1`);
    expect(await work(mock)).toMatchObject({
      status: 'completed',
      stats: { resolved: '4', differences: {} },
    });
  });
});

describe('a run', () => {
  test('that is dry finds, and writes nothing down', async () => {
    const { books, row } = await lost();
    const agreed = await deposit(books, '7');
    await reconcile(jobs, books, []);
    const before = await stateOf(books);
    const run = await reconcile(jobs, { ...books, dry: true }, [row, agreed]);
    expect(run.stats).toMatchObject({ differences: { missing_in_ledger: '1' }, new: '0', resolved: '0' });
    expect(run.stats.found).toMatchObject([{ finding_type: 'missing_in_ledger', tx_id: row.tx_id }]);
    expect(await stateOf(books)).toEqual(before);
  });

  test('whose worker died is taken over after its lease and begins anew; the first one can do no more', async () => {
    const { books, row } = await lost();
    const { run } = await provider.request(jobs, books);
    const first = await provider.claim(jobs, run.id);
    await provider.addFeed(jobs, first, [row, { ...row, event_id: 'half of a list' }]);
    expect(await provider.claim(jobs, run.id)).toBeNull();
    await root.query(`update reconciliation_runs set lease_until = now() - interval '1 s' where id = $1`, [
      run.id,
    ]);
    const second = await provider.claim(jobs, run.id);
    expect([first.attempt, second.attempt]).toEqual([1, 2]);
    await provider.addFeed(jobs, second, [row]);
    for (const late of [provider.addFeed(jobs, first, [row]), provider.finish(jobs, first)])
      await expect(late).rejects.toMatchObject({ code: 'RK052' });
    expect((await provider.finish(jobs, second)).stats).toMatchObject({ listed: '1', new: '1' });
    await expect(provider.finish(jobs, second)).rejects.toMatchObject({ code: 'RK052' });
    expect(await provider.claim(jobs, run.id)).toBeNull();
  });

  test('is claimed by one of many workers, and finished by one', async () => {
    const { books, row } = await lost();
    const { run } = await provider.request(jobs, books);
    const workers = await Promise.all(Array.from({ length: 6 }, () => database.as('kernel_jobs')));
    const [claimed, ...more] = (await Promise.all(workers.map((one) => provider.claim(one, run.id)))).filter(
      Boolean,
    );
    expect(more).toEqual([]);
    await provider.addFeed(jobs, claimed as Answer, [row]);
    const ends = await Promise.allSettled(workers.map((one) => provider.finish(one, claimed as Answer)));
    expect(ends.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(await stateOf(books)).toEqual(['missing_in_ledger OPEN 0']);
  });

  test('that never ends is failed after five tries, and holds back no other', async () => {
    const books = await openBooks(root);
    const { run: bad } = await provider.request(jobs, books);
    await root.query(`update reconciliation_runs set page = 5 where id = $1`, [bad.id]);
    const { run: good } = await provider.request(jobs, books);
    expect(await provider.claim(jobs, null)).toMatchObject({ id: good.id, attempt: 1 });
    const read = await ask(jobs, 'read_run($1, $2)', books.tenant, bad.id);
    expect(read).toMatchObject({ status: 'failed', error: { code: 'ATTEMPTS' } });
  });

  test('is named by its key: the same again is the same run, another window a conflict, another tenant’s its own', async () => {
    const books = await openBooks(root);
    const window = { ...books, key: 'k', from: new Date(Date.now() - 60_000), to: new Date() };
    const { run } = await provider.request(jobs, window);
    expect(await provider.request(jobs, window)).toMatchObject({ replayed: true, run: { id: run.id } });
    for (const change of [{ to: new Date(Date.now() + 9) }, { dry: true }])
      expect(await provider.request(jobs, { ...window, ...change })).toMatchObject({
        code: 'IDEMPOTENCY_CONFLICT',
      });
    const other = await provider.request(jobs, { ...window, tenant: 'another' });
    expect(other).toMatchObject({ outcome: 'done', run: { tenant_id: 'another' } });
    expect(other.run.id).not.toBe(run.id);
    expect(await provider.request(jobs, window, 'paynow')).toMatchObject({ code: 'UNSUPPORTED_PROVIDER' });
    for (const to of [window.from, new Date(Date.now() + 40 * 86_400_000)])
      await expect(provider.request(jobs, { ...window, to, key: null })).rejects.toMatchObject({
        code: 'RK015',
      });
  });
});
