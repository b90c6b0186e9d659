// What people look at: the overview, the rows behind a number, the lines of a seal and the books, each as the contract says it.
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { demoUsers } from '../../local/issuer.ts';
import { operations } from '../../shared/contract.ts';
import { type Ask, caller } from '../support/contract-caller.ts';
import { behindGuards, freezeMonth, monthsAgo, plantRows } from '../support/frozen-month.ts';
import { openPlayer, type Player } from '../support/money-doors.ts';
import { openStack, type TestStack } from '../support/stack.ts';

const nobody = '0d000000-0000-4000-8000-0000000000ff';
const month = monthsAgo(1);
const planted = 900;
let stack: TestStack;
let ask: ReturnType<typeof caller>['ask'];
let unseen: ReturnType<typeof caller>['unseen'];
let site: { id: string; public_id: string };
let player: Player;

beforeAll(async () => {
  stack = await openStack();
  ({ ask, unseen } = caller(stack));
  const user_id = demoUsers.find(({ role }) => role === 'owner')?.id;
  const input = { name: 'Shop', origins: ['https://example.com'], user_id, plan: { monthly_limit: '3' } };
  site = (await ask('createSite', { as: 'platform-admin', body: input })).body;
  const ids = ['a', 'b', 'c', 'd'];
  await stack.sync({
    s: site.public_id,
    e: ids.map((i) => ({ i, u: 'https://example.com/', ec: 'page', ea: 'view' })),
  });
  await stack.delivered();
  await plantRows(stack.database, site.id, month, planted);
  await freezeMonth(stack.database, site.id, month, 0);
  player = await openPlayer(stack);
  await player.deposit('5000');
});
afterAll(() => stack?.close());

const admin = async (id: string, more: Ask = {}) => (await ask(id, { as: 'platform-admin', ...more })).body;
const owner = async (id: string, more: Ask = {}) =>
  (await ask(id, { as: 'owner', ...more, path: { ref: site.public_id, ...more.path } })).body;

describe('the overview', () => {
  test('says of one snapshot what is counted, and names a site whose usage row drifts', async () => {
    const { overview } = await admin('readOverview');
    const { accepted, rejected } = overview.last_24h;
    expect({ accepted, rejected }).toEqual({ accepted: '3', rejected: '1' });
    expect(overview.hours).toHaveLength(24);
    expect(overview.month).toMatchObject({ usage: '3', ledger: '3', drift: '0', drifting_sites: '0' });
    expect(overview.lag.deliveries).toBe('3');
    const shift = 'update site_usage_monthly set event_count = event_count + $2 where site_id = $1';
    await stack.database.query(shift, [site.id, -2]);
    const { overview: drifted } = await admin('readOverview');
    expect(drifted.month).toMatchObject({ drift: '-2', drifting_sites: '1' });
    expect(drifted.worst_sites).toMatchObject([{ public_id: site.public_id, drift: '-2' }]);
    await stack.database.query(shift, [site.id, 2]);
  });

  test('names a job whose lease has run out', async () => {
    await stack.database.query(
      `insert into billing_reconciliation_jobs (site_id, year_month, status, locked_at, lease_until)
       values ($1, $2, 'PROCESSING', now() - interval '1 hour', now() - interval '50 minutes')`,
      [site.id, monthsAgo(3)],
    );
    expect((await admin('readOverview')).overview.jobs.stuck).toBe('1');
    const stuck = await admin('listSiteJobs', { query: { status: 'STUCK' } });
    expect(stuck.jobs).toMatchObject([{ public_id: site.public_id, stuck: true, year_month: monthsAgo(3) }]);
  });

  test('is for finance, and the lists of all sites for platform admins', async () => {
    expect((await ask('readOverview', { as: 'finance' })).status).toBe(200);
    expect((await ask('readOverview', { as: 'owner' })).status).toBe(403);
    for (const id of ['listSiteUsage', 'listSiteJobs', 'listAudit'])
      expect((await ask(id, { as: 'finance' })).status).toBe(403);
  });
});

test('the usage of all sites has usage row, ledger and limit side by side', async () => {
  const { sites } = await admin('listSiteUsage');
  const { usage } = sites.find(({ id }: { id: string }) => id === site.id);
  expect(usage).toMatchObject({ event_count: '3', ledger: '3', rejected: '1', drift: '0', limit: '3' });
  expect((await ask('listSiteUsage', { as: 'platform-admin', query: { month: '2026-13' } })).status).toBe(
    400,
  );
});

test('the audit log is read by actor and resource, newest first, in pages', async () => {
  const { entries } = await admin('listAudit', { query: { resource_id: site.id, limit: '1' } });
  expect(entries).toHaveLength(1);
  expect(entries[0]).toMatchObject({ actor_type: 'user', resource_id: site.id });
  expect((await admin('listAudit', { query: { actor: 'nobody' } })).entries).toEqual([]);
  expect((await ask('listAudit', { as: 'platform-admin', query: { cursor: 'x' } })).status).toBe(400);
});

describe('the rows behind a number', () => {
  test('are found by verdict, and each has what became of it', async () => {
    const verdict = async (value: string) => (await owner('listRows', { query: { verdict: value } })).rows;
    expect(await verdict('counted')).toHaveLength(3);
    expect((await verdict('counted'))[0]).toMatchObject({ billing_state: 'ACCEPTED', delivery: 'delivered' });
    expect(await verdict('rejected_quota')).toMatchObject([{ ingest_id: null, delivery: 'none' }]);
    expect(await verdict('undelivered')).toEqual([]);
    const refused = await ask('listRows', {
      as: 'owner',
      path: { ref: site.public_id },
      query: { verdict: 'good' },
    });
    expect(refused.body.error).toMatch(/^The field verdict must be one of all, /);
  });

  test('come in pages that hold each row once', async () => {
    const seen: string[] = [];
    for (let cursor: string | undefined; ; ) {
      const page = await owner('listRows', { query: { month, limit: '200', ...(cursor && { cursor }) } });
      seen.push(...page.rows.map(({ idempotency_key }: { idempotency_key: string }) => idempotency_key));
      if (!page.next_cursor) break;
      cursor = page.next_cursor;
    }
    expect([seen.length, new Set(seen).size]).toEqual([planted, planted]);
  });

  test('sum by day to the invoice of the month', async () => {
    const { days } = await owner('readDays', { query: { month } });
    const sum = (name: string) =>
      days.reduce((all: bigint, day: Record<string, string>) => all + BigInt(day[name] as string), 0n);
    const { invoices } = await owner('listInvoices');
    expect(String(sum('accepted') + sum('overage'))).toBe(invoices[0].event_count);
    expect(String(sum('overage'))).toBe(invoices[0].overage_count);
  });

  test('are for those who may see bills', async () => {
    const path = { ref: site.public_id, month };
    for (const id of ['listRows', 'readDays', 'readSealedLines'])
      expect((await ask(id, { as: 'player', path })).status).toBe(403);
  });
});

describe('the lines of a sealed month', () => {
  const sha256 = (data: string | Buffer) => createHash('sha256').update(data).digest();
  async function linesOf(day?: string): Promise<string[]> {
    const lines: string[] = [];
    for (let cursor: string | undefined; ; ) {
      const page = await owner('readSealedLines', {
        path: { month },
        query: { ...(day && { day }), ...(cursor && { cursor }) },
      });
      if (page.lines) lines.push(...page.lines.split('\n'));
      if (!page.next_cursor) return lines;
      cursor = page.next_cursor;
    }
  }

  test('hash to the seal, of the whole month and of each day', async () => {
    const { proof } = await owner('proveInvoice', { path: { month } });
    const lines = await linesOf();
    expect(lines).toHaveLength(planted);
    for (const { day, hash, rows } of proof.seal.days) {
      const own = lines.filter((line) => line.startsWith(day));
      expect(String(own.length)).toBe(rows);
      expect(sha256(Buffer.concat(own.map(sha256))).toString('hex')).toBe(hash);
    }
    expect(await linesOf(proof.seal.days[3].day)).toEqual(
      lines.filter((line) => line.startsWith(proof.seal.days[3].day)),
    );
  });

  test('hash to something else after one byte of a row has changed', async () => {
    const { proof } = await owner('proveInvoice', { path: { month } });
    const { day, hash } = proof.seal.days[5];
    await behindGuards(stack.database, () =>
      stack.database.query(
        `update ingest_idempotency set payload_hash = set_byte(payload_hash, 0, get_byte(payload_hash, 0) # 1)
          where site_id = $1 and id = (select min(id) from ingest_idempotency where site_id = $1 and year_month = left($2, 7) and utc_text(created_at) >= $2)`,
        [site.id, day],
      ),
    );
    const changed = await linesOf(day);
    expect(sha256(Buffer.concat(changed.map(sha256))).toString('hex')).not.toBe(hash);
    expect((await owner('proveInvoice', { path: { month } })).proof.changed_days).toEqual([day]);
  });
});

describe('the books', () => {
  const finance = async (id: string, more: Ask = {}) => (await ask(id, { as: 'finance', ...more })).body;

  test('balance: the sum of each currency is zero', async () => {
    const { currencies } = await finance('trialBalance');
    expect(currencies).toMatchObject([{ sum_minor: '0' }]);
    const of = (kind: string) => currencies[0].kinds.find((one: { kind: string }) => one.kind === kind);
    expect(of('available')).toMatchObject({ balance_minor: '5000' });
    expect(of('clearing')).toMatchObject({ balance_minor: '-5000' });
  });

  test('show an account with both legs of each movement', async () => {
    const { accounts } = await finance('listAccounts', { query: { owner_id: player.id, kind: 'available' } });
    expect(accounts).toMatchObject([{ balance_minor: '5000', constrained: true }]);
    const history = await finance('readAccount', { path: { id: accounts[0].id } });
    expect(history.transfers).toHaveLength(1);
    const [deposit] = history.transfers;
    expect(deposit.entries.map((entry: { amount_minor: string }) => entry.amount_minor).sort()).toEqual([
      '-5000',
      '5000',
    ]);
    const { transfer } = await finance('readTransfer', { path: { id: deposit.id } });
    expect(transfer).toEqual(deposit);
  });

  test('are those of one’s own tenant', async () => {
    const query = { tenant_id: 'another' };
    const { accounts } = await finance('listAccounts');
    for (const id of ['trialBalance', 'listAccounts'])
      expect((await ask(id, { as: 'finance', query })).status).toBe(403);
    const path = { id: accounts[0].id };
    expect((await ask('readAccount', { as: 'platform-admin', path, query })).status).toBe(404);
    for (const id of ['readAccount', 'readTransfer'])
      expect((await ask(id, { as: 'finance', path: { id: nobody } })).body.code).toBe('not_found');
    expect((await ask('readAccount', { as: 'finance', path: { id: 'x' } })).status).toBe(404);
    expect((await ask('listAccounts', { as: 'finance', query: { cursor: '1' } })).status).toBe(400);
  });

  test('have been seen to answer and to refuse', () => {
    expect(unseen(operations.filter(({ tag }) => tag === 'books'))).toEqual([]);
  });
});
