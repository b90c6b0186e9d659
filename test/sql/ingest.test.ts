// The quota decision and the key rules of ingest(), in SQL, one connection: what each event of a batch is told and what is written.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ingest, openDatabase, outcomes, type TestDatabase, v1, v3 } from '../support/database.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await openDatabase();
});
afterAll(() => database.close());

const count = async (sql: string, ...values: unknown[]) =>
  Number((await database.superuser.query(sql, values)).rows[0]?.count);
const rows = (site: string) => count('select count(*) from ingest_idempotency where site_id = $1', site);
const billable = (site: string) =>
  count('select count(*) from ingest_idempotency where site_id = $1 and billable', site);

describe('the quota', () => {
  test('a hard limit of 3 admits exactly 3', async () => {
    const site = await database.site(3n);
    const row = await ingest(
      database.superuser,
      site,
      ['a', 'b', 'c', 'd', 'e'].map((id) => v3(id)),
    );
    expect(row.results.map(([outcome]) => outcome)).toEqual([
      'accepted',
      'accepted',
      'accepted',
      'rejected_quota',
      'rejected_quota',
    ]);
    expect(row).toMatchObject({ used: '3', quota: '3', remaining: '0', admitted: '3' });
    expect(await billable(site)).toBe(3);
  });

  test('a limit of 0 admits nothing', async () => {
    const site = await database.site(0n);
    expect(await outcomes(database.superuser, site, [v3('a')])).toEqual(['rejected_quota']);
    expect(await billable(site)).toBe(0);
  });

  test('a soft limit of 3 with multiplier 1.5 admits one as overage and rejects from floor(4.5)', async () => {
    const site = await database.site(3n, { soft: true, multiplier: '1.5' });
    const told = await outcomes(
      database.superuser,
      site,
      ['a', 'b', 'c', 'd', 'e'].map((id) => v3(id)),
    );
    expect(told).toEqual(['accepted', 'accepted', 'accepted', 'overage', 'rejected_quota']);
    const { rows: usage } = await database.superuser.query(
      'select event_count, overage_count from site_usage_monthly where site_id = $1',
      [site],
    );
    expect(usage).toEqual([{ event_count: '4', overage_count: '1' }]);
  });

  test('a site without a plan has the default plan of 1000', async () => {
    const site = await database.site();
    expect(await ingest(database.superuser, site, [v3('a')])).toMatchObject({
      quota: '1000',
      remaining: '999',
    });
  });

  test('with billing enforcement off nothing is refused and what exceeds is overage', async () => {
    const site = await database.site(1n);
    await database.superuser.query('update sites set billing_enforcement = false where id = $1', [site]);
    expect(await outcomes(database.superuser, site, [v3('a'), v3('b')])).toEqual(['accepted', 'overage']);
  });

  test('a rejected row is evidence: not billable, reason rejected_quota, not in the outbox', async () => {
    const site = await database.site(0n);
    await outcomes(database.superuser, site, [v3('a')]);
    const { rows: found } = await database.superuser.query(
      'select billable, billing_state, billing_reason from ingest_idempotency where site_id = $1',
      [site],
    );
    expect(found).toEqual([
      { billable: false, billing_state: 'REJECTED_QUOTA', billing_reason: 'rejected_quota' },
    ]);
    expect(await count('select count(*) from ingest_fallback_buffer where site_id = $1', site)).toBe(0);
  });

  test('Retry-After reaches to the end of the UTC month', async () => {
    const site = await database.site(1n);
    const { retry_after_s, month } = await ingest(database.superuser, site, [v3('a')]);
    const { rows: found } = await database.superuser.query(
      `select extract(epoch from month_start($1) + interval '1 month' - clock_timestamp())::bigint seconds`,
      [month],
    );
    expect(Math.abs(Number(retry_after_s) - Number(found[0].seconds))).toBeLessThan(5);
  });

  test('an unknown or closed site is refused with RK003 and nothing is written', async () => {
    const closed = await database.site(5n);
    await database.superuser.query(`update sites set status = 'closed' where id = $1`, [closed]);
    for (const site of [closed, '00000000-0000-4000-8000-00000000dead']) {
      await expect(outcomes(database.superuser, site, [v3('a')])).rejects.toMatchObject({ code: 'RK003' });
      expect(await rows(site)).toBe(0);
    }
  });

  test('0 and 501 events are refused with RK002', async () => {
    const site = await database.site(5n);
    const many = Array.from({ length: 501 }, (_, i) => v3(`e${i}`));
    for (const events of [[], many])
      await expect(outcomes(database.superuser, site, events)).rejects.toMatchObject({ code: 'RK002' });
  });

  test('an isolation level in which the lock would come after the snapshot is refused with RK001', async () => {
    const site = await database.site(5n);
    const client = await database.connect();
    await client.query('begin isolation level repeatable read');
    await expect(outcomes(client, site, [v3('a')])).rejects.toMatchObject({ code: 'RK001' });
    await client.query('rollback');
  });
});

describe('a key', () => {
  test('counts once: the second time it is a duplicate, and writes nothing', async () => {
    const site = await database.site(10n);
    expect(await outcomes(database.superuser, site, [v3('a')])).toEqual(['accepted']);
    expect(await outcomes(database.superuser, site, [v3('a'), v3('a')])).toEqual(['duplicate', 'duplicate']);
    expect(await rows(site)).toBe(1);
  });

  test('twice in one batch counts once', async () => {
    const site = await database.site(10n);
    expect(await outcomes(database.superuser, site, [v3('a'), v3('b'), v3('a')])).toEqual([
      'accepted',
      'accepted',
      'duplicate',
    ]);
  });

  test('with another payload is a conflict, recorded once for each payload and never swallowed', async () => {
    const site = await database.site(10n);
    await outcomes(database.superuser, site, [v3('a', 'one')]);
    expect(
      await outcomes(database.superuser, site, [v3('a', 'two'), v3('a', 'two'), v3('a', 'one')]),
    ).toEqual(['conflict', 'conflict', 'duplicate']);
    expect(await outcomes(database.superuser, site, [v3('b', 'one'), v3('b', 'two')])).toEqual([
      'accepted',
      'conflict',
    ]);
    expect(await count('select count(*) from ingest_conflicts where site_id = $1', site)).toBe(2);
    expect(await billable(site)).toBe(2);
  });

  test('of another site is not its twin', async () => {
    const [one, two] = [await database.site(10n), await database.site(10n)];
    expect(await outcomes(database.superuser, one, [v3('a')])).toEqual(['accepted']);
    expect(await outcomes(database.superuser, two, [v3('a')])).toEqual(['accepted']);
  });

  test('without an id is a duplicate of the previous bucket while that row is younger than the bucket', async () => {
    const site = await database.site(10n);
    await outcomes(database.superuser, site, [v1('bucket-1')]);
    expect(await outcomes(database.superuser, site, [v1('bucket-2', 'bucket-1')])).toEqual(['duplicate']);
    expect(await outcomes(database.superuser, site, [v1('bucket-2', 'bucket-1', 0)])).toEqual(['accepted']);
  });

  test('that was rejected answers rejected again and writes nothing more in its month', async () => {
    const site = await database.site(0n);
    for (let i = 0; i < 3; i++)
      expect(await outcomes(database.superuser, site, [v3('a'), v3('a')])).toEqual([
        'rejected_quota',
        'rejected_quota',
      ]);
    expect(await rows(site)).toBe(1);
  });

  test('that was rejected is admitted once after the limit is raised, then a duplicate', async () => {
    const site = await database.site(0n);
    await outcomes(database.superuser, site, [v3('a')]);
    await database.superuser.query('update site_plans set monthly_limit = 5 where site_id = $1', [site]);
    expect(await outcomes(database.superuser, site, [v3('a')])).toEqual(['accepted']);
    expect(await outcomes(database.superuser, site, [v3('a')])).toEqual(['duplicate']);
    expect([await rows(site), await billable(site)]).toEqual([2, 1]);
  });

  test('that was rejected and comes again behind a conflicting payload in one batch is admitted, not lost as a duplicate', async () => {
    const site = await database.site(0n);
    await outcomes(database.superuser, site, [v3('a', 'right')]);
    await database.superuser.query('update site_plans set monthly_limit = 5 where site_id = $1', [site]);
    const batch = [v3('a', 'wrong'), v3('a', 'right'), v3('a', 'right')];
    expect(await outcomes(database.superuser, site, batch)).toEqual(['conflict', 'accepted', 'duplicate']);
    expect(await billable(site)).toBe(1);
  });

  test('that was rejected in a month since frozen is admitted in the open month', async () => {
    const site = await database.site(1n);
    await plant(site, v3('a'), `interval '40 days'`, 'REJECTED_QUOTA');
    await freeze(site, `interval '40 days'`);
    expect(await outcomes(database.superuser, site, [v3('a')])).toEqual(['accepted']);
    expect([await rows(site), await billable(site)]).toEqual([2, 1]);
  });

  test('that was billed in a month since frozen stays a duplicate', async () => {
    const site = await database.site(10n);
    await plant(site, v3('a'), `interval '40 days'`, 'ACCEPTED');
    await freeze(site, `interval '40 days'`);
    expect(await outcomes(database.superuser, site, [v3('a')])).toEqual(['duplicate']);
    expect(await rows(site)).toBe(1);
  });
});

test('an event that arrives in a month already frozen, for the clock went back, is billed in the next month', async () => {
  const site = await database.site(10n);
  await freeze(site, `interval '0'`);
  const { month } = await ingest(database.superuser, site, [v3('a')]);
  const { rows: found } = await database.superuser.query(
    `select year_month, utc_year_month(month_start(utc_year_month(clock_timestamp())) + interval '1 month') expected from ingest_idempotency where site_id = $1`,
    [site],
  );
  expect(found).toEqual([{ year_month: month, expected: month }]);
});

test('the ingest_id of an event carries its ledger id', async () => {
  const site = await database.site(10n);
  const { results } = await ingest(database.superuser, site, [v3('a')]);
  const { rows: found } = await database.superuser.query(
    "select id::text, ingest_uuid(id, created_at) uuid, ingest_uuid_id($2)::text back, to_char(expires_at - created_at, 'DD') days from ingest_idempotency where site_id = $1",
    [site, results[0]?.[1]],
  );
  expect(found).toEqual([{ id: found[0].id, uuid: results[0]?.[1], back: found[0].id, days: '90' }]);
});

/** A row as it would have been written then; the superuser may, the application may not. */
async function plant(
  site: string,
  event: Record<string, unknown>,
  ago: string,
  state: string,
): Promise<void> {
  await database.superuser.query(
    `insert into ingest_idempotency (site_id, idempotency_key, payload_hash, created_at, expires_at, billing_state, billable, billing_reason, idempotency_version)
     values ($1, decode($2, 'hex'), decode($3, 'hex'), now() - ${ago}, now() + interval '91 days', $4::billing_state, $4 <> 'REJECTED_QUOTA',
             (case when $4 = 'REJECTED_QUOTA' then 'rejected_quota' else 'default_billable' end)::billing_reason, 3)`,
    [site, event.key, event.hash, state],
  );
}

async function freeze(site: string, ago: string): Promise<void> {
  await database.superuser.query(
    `insert into invoice_snapshot (site_id, year_month, event_count, overage_count) values ($1, utc_year_month(now() - ${ago}), 0, 0)`,
    [site],
  );
}
