// What may leave the ledger, the events and the personal data, when, and by which one way.
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDatabase, type TestDatabase } from '../support/database.ts';
import { behindGuards, freezeMonth, monthsAgo, plantEvents, plantRows } from '../support/frozen-month.ts';

const old = monthsAgo(8);
const refused = { code: 'RK016' };
const append_only = { code: 'RK011' };

let database: TestDatabase;
let superuser: pg.Client;
let jobs: pg.Client;
beforeAll(async () => {
  database = await openDatabase();
  superuser = database.superuser;
  jobs = await database.as('kernel_jobs');
});
afterAll(() => database.close());

describe('the ledger refuses a DELETE', () => {
  const statements = [
    'delete from ingest_idempotency',
    'delete from ingest_idempotency where false',
    ...Array.from({ length: 8 }, (_, n) => `delete from ingest_idempotency_p${n} where false`),
  ];

  test('of its owner and of a superuser, one that matches no row too, in every partition', async () => {
    await archivedSite(3);
    const owner = await database.as(
      (await value(
        `select pg_get_userbyid(relowner) value from pg_class where relname = 'ingest_idempotency'`,
      )) as string,
    );
    for (const client of [owner, superuser]) {
      for (const sql of [
        ...statements,
        'truncate ingest_idempotency',
        'update ingest_idempotency set billable = billable where false',
      ])
        await expect(client.query(sql), sql).rejects.toMatchObject(append_only);
    }
  });

  test.each([
    'kernel_api',
    'kernel_ingest',
    'kernel_deliver',
    'kernel_jobs',
    'service_role',
    'authenticated',
  ])('of %s, which has no right to it at all', async (role) => {
    const client = await database.as(role);
    for (const sql of statements) await expect(client.query(sql)).rejects.toMatchObject({ code: '42501' });
  });

  test('of somebody who sets by hand what the purge sets: rows of a month without archive stay', async () => {
    const site = await agedSite(4);
    const hand = await database.connect();
    for (const setting of [`${site}:${old}`, 'anything', '*']) {
      await hand.query(`select set_config('app.purge', $1, false)`, [setting]);
      await expect(
        hand.query('delete from ingest_idempotency where site_id = $1', [site]),
      ).rejects.toMatchObject(refused);
    }
    expect(await rowsOf(site)).toBe('4');
  });

  test('of one month under the name of another that is archived', async () => {
    const [archived, other] = [await archivedSite(3), await agedSite(2)];
    const hand = await database.connect();
    await hand.query(`select set_config('app.purge', $1, false)`, [`${archived}:${old}`]);
    await expect(
      hand.query('delete from ingest_idempotency where site_id = any ($1)', [[archived, other]]),
    ).rejects.toMatchObject(refused);
    expect([await rowsOf(archived), await rowsOf(other)]).toEqual(['3', '2']);
  });
});

describe('a purge is refused, and deletes nothing,', () => {
  test.each([
    ['of a month that is not frozen', old, async () => undefined],
    ['of a month frozen less than a month ago', old, (site: string) => freezeMonth(superuser, site, old, 20)],
    [
      'of a month without a seal',
      old,
      async (site: string) => {
        await freezeMonth(superuser, site, old, 60);
        await behindGuards(superuser, () =>
          superuser.query('delete from invoice_seals where site_id = $1', [site]),
        );
      },
    ],
    [
      'of a month inside the dispute window',
      monthsAgo(2),
      (site: string) => freezeMonth(superuser, site, monthsAgo(2), 60),
    ],
    ['of a month that is not archived', old, (site: string) => freezeMonth(superuser, site, old, 60)],
  ])('%s', async (_what, month, prepare) => {
    const site = await database.site();
    await plantRows(superuser, site, month, 5);
    await prepare(site);
    // a window of one day asks for less than the ninety that hold at least
    await expect(purge(site, { month, window: 1 })).rejects.toMatchObject(refused);
    expect(await rowsOf(site)).toBe('5');
  });

  test('while a window that is longer than ninety days is open', async () => {
    const site = await archivedSite(5);
    await expect(purge(site, { window: 400 })).rejects.toMatchObject(refused);
    expect(await jobs.query('select from months_to_purge(400, null, null, 1000)')).toMatchObject({
      rowCount: 0,
    });
  });

  test('and months_to_purge names exactly the months that it takes', async () => {
    const [due, young, recent] = [await agedSite(1), await database.site(), await database.site()];
    await freezeMonth(superuser, young, old, 20);
    await freezeMonth(superuser, recent, monthsAgo(2), 60);
    const { rows } = await jobs.query(
      'select site_id::text, year_month, archived from months_to_purge(1, null, null, 1000)',
    );
    const mine = rows.filter(({ site_id }) => [due, young, recent].includes(site_id));
    expect(mine).toEqual([{ site_id: due, year_month: old, archived: false }]);
  });
});

describe('a purge', () => {
  test('deletes at most 10,000 rows a call, goes on where a crash ended it, and is noted once', async () => {
    const site = await archivedSite(25_000);
    expect(await purge(site, { limit: 1_000_000 })).toBe('10000');
    const crashed = await database.as('kernel_jobs');
    await crashed.query('begin');
    expect(await purge(site, { client: crashed })).toBe('10000');
    await crashed.end(); // before the commit
    expect(await rowsOf(site)).toBe('15000');
    expect(await verified(site)).toMatchObject({
      hash_ok: true,
      ledger_ok: true,
      seal_ok: true,
      archive: { purged: true },
    });
    const deleted: unknown[] = [];
    while (deleted.at(-1) !== '0') deleted.push(await purge(site, {}));
    expect(deleted).toEqual(['10000', '5000', '0']);
    expect([await purge(site, {}), await rowsOf(site)]).toEqual(['0', '0']);
    expect(await value('select count(*) value from ledger_purges where site_id = $1', site)).toBe('1');
    expect(await verified(site)).toMatchObject({
      hash_ok: true,
      ledger_ok: true,
      seal_ok: true,
      archive: { purged: true },
    });
    const { rows } = await jobs.query('select site_id from months_to_purge(1, null, null, 1000)');
    expect(rows.map(({ site_id }) => site_id)).not.toContain(site);
  });

  test('takes the rows of its month and of its site, and no other', async () => {
    const [site, neighbour] = [await agedSite(6), await agedSite(6)];
    await plantRows(superuser, site, monthsAgo(1), 4);
    await archive(site);
    expect(await purge(site, {})).toBe('6');
    expect([await rowsOf(site), await rowsOf(neighbour)]).toEqual(['4', '6']);
  });

  test('that is dry counts and writes nothing', async () => {
    const site = await archivedSite(7);
    await plantEvents(superuser, site, old);
    const before = await fingerprint();
    expect(await purge(site, { dry: true })).toBe('7');
    expect(Number(await sweep('expire_events', 30, true))).toBeGreaterThanOrEqual(6);
    expect(Number(await sweep('expire_personal_data', 30, true))).toBeGreaterThanOrEqual(6);
    expect(await fingerprint()).toBe(before);
  });
});

describe('an archive is refused', () => {
  test.each([
    ['with a row less', { row_count: '4' }],
    ['with another hash', { ledger_hash: '0'.repeat(64) }],
    ['without a hash', { ledger_hash: null }],
    ['without a count', { row_count: null }],
    ['with another sum of billable rows', { billable: '99' }],
    ['with another overage', { overage: '99' }],
  ])('%s, and the month stays', async (_what, wrong) => {
    const site = await agedSite(5);
    await expect(archive(site, wrong)).rejects.toMatchObject(refused);
    await expect(purge(site, {})).rejects.toMatchObject(refused);
    expect(await rowsOf(site)).toBe('5');
  });

  test('of a month that may not be purged, whatever it holds', async () => {
    const site = await database.site();
    await plantRows(superuser, site, old, 5);
    await freezeMonth(superuser, site, old, 20);
    await expect(archive(site)).rejects.toMatchObject(refused);
  });

  test('when it comes again: the first one stays', async () => {
    const site = await archivedSite(5);
    expect(await archive(site, { object_key: 'another' })).toBe(false);
    expect(await value('select object_key value from ledger_archives where site_id = $1', site)).toBe(
      `ledger/${site}/${old}.csv.gz`,
    );
  });
});

describe('events', () => {
  test('expire when they are old and their month is frozen; those of an open month stay', async () => {
    const [frozen, open] = [await agedSite(10), await database.site()];
    await plantRows(superuser, open, old, 10);
    for (const site of [frozen, open]) await plantEvents(superuser, site, old);
    while ((await sweep('expire_events', 30, false, 4)) !== '0');
    expect([await eventsOf(frozen), await eventsOf(open)]).toEqual(['0', '9']);
    expect(await rowsOf(frozen)).toBe('10'); // the proof outlives the payload
  });

  test('younger than their lifetime stay', async () => {
    const site = await agedSite(10);
    await plantEvents(superuser, site, old);
    while ((await sweep('expire_events', 4_000, false)) !== '0');
    expect(await eventsOf(site)).toBe('9');
  });

  test('lose address and user agent when they are old, though ids do not follow the clock; young ones keep theirs', async () => {
    const site = await database.site();
    const first = Number(await value('select coalesce(max(id), 0) + 1 value from events'));
    const ages = [50, 10, 40, 45, 5, 60]; // days, in the order of ids
    for (const [n, age] of ages.entries())
      await superuser.query(
        `insert into events (id, site_id, received_at, payload, client_ip, user_agent)
         values ($1, $2, now() - make_interval(days => $3), '{"n": 1}', '192.0.2.7', 'agent')`,
        [first + n, site, age],
      );
    const bare = async () => {
      const { rows } = await superuser.query(
        `select id::int - $2::int n from events where site_id = $1 and client_ip is null and user_agent is null order by id`,
        [site, first],
      );
      return rows.map(({ n }) => ages[n]);
    };
    while ((await sweep('expire_personal_data', 30, false, 2)) !== '0');
    expect(await bare()).toEqual([50, 40, 45, 60]);
    while ((await sweep('expire_personal_data', 7, false, 2)) !== '0'); // as if time had passed
    expect(await bare()).toEqual([50, 10, 40, 45, 60]);
    expect(
      await value(`select count(*) value from events where site_id = $1 and payload = '{"n": 1}'`, site),
    ).toBe('6');
  });
});

/** A site whose old month is frozen, sealed and beyond its window. */
async function agedSite(rows: number): Promise<string> {
  const site = await database.site();
  await plantRows(superuser, site, old, rows);
  await freezeMonth(superuser, site, old, 60);
  return site;
}

async function archivedSite(rows: number): Promise<string> {
  const site = await agedSite(rows);
  expect(await archive(site)).toBe(true);
  return site;
}

/** Records an archive that is right, except for what is given. */
async function archive(site: string, wrong: object = {}): Promise<boolean> {
  const { ledger, seal } = await verified(site);
  const right = {
    row_count: seal.row_count,
    billable: ledger.event_count,
    overage: ledger.overage_count,
    ledger_hash: seal.ledger_hash,
    max_id: '1',
    object_key: `ledger/${site}/${old}.csv.gz`,
    content_sha256: 'c',
    object_sha256: 'o',
    bytes: '1',
  };
  const { rows } = await jobs.query('select record_archive($1, $2, 1, $3) value', [
    site,
    old,
    JSON.stringify({ ...right, ...wrong }),
  ]);
  return rows[0].value;
}

async function purge(
  site: string,
  { month = old, window = 1, limit = 10_000, dry = false, client = jobs },
): Promise<string> {
  const { rows } = await client.query('select purge_ledger($1, $2, $3, $4, $5) value', [
    site,
    month,
    window,
    limit,
    dry,
  ]);
  return rows[0].value;
}

async function sweep(
  what: 'expire_events' | 'expire_personal_data',
  days: number,
  dry: boolean,
  limit = 10_000,
): Promise<string> {
  return (await jobs.query(`select ${what}($1, $2, $3) value`, [days, limit, dry])).rows[0].value;
}

async function verified(site: string) {
  return (await jobs.query('select verify_invoice($1, $2) value', [site, old])).rows[0].value;
}

const rowsOf = (site: string) =>
  value('select count(*) value from ingest_idempotency where site_id = $1', site);
const eventsOf = (site: string) => value('select count(*) value from events where site_id = $1', site);

/** A hash over every row that a purge or a sweep could write. */
function fingerprint() {
  const tables = [
    'ingest_idempotency',
    'events',
    'ledger_purges',
    'ledger_archives',
    'retention_marks',
    'audit_log',
  ];
  const each = tables.map(
    (table) => `select md5(string_agg(t::text, ',' order by t::text)) h from ${table} t`,
  );
  return value(`select string_agg(h, ',') value from (${each.join(' union all ')}) x`);
}

async function value(sql: string, ...values: unknown[]): Promise<unknown> {
  return (await superuser.query(sql, values)).rows[0]?.value;
}
