// Guarantee 7: a frozen month is final, counted from the ledger, and anybody can recompute its hash.
import { createHash } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ingest, openDatabase, type TestDatabase, v3 } from '../support/database.ts';

let database: TestDatabase;
let jobs: pg.Client;
let month: string;
beforeAll(async () => {
  database = await openDatabase();
  jobs = await database.as('kernel_jobs');
  month = (await one(`select utc_year_month(month_start(utc_year_month(now())) - interval '1 day') value`))
    .value;
});
afterAll(() => database.close());

describe('a freeze', () => {
  test('counts the ledger, not the usage row, and says both', async () => {
    const site = await siteWithPast(5, 2);
    await database.superuser.query(
      `insert into site_usage_monthly (site_id, year_month, event_count) values ($1, $2, 99)`,
      [site, month],
    );
    expect(await freeze(site)).toMatchObject({
      inserted: true,
      event_count: '7',
      overage_count: '2',
      usage_row: '99',
    });
  });

  test('writes a hash that anybody can recompute', async () => {
    const site = await siteWithPast(3, 1);
    const { snapshot_hash } = await freeze(site);
    const recomputed = createHash('sha256').update(`${site}|${month}|4|1|commit`).digest('hex');
    expect(snapshot_hash).toBe(recomputed);
    expect(await verify(site)).toMatchObject({ hash_ok: true, ledger_ok: true, hash_version: 1 });
  });

  test('is repeatable: the first one stays', async () => {
    const site = await siteWithPast(1, 0);
    const first = await freeze(site);
    expect(await freeze(site, 'another commit')).toEqual({ ...first, inserted: false });
  });

  test('of a month that has not ended is refused with RK012, by barrier and count alike', async () => {
    const site = await siteWithPast(1, 0);
    for (const open of ['2999-01', (await one('select utc_year_month(now()) value')).value]) {
      await expect(jobs.query('select freeze_barrier($1, $2)', [site, open])).rejects.toMatchObject({
        code: 'RK012',
      });
      await expect(jobs.query(`select freeze_invoice($1, $2, 'c', 'b')`, [site, open])).rejects.toMatchObject(
        { code: 'RK012' },
      );
    }
  });

  test('waits for a writer that is still at work on the site', async () => {
    const site = await siteWithPast(1, 0);
    const writer = await database.connect();
    await writer.query('begin');
    await writer.query('select lock_site($1)', [site]);
    let drained = false;
    const barrier = jobs.query('select freeze_barrier($1, $2)', [site, month]).then(() => {
      drained = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(drained).toBe(false);
    await writer.query('commit');
    await barrier;
    expect(drained).toBe(true);
  });

  test('finds every site of the month without an invoice: closed ones and ones without events too, but no later ones', async () => {
    const [empty, closed, done, later] = [
      await siteWithPast(0, 0),
      await siteWithPast(1, 0),
      await siteWithPast(1, 0),
      await database.site(1n),
    ];
    await database.superuser.query(`update sites set status = 'closed' where id = $1`, [closed]);
    await freeze(done);
    const { rows } = await jobs.query('select site_id from sites_to_freeze($1, null, 1000)', [month]);
    const found = rows.map(({ site_id }) => site_id);
    expect(found).toEqual(expect.arrayContaining([empty, closed]));
    expect(found).not.toContain(done);
    expect(found).not.toContain(later);
  });

  test('leaves an audit row, once', async () => {
    const site = await siteWithPast(1, 0);
    await freeze(site);
    await freeze(site);
    expect(
      await one(
        `select count(*)::int value from audit_log where action = 'invoice_freeze' and site_id = '${site}'`,
      ),
    ).toEqual({ value: 1 });
  });
});

describe('a frozen month', () => {
  test('takes no further ledger row, and a new event goes to the open month', async () => {
    const site = await siteWithPast(2, 0);
    await freeze(site);
    await expect(past(site, 'late', 'ACCEPTED')).rejects.toMatchObject({ code: 'RK010' });
    expect((await ingest(database.superuser, site, [v3('new')])).month > month).toBe(true);
    expect(await verify(site)).toMatchObject({ hash_ok: true, ledger_ok: true });
  });

  test.each([
    [
      'a count of the invoice',
      `update invoice_snapshot set event_count = event_count + 1 where site_id = $1`,
      { hash_ok: false, ledger_ok: false },
    ],
    [
      'its hash',
      `update invoice_snapshot set snapshot_hash = repeat('0', 64) where site_id = $1`,
      { hash_ok: false, ledger_ok: true },
    ],
    [
      'its commit',
      `update invoice_snapshot set commit_sha = 'forged' where site_id = $1`,
      { hash_ok: false, ledger_ok: true },
    ],
    [
      'a ledger row',
      `update ingest_idempotency set billable = false where site_id = $1`,
      { hash_ok: true, ledger_ok: false },
    ],
  ])('shows when %s was changed behind the guards', async (_what, sql, expected) => {
    const site = await siteWithPast(2, 0);
    await freeze(site);
    const forger = await database.connect();
    await forger.query('set session_replication_role = replica'); // only a superuser can switch the guards off
    await forger.query(sql, [site]);
    expect(await verify(site)).toMatchObject(expected);
  });
});

describe('an adjustment', () => {
  const correction = (corrects_month: string, more = {}) => ({
    key: 'ticket-1',
    corrects_month,
    event_delta: '-3',
    reason: 'Double tracker',
    ...more,
  });

  test('is booked in the open month, once for its key, and shows who asked and who approved', async () => {
    const site = await siteWithPast(5, 0);
    await freeze(site);
    const first = await adjust(site, correction(month));
    expect(first).toMatchObject({ corrects_month: month, event_delta: '-3', author: 'ana', approver: 'ben' });
    expect(first.year_month > month).toBe(true);
    expect(await adjust(site, correction(month))).toEqual(first);
  });

  test('of a month that is not frozen is refused with RK013', async () => {
    const site = await siteWithPast(1, 0);
    await expect(adjust(site, correction(month))).rejects.toMatchObject({ code: 'RK013' });
  });

  test('by its own approver, without a reason, or without an effect is refused', async () => {
    const site = await siteWithPast(1, 0);
    await freeze(site);
    await expect(adjust(site, correction(month), 'ana')).rejects.toMatchObject({ code: '23514' });
    await expect(adjust(site, correction(month, { reason: ' ' }))).rejects.toMatchObject({ code: '23514' });
    await expect(adjust(site, correction(month, { event_delta: '0' }))).rejects.toMatchObject({
      code: '23514',
    });
  });

  test('is never changed or deleted', async () => {
    for (const sql of [
      'update invoice_adjustments set reason = reason',
      'delete from invoice_adjustments',
      'truncate invoice_adjustments',
    ]) {
      await expect(database.superuser.query(sql)).rejects.toMatchObject({ code: 'RK011' });
    }
  });
});

async function siteWithPast(accepted: number, overage: number): Promise<string> {
  const site = await database.site(1_000n);
  await database.superuser.query(`update sites set created_at = now() - interval '90 days' where id = $1`, [
    site,
  ]);
  for (let i = 0; i < accepted; i++) await past(site, `a${i}`, 'ACCEPTED');
  for (let i = 0; i < overage; i++) await past(site, `o${i}`, 'OVERAGE');
  return site;
}

/** A ledger row of last month; the superuser may write it, the application may not. */
function past(site: string, id: string, state: string) {
  return database.superuser.query(
    `insert into ingest_idempotency (site_id, idempotency_key, created_at, expires_at, billing_state, idempotency_version)
     values ($1, decode($2, 'hex'), month_start($3) + interval '1 day', now() + interval '91 days', $4::billing_state, 3)`,
    [site, v3(id).key, month, state],
  );
}

async function freeze(site: string, commit = 'commit') {
  await jobs.query('select freeze_barrier($1, $2)', [site, month]);
  const frozen = await jobs.query(`select freeze_invoice($1, $2, $3, 'test') value`, [site, month, commit]);
  await jobs.query('select seal_invoice($1, $2)', [site, month]);
  return frozen.rows[0].value;
}

async function verify(site: string) {
  return (await jobs.query('select verify_invoice($1, $2) value', [site, month])).rows[0].value;
}

async function adjust(site: string, adjustment: object, approver = 'ben') {
  const api = await database.as('kernel_api');
  return (
    await api.query(`select adjust_invoice($1, $2, 'ana', $3) value`, [
      site,
      JSON.stringify(adjustment),
      approver,
    ])
  ).rows[0].value;
}

async function one(sql: string) {
  return (await database.superuser.query(sql)).rows[0];
}
