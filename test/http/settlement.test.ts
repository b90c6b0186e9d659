// Settlement over HTTP and by the sweep: the overage of a frozen invoice is charged to the site's wallet once, exactly, and only where
// the plan says so.
import fc from 'fast-check';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cronSecretOf } from '../support/callers.ts';
import { behindGuards, freezeMonth, monthsAgo, plantRows } from '../support/frozen-month.ts';
import { violations } from '../support/money.ts';
import { sharedStack } from '../support/shared-stack.ts';
import type { TestStack } from '../support/stack.ts';

const runs = Number(process.env.RUNS ?? 200);
const month = monthsAgo(1);
const before = monthsAgo(2);
const decimals = { JPY: 0n, USD: 2n, KWD: 3n };
type Currency = keyof typeof decimals;

let stack: TestStack;
let secret: string;
beforeAll(async () => {
  stack = await sharedStack();
  secret = cronSecretOf(stack);
});
afterAll(async () => {
  if (stack) expect(await violations(stack.database)).toEqual([]);
});

async function sweep() {
  const headers = { authorization: `Bearer ${secret}` };
  const response = await fetch(`${stack.url}/api/cron/money-sweep`, { method: 'POST', headers });
  return { status: response.status, body: await response.json() };
}

const settlement = (site: string, body: unknown) => stack.admin('PUT', `/sites/${site}/settlement`, body);
const read = async (site: string) => (await stack.admin('GET', `/sites/${site}/settlement`)).body.settlement;
const rows = async (sql: string, values: unknown[]) => (await stack.database.query(sql, values)).rows;

/** A site with frozen months of 35 rows, of which six are overage. */
async function frozenSite(...months: string[]): Promise<string> {
  const { id } = await stack.site();
  for (const one of months) {
    await plantRows(stack.database, id, one, 35);
    await freezeMonth(stack.database, id, one, 1);
  }
  return id;
}

/** As if the settlement had been set in that month. */
const setSince = (site: string, from: string) =>
  rows('update site_plans set settle_from = $2 where site_id = $1', [site, from]);

async function charged(currency: Currency, price: string, from = month): Promise<string> {
  const site = await frozenSite(month);
  expect((await settlement(site, { currency, overage_price_per_1k: price })).status).toBe(200);
  await setSince(site, from);
  return site;
}

async function chargedSites(count: number): Promise<string[]> {
  const sites: string[] = [];
  while (sites.length < count) sites.push(await charged('USD', '250'));
  return sites;
}

describe('settlement', () => {
  test('is off by default, and charges nothing', async () => {
    const site = await frozenSite(month);
    expect(await sweep()).toMatchObject({ status: 200, body: { ok: true, settle_invoices: 0 } });
    expect(await read(site)).toMatchObject({ currency: null, from: null, balances: {}, settled: [] });
  });

  test('charges a frozen invoice as one transfer of the site below zero, with the hash of the invoice', async () => {
    const site = await charged('USD', '250');
    expect(await sweep()).toMatchObject({ body: { ok: true, settle_invoices: 1 } });
    const [invoice] = await rows('select * from invoice_snapshot where site_id = $1', [site]);
    expect(invoice.overage_count).toBe('6');
    const [one] = (await read(site)).settled;
    expect(one).toMatchObject({
      ...{ year_month: month, overage_count: '6', amount_minor: '150', currency: 'USD' },
      snapshot_hash: invoice.snapshot_hash,
    });
    expect((await read(site)).balances).toEqual({ USD: '-150' });
    const transfers = await rows(
      `select t.id, t.kind, t.metadata ->> 'snapshot_hash' hash, a.kind account, e.amount from transfers t
         join entries e on e.transfer_no = t.no join accounts a on a.id = e.account_id
        where t.reference = $1 order by e.amount`,
      [`${site} ${month}`],
    );
    const posted = { id: one.transfer_id, kind: 'usage_overage', hash: invoice.snapshot_hash };
    expect(transfers).toEqual([
      { ...posted, account: 'available', amount: '-150' },
      { ...posted, account: 'revenue', amount: '150' },
    ]);
  });

  test('leaves the months before it was set alone, and those after it was ended', async () => {
    const site = await frozenSite(before, month);
    await settlement(site, { currency: 'USD', overage_price_per_1k: '250' });
    expect((await read(site)).from).toBe(monthsAgo(0));
    await sweep();
    expect((await read(site)).settled).toEqual([]);
    await setSince(site, month);
    await settlement(site, { currency: null });
    await sweep();
    expect(await read(site)).toMatchObject({ currency: null, from: null, settled: [] });
    await settlement(site, { currency: 'USD' });
    expect((await read(site)).from).toBe(monthsAgo(0));
    await setSince(site, month);
    await sweep();
    expect((await read(site)).settled).toMatchObject([{ year_month: month }]);
  });

  test.each<[Currency, string, string]>([
    ['JPY', '250', '2'],
    ['JPY', '83.333333', '0'],
    ['USD', '250', '150'],
    ['USD', '0.000001', '0'],
    ['KWD', '0.25', '2'],
    ['KWD', '0.249999', '1'],
  ])('in %s at %s per 1000 makes six events %s minor units', async (currency, price, amount) => {
    const site = await charged(currency, price);
    await sweep();
    const { settled, balances } = await read(site);
    expect(settled).toMatchObject([{ amount_minor: amount, currency }]);
    expect(settled[0].transfer_id === null).toBe(amount === '0');
    expect(balances).toEqual(amount === '0' ? {} : { [currency]: `-${amount}` });
  });

  test('is charged once by repeated and by concurrent sweeps', async () => {
    const sites = await chargedSites(4);
    await Promise.all(Array.from({ length: 5 }, sweep));
    expect(await sweep()).toMatchObject({ body: { ok: true, settle_invoices: 0, failed: [] } });
    for (const site of sites) {
      expect((await read(site)).balances).toEqual({ USD: '-150' });
      expect(await rows('select id from transfers where reference = $1', [`${site} ${month}`])).toHaveLength(
        1,
      );
    }
  });
});

test('a sweep whose view is old takes what another has charged meanwhile as done', async () => {
  const sites = await chargedSites(12); // more than a loop fetches, and locks, at first
  const [first, ...rest] = sites.toSorted();
  await rows(`select open_wallet('sites', $1, 'USD')`, [first]);
  const [busy, slow, quick] = [await connect(), await connect(), await connect()] as const;
  const swept = async (client: pg.Client) =>
    (await client.query('select settle_invoices() done')).rows[0].done;
  try {
    await busy.query('begin');
    await busy.query('select from accounts where owner_id = $1 for update', [first]);
    const waiting = swept(slow);
    await waits(slow);
    const meanwhile = await swept(quick);
    await busy.query('commit');
    expect([meanwhile > 0, meanwhile + (await waiting)]).toEqual([true, sites.length]);
  } finally {
    await Promise.all([busy, slow, quick].map((client) => client.end()));
  }
  for (const site of [first, ...rest]) expect((await read(site ?? '')).balances).toEqual({ USD: '-150' });
});

test('an invoice that cannot be charged holds back no other, and is told', async () => {
  const bad = await charged('USD', '250');
  const good = await charged('USD', '250');
  await behindGuards(stack.database, () =>
    rows(
      'update invoice_snapshot set event_count = 9000000000000000000, overage_count = 9000000000000000000 where site_id = $1',
      [bad],
    ),
  );
  await rows(`update site_plans set overage_price_per_1k = 99999999999999 where site_id = $1`, [bad]);
  expect(await sweep()).toMatchObject({ body: { ok: false, failed: ['settle_invoices'] } });
  expect((await read(good)).balances).toEqual({ USD: '-150' });
  expect((await read(bad)).settled).toEqual([]);
  const line = stack.logs.find(({ message }) => message === 'SWEEP_FAILED');
  expect(JSON.stringify(line)).toContain('settle_invoices');
  await settlement(bad, { currency: null });
  expect(await sweep()).toMatchObject({ body: { ok: true } });
});

test('the settlement of an invoice is never changed or removed', async () => {
  const site = await charged('USD', '250');
  await sweep();
  for (const sql of ['update invoice_settlements set amount = 1', 'delete from invoice_settlements'])
    await expect(rows(`${sql} where site_id = $1`, [site])).rejects.toThrow('append-only');
});

test('only a platform admin reads or sets it, with a currency that exists and a price', async () => {
  const site = await frozenSite();
  const wrong: [unknown, string][] = [
    [{ currency: 'usd', overage_price_per_1k: '1' }, 'invalid_request'],
    [{ currency: 'USD', overage_price_per_1k: '-1' }, 'invalid_request'],
    [{ currency: 'USD', overage_price_per_1k: 0.5 }, 'invalid_request'],
    [{ currency: 'USD' }, 'invalid_request'],
    [{}, 'invalid_request'],
  ];
  for (const [body, code] of wrong)
    expect([body, (await settlement(site, body)).body.code]).toEqual([body, code]);
  expect((await settlement(site, { currency: 'XXX', overage_price_per_1k: '1' })).status).toBe(400);
  const response = await fetch(`${stack.url}/api/admin/sites/${site}/settlement`);
  expect(response.status).toBe(401);
});

describe('the amount', () => {
  let client: pg.Client;
  beforeAll(async () => {
    client = await connect();
  });
  afterAll(() => client?.end());

  test(`is overage × price / 1000, rounded to the nearest minor unit, half away from zero (${runs} runs)`, async () => {
    const site = await charged('USD', '1');
    const overage = fc.bigInt({ min: 0n, max: 10n ** 9n });
    const micros = fc.bigInt({ min: 0n, max: 10n ** 10n });
    const currency = fc.constantFrom<Currency>('JPY', 'USD', 'KWD');
    const property = fc.asyncProperty(overage, micros, currency, async (count, price, code) => {
      const unit = 1_000n * 1_000_000n; // a thousand events, a price in millionths
      const expected = (count * price * 10n ** decimals[code] * 2n + unit) / (unit * 2n);
      expect(await chargedInSql(client, site, count, price, code)).toBe(String(expected));
    });
    await fc.assert(property, {
      numRuns: runs,
      examples: [
        [1n, 500_000n, 'USD'],
        [5n, 1_000_000n, 'USD'],
        [1n, 500_000_000n, 'JPY'],
        [3n, 500_000_000n, 'JPY'],
      ],
    });
  }, 60_000);
});

/** What the settlement says that it came to; undone, so that each run begins as the first. */
async function chargedInSql(
  client: pg.Client,
  site: string,
  overage: bigint,
  price_millionths: bigint,
  currency: Currency,
): Promise<string> {
  await client.query('begin');
  try {
    await client.query('set local session_replication_role = replica');
    await client.query(
      'update invoice_snapshot set event_count = $2, overage_count = $2 where site_id = $1',
      [site, overage],
    );
    await client.query(
      'update site_plans set overage_price_per_1k = $2::numeric / 1000000, settle_currency = $3 where site_id = $1',
      [site, price_millionths, currency],
    );
    await client.query('set local session_replication_role = origin');
    await client.query('select settle_invoices()');
    const { rows: made } = await client.query(
      `select s.amount, coalesce((select - a.balance from accounts a where a.owner_id = s.site_id and a.currency = $2 and a.kind = 'available'), 0) taken
         from invoice_settlements s where s.site_id = $1`,
      [site, currency],
    );
    expect(made[0].taken).toBe(made[0].amount);
    return made[0].amount;
  } finally {
    await client.query('rollback');
  }
}

/** Until the client's statement waits for a lock. */
async function waits(client: pg.Client): Promise<void> {
  const { processID } = client as unknown as { processID: number };
  const sql = `select from pg_stat_activity where pid = $1 and wait_event_type = 'Lock'`;
  while ((await rows(sql, [processID])).length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
}

async function connect(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: stack.postgres.superuserUrl });
  await client.connect();
  return client;
}
