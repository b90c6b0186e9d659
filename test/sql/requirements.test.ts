// The requirements' own SQL, as it stands in their documents, run as the role that they name, gives the result that they state.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ingest, openDatabase, type TestDatabase, v3 } from '../support/database.ts';

const folder = join(import.meta.dirname, 'requirements');
const member = '20000000-0000-4000-8000-000000000001';
const run_by_a_test = new Set<string>();

let database: TestDatabase;
/** The roles that may run what names no other: the smoke test's service_role, and the owner that a SQL editor signs in as. */
let readers: [string, pg.Client][];
/** Sites by what becomes of events that exceed their limit of 3. */
let refusing: string;
let charging: string;
/** A site of last month, which is reconciled and then frozen. */
let ended: string;
let month: string;
let last_month: string;

beforeAll(async () => {
  database = await openDatabase();
  refusing = await database.site(3n);
  charging = await database.site(3n, { soft: true });
  [{ month, last_month }] = (
    await database.superuser.query(
      `select utc_year_month(now()) as month, utc_year_month(month_start(utc_year_month(now())) - interval '1 day') last_month`,
    )
  ).rows as [{ month: string; last_month: string }];
  await database.superuser.query('insert into site_members (site_id, user_id) values ($1, $2)', [
    refusing,
    member,
  ]);
  readers = [];
  for (const role of ['service_role', 'kernel_master']) readers.push([role, await database.as(role)]);
  const kernel = await database.as('kernel_ingest');
  for (const site of [refusing, charging])
    for (const id of ['a', 'b', 'c', 'd', 'e', 'a']) await ingest(kernel, site, [v3(id)]);
  ended = await database.site(10n);
  await past(ended, 'x', 'y');
  // The usage row is wrong until a job has run: so the queries below tell a reconciled row from one that nobody looked at.
  await database.superuser.query('update site_usage_monthly set event_count = 77 where site_id = $1', [
    charging,
  ]);
  expect(await proof(database.superuser)).toContainEqual([charging, month, 5, '77']);
  const jobs = await database.as('kernel_jobs');
  await reconcile(jobs);
  await jobs.query('select freeze_barrier($1, $2)', [ended, last_month]);
  await jobs.query('select freeze_barrier($1, $2)', [ended, last_month]);
  await jobs.query(`select freeze_invoice($1, $2, 'commit', 'test')`, [ended, last_month]);
});
afterAll(() => database.close());

describe('the release description', () => {
  test('finds billable_count equal to event_count for every site and month', async () => {
    for (const [, client] of readers) {
      expect(await proof(client)).toEqual([
        [charging, month, 5, '5'],
        [refusing, month, 3, '3'],
        [ended, last_month, 2, '2'],
      ]);
    }
  });
});

describe('the runbook', () => {
  test('finds the refused rows of a site not billable', async () => {
    for (const [, client] of readers) {
      const { rows } = await client.query(sql('001-newest-of-a-site.sql', '<site_uuid>', refusing));
      expect(rows.map(({ billable }) => billable)).toEqual([false, false, true, true, true]);
    }
  });

  test('finds the usage of a completed job equal to the ledger', async () => {
    for (const [, client] of readers) {
      const { rows } = await client.query(sql('001-completed-jobs.sql'));
      expect(new Set(rows.map(({ site_id }) => site_id))).toEqual(new Set([refusing, charging, ended]));
      for (const row of rows) expect(row.monthly_event_count).toBe(row.billable_total_now);
    }
  });

  test('counts what is billable', async () => {
    for (const [, client] of readers)
      expect((await client.query(sql('001-drift-count.sql'))).rows).toEqual([{ count: '10' }]);
  });
});

describe('the smoke test of the database', () => {
  test('1: every year_month is written YYYY-MM', async () => {
    for (const [, client] of readers) {
      const { rows } = await client.query(sql('002-year-month.sql'));
      expect(rows.length).toBe(2);
      for (const { year_month } of rows) expect(year_month).toMatch(/^\d{4}-\d{2}$/);
    }
  });

  test('2: service_role inserts a snapshot once, and its update and delete fail for every role', async () => {
    const service = readers[0]?.[1] as pg.Client;
    const count = async () =>
      (await service.query(`select * from invoice_snapshot where year_month = '2025-01'`)).rows;
    const first = await service.query(sql('002-snapshot-insert.sql'));
    expect(first.rowCount).toBe(1);
    const before = await count();
    expect(before).toMatchObject([{ event_count: '0', overage_count: '0', snapshot_hash: 'test' }]);
    expect((await service.query(sql('002-snapshot-insert.sql'))).rowCount).toBe(0);
    for (const file of ['002-snapshot-update.sql', '002-snapshot-delete.sql']) {
      await expect(service.query(sql(file))).rejects.toMatchObject({ code: '42501' });
      for (const client of [database.superuser, readers[1]?.[1] as pg.Client])
        await expect(client.query(sql(file))).rejects.toMatchObject({
          code: '23000',
          message: 'invoice_snapshot is immutable',
        });
    }
    expect(await count()).toEqual(before);
  });

  test('3: a signed-in member reads the ledger of the site and is denied the update', async () => {
    const client = await database.as('authenticated');
    await client.query(`select set_config('app.user_id', $1, false)`, [member]);
    const billable = async () =>
      (await client.query('select count(*) from ingest_idempotency where billable')).rows[0].count;
    expect(await billable()).toBe('3');
    await expect(client.query(sql('002-member-update.sql', '...', refusing))).rejects.toMatchObject({
      code: '42501',
    });
    expect(await billable()).toBe('3');
  });

  test('3: nobody but its owner holds UPDATE or DELETE on the ledger', async () => {
    const { rows } = await database.superuser.query(
      `select distinct r.rolname from pg_roles r, pg_class c
        where c.relname ~ '^ingest_idempotency(_p\\d)?$' and c.relnamespace = 'public'::regnamespace and not r.rolsuper and r.rolname !~ '^pg_'
          and has_table_privilege(r.oid, c.oid, 'UPDATE, DELETE, TRUNCATE')`,
    );
    expect(rows).toEqual([{ rolname: 'kernel_master' }]);
  });

  test('4: what a quota refused is not billable', async () => {
    for (const [, client] of readers) {
      const { rows } = await client.query(sql('002-rejected.sql', 'YOUR_SITE_UUID', refusing));
      expect(rows.map(({ billable, billing_state }) => [billable, billing_state])).toEqual([
        [false, 'REJECTED_QUOTA'],
        [false, 'REJECTED_QUOTA'],
        [true, 'ACCEPTED'],
        [true, 'ACCEPTED'],
        [true, 'ACCEPTED'],
      ]);
    }
  });
});

describe('the evidence of reconciliation', () => {
  test('finds the usage of every reconciled row equal to the ledger', async () => {
    for (const [, client] of readers) {
      const { rows } = await client.query(sql('002-usage-against-ledger.sql'));
      const reconciled = rows.filter(({ last_synced_at }) => last_synced_at !== null);
      expect(new Set(reconciled.map(({ site_id }) => site_id))).toEqual(new Set([refusing, charging, ended]));
      for (const row of reconciled) expect(row.usage_event_count).toBe(row.pg_billable_count);
    }
  });

  test('of the canary site: the usage row is the ledger, and the job is completed without an error', async () => {
    for (const [, client] of readers) {
      const of = async (file: string) =>
        (await client.query(sql(file, '<CANARY_SITE_UUID>', charging).replaceAll('2026-02', month))).rows;
      expect(await of('002-canary-billable.sql')).toEqual([{ billable: '5' }]);
      const [usage] = await of('002-canary-usage.sql');
      expect(usage).toMatchObject({ event_count: '5', overage_count: '2' });
      expect(Date.now() - usage.last_synced_at.getTime()).toBeLessThan(300_000);
      expect(await of('002-canary-jobs.sql')).toMatchObject([
        {
          year_month: month,
          status: 'COMPLETED',
          attempt_count: 1,
          last_error: null,
          last_drift_pct: '14.4',
        },
      ]);
    }
  });
});

test('no statement is left out', () => {
  expect([...run_by_a_test].sort()).toEqual(readdirSync(folder).sort());
});

/** The statement as it stands in the document, with its placeholder filled in. */
function sql(file: string, placeholder?: string, value = ''): string {
  run_by_a_test.add(file);
  const text = readFileSync(join(folder, file), 'utf8');
  if (placeholder === undefined) return text;
  const [head = '', ...body] = text.split(`'${placeholder}'`);
  expect(body.length).toBe(1);
  return `${head}'${value}'${body.join('')}`;
}

async function proof(client: pg.Client) {
  const { rows } = await client.query(sql('000-proof.sql'));
  return rows.map((row) => [row.site_id, row.year_month, row.billable_count, row.event_count]);
}

/** Ledger rows of last month; the superuser may write them, the application may not. */
async function past(site: string, ...ids: string[]): Promise<void> {
  for (const id of ids)
    await database.superuser.query(
      `insert into ingest_idempotency (site_id, idempotency_key, created_at, expires_at, idempotency_version)
       values ($1, decode($2, 'hex'), month_start($3) + interval '1 day', now() + interval '91 days', 3)`,
      [site, v3(id).key, last_month],
    );
}

/** What the cron does with the ledger, without the counter, which is beside the database. */
async function reconcile(jobs: pg.Client): Promise<void> {
  await jobs.query('select enqueue_reconciliation(null, null, null, false)');
  const { rows } = await jobs.query('select * from claim_billing_reconciliation_jobs(50)');
  for (const job of rows) {
    const result = (await jobs.query('select reconcile_site($1, $2) value', [job.site_id, job.year_month]))
      .rows[0].value;
    const drift = Math.abs(Number(result.usage_delta)) / Number(result.billable);
    await jobs.query('select finish_reconciliation($1, $2, null, $3, $4)', [
      job.id,
      job.attempt_count,
      String(drift),
      result,
    ]);
  }
}
