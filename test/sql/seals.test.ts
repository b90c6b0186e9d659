// The seal of a frozen month: anybody can recompute it, and any byte that was changed behind the guards shows, with its day.
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDatabase, type TestDatabase } from '../support/database.ts';
import { freezeMonth, monthsAgo, plantRows } from '../support/frozen-month.ts';

const runs = Number(process.env.RUNS ?? 150);
const rows_planted = 120;
const month = monthsAgo(5);

let database: TestDatabase;
let jobs: pg.Client;
let forger: pg.Client;
let site: string;
let rows: { id: string; day: string }[];
beforeAll(async () => {
  database = await openDatabase();
  jobs = await database.as('kernel_jobs');
  forger = await database.connect();
  site = await frozenSite(rows_planted);
  const found = await forger.query(
    'select id::text, left(utc_text(created_at), 10) "day" from ingest_idempotency where site_id = $1 order by id',
    [site],
  );
  rows = found.rows;
});
afterAll(() => database.close());

describe('a seal', () => {
  test('is taken once: repeated, and after the ledger was changed, the first one stays', async () => {
    const mine = await frozenSite(10);
    const seal = async () =>
      (await jobs.query('select seal_invoice($1, $2) seal', [mine, month])).rows[0].seal;
    const first = await seal();
    expect(first).toEqual({ row_count: '10', ledger_hash: expect.stringMatching(/^[0-9a-f]{64}$/) });
    await forger.query('set session_replication_role = replica');
    await forger.query('update ingest_idempotency set billable = false where site_id = $1', [mine]);
    await forger.query('set session_replication_role = origin');
    expect(await seal()).toEqual(first);
    expect(await verify(mine)).toMatchObject({ seal_ok: false });
  });

  test('is recomputed from the lines of an archive by anybody', async () => {
    const { rows: pages } = await jobs.query(
      `select chunk from ledger_page($1, $2, null, null, 9000000000000000000, 4000, 2678400000, true)`,
      [site, month],
    );
    const lines = pages.flatMap(({ chunk }) => chunk.split('\n'));
    expect(lines).toHaveLength(rows_planted);
    expect((await verify(site)).seal).toMatchObject({
      row_count: String(rows_planted),
      ledger_hash: sealOf(lines),
    });
  });

  test('of a month without rows is that of nothing, and verifies', async () => {
    const empty = await frozenSite(0);
    const sha256_of_nothing = createHash('sha256').update('').digest('hex');
    expect(await verify(empty)).toMatchObject({
      hash_ok: true,
      ledger_ok: true,
      seal_ok: true,
      changed_days: [],
      seal: { row_count: '0', ledger_hash: sha256_of_nothing },
    });
  });

  test('of a month that is not frozen is refused with RK013', async () => {
    const open = await database.site();
    await expect(jobs.query('select seal_invoice($1, $2)', [open, month])).rejects.toMatchObject({
      code: 'RK013',
    });
  });

  test('cannot be changed or deleted by anybody whom the guards see', async () => {
    for (const sql of [
      'update invoice_seals set row_count = row_count',
      'delete from invoice_seals where false',
      'truncate invoice_seals',
    ])
      await expect(database.superuser.query(sql)).rejects.toMatchObject({ code: 'RK011' });
  });
});

/** An expression that gives a column another value of its own kind. */
const other: Record<string, fc.Arbitrary<string>> = {
  idempotency_key: flipped('idempotency_key', 16),
  payload_hash: fc.oneof(flipped('payload_hash', 32), fc.constant('null')),
  created_at: fc
    .oneof(fc.constantFrom(1, -1, 1_000, 86_400_000_000), fc.integer({ min: 2, max: 3_000_000 }))
    .map((us) => `created_at + ${us} * interval '1 microsecond'`),
  id: fc.integer({ min: 1, max: 1_000_000 }).map((more) => `id + 1000000 + ${more}`),
  billing_state: fc.constant(
    `case billing_state when 'ACCEPTED' then 'OVERAGE' when 'OVERAGE' then 'RECOVERED' else 'DEGRADED_CAPTURE' end::billing_state`,
  ),
  billable: fc.constant('not billable'),
  idempotency_version: fc.constantFrom('1', '2'),
  billing_reason: fc.constantFrom(`'conversion'`, `'system'`, `'canary'`),
};
const change = fc
  .constantFrom(...Object.keys(other))
  .chain((column) => fc.record({ column: fc.constant(column), value: other[column] ?? fc.constant('null') }));

describe('verification names the day', () => {
  test(`in ${runs} tries of one changed value in any column of any row`, async () => {
    const seen = new Set<string>();
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: rows_planted - 1 }), change, async (n, { column, value }) => {
        const row = rows[n] ?? { id: '', day: '' };
        // a rejected row is never billable, even to a forger: the check holds without triggers
        const state =
          column === 'billable'
            ? `, billing_state = case when billable then billing_state else 'ACCEPTED' end`
            : '';
        const found = await forged(
          `update ingest_idempotency set ${column} = ${value}${state} where site_id = $1 and id = $2`,
          [site, row.id],
        );
        expect(found).toMatchObject({ hash_ok: true, seal_ok: false });
        expect(found.changed_days).toContain(row.day);
        expect(found.changed_days.length).toBeLessThanOrEqual(2);
        seen.add(column);
      }),
      {
        numRuns: runs,
        examples: Object.keys(other).map((column, n) => [n * 7, { column, value: sample(column) }]),
      },
    );
    expect([...seen].toSorted()).toEqual(Object.keys(other).toSorted());
  });

  test('of a deleted row, of an added one, and of one that was given to another site', async () => {
    const stranger = await database.site();
    for (const { id, day } of [rows[0], rows[60], rows[rows_planted - 1]].filter(
      (row) => row !== undefined,
    )) {
      for (const sql of [
        'delete from ingest_idempotency where site_id = $1 and id = $2',
        `update ingest_idempotency set site_id = '${stranger}' where site_id = $1 and id = $2`,
        `insert into ingest_idempotency (id, site_id, created_at, expires_at, idempotency_version, idempotency_key, billing_state, billable)
         select id, site_id, created_at, expires_at, 3, decode(md5(id::text), 'hex'), 'REJECTED_QUOTA', false from ingest_idempotency where site_id = $1 and id = $2`,
      ]) {
        expect(await forged(sql, [site, id])).toMatchObject({
          hash_ok: true,
          seal_ok: false,
          changed_days: [day],
        });
      }
    }
  });

  test('that a seal was changed in, whichever of its figures it was', async () => {
    const days = [...new Set(rows.map(({ day }) => day))].toSorted();
    const day = days[10] ?? '';
    for (const [field, value] of Object.entries({
      rows: '99',
      billable: '99',
      overage: '99',
      hash: '0'.repeat(64),
    })) {
      const found = await forged(
        `update invoice_seals set days = jsonb_set(days, array['${days.indexOf(day)}', '${field}'], '"${value}"') where site_id = $1`,
        [site],
      );
      expect(found).toMatchObject({ hash_ok: true, seal_ok: false, changed_days: [day] });
    }
  });
});

describe('verification fails', () => {
  const seal_bad = { hash_ok: true, ledger_ok: true, seal_ok: false };
  test.each([
    [
      'a count of the invoice',
      'invoice_snapshot',
      'event_count = event_count + 1',
      { hash_ok: false, ledger_ok: false, seal_ok: true },
    ],
    [
      'its overage',
      'invoice_snapshot',
      'overage_count = overage_count - 1',
      { hash_ok: false, ledger_ok: false, seal_ok: true },
    ],
    [
      'its hash',
      'invoice_snapshot',
      `snapshot_hash = translate(snapshot_hash, 'a', 'b')`,
      { hash_ok: false, ledger_ok: true },
    ],
    ['its hash, to none', 'invoice_snapshot', 'snapshot_hash = null', { hash_ok: false, ledger_ok: true }],
    ['its commit', 'invoice_snapshot', `commit_sha = 'commiT'`, { hash_ok: false, ledger_ok: true }],
    ['its commit, to none', 'invoice_snapshot', 'commit_sha = null', { hash_ok: false, ledger_ok: true }],
    ['the version of its hash', 'invoice_snapshot', 'hash_version = 0', { hash_ok: false, ledger_ok: true }],
    [
      'the hash of the seal',
      'invoice_seals',
      `ledger_hash = translate(ledger_hash, '0123', '3210')`,
      seal_bad,
    ],
    ['the count of the seal', 'invoice_seals', 'row_count = row_count + 1', seal_bad],
    ['the days of the seal, to none', 'invoice_seals', `days = '[]'`, seal_bad],
  ])('when %s was changed', async (_what, table, assignment, expected) => {
    expect(await forged(`update ${table} set ${assignment} where site_id = $1`, [site])).toMatchObject(
      expected,
    );
  });

  test('when a seal was removed, and when an invoice was', async () => {
    expect(await forged('delete from invoice_seals where site_id = $1', [site])).toMatchObject({
      seal_ok: false,
      seal: null,
    });
    await expect(forged('delete from invoice_snapshot where site_id = $1', [site])).rejects.toMatchObject({
      code: 'RK013',
    });
  });

  test('not when nothing was changed', async () => {
    expect(await verify(site)).toMatchObject({
      hash_ok: true,
      ledger_ok: true,
      seal_ok: true,
      changed_days: [],
    });
  });
});

async function frozenSite(count: number): Promise<string> {
  const created = await database.site(1_000n);
  await plantRows(database.superuser, created, month, count);
  await freezeMonth(database.superuser, created, month, 60);
  return created;
}

async function verify(of: string, client = jobs) {
  return (await client.query('select verify_invoice($1, $2) value', [of, month])).rows[0].value;
}

/** What verification says after the forgery, which must hit; then all is as before. */
async function forged(sql: string, values: unknown[]) {
  await forger.query('begin');
  try {
    await forger.query('set local session_replication_role = replica');
    expect((await forger.query(sql, values)).rowCount).toBe(1);
    return await verify(site, forger);
  } finally {
    await forger.query('rollback');
  }
}

/** One bit of one byte, turned. */
function flipped(column: string, bytes: number): fc.Arbitrary<string> {
  return fc
    .record({ byte: fc.nat({ max: bytes - 1 }), bit: fc.nat({ max: 7 }) })
    .map(({ byte, bit }) => `set_byte(${column}, ${byte}, get_byte(${column}, ${byte}) # ${1 << bit})`);
}

function sample(column: string): string {
  return fc.sample(other[column] ?? fc.constant('null'), { numRuns: 1, seed: 1 })[0] ?? 'null';
}

/** The hash of a seal over the lines, as the comment of invoice_seals describes it. */
function sealOf(lines: string[]): string {
  const sha256 = (content: string | Buffer) => createHash('sha256').update(content);
  const days = Map.groupBy(lines, (line) => line.slice(0, 10));
  const sealed = [...days].map(([day, of]) => {
    const billable = of.map((line) => line.split(',')).filter(([, , , , is]) => is === 'true');
    const overage = billable.filter(([, , , state]) => state === 'OVERAGE');
    const hash = sha256(Buffer.concat(of.map((line) => sha256(line).digest()))).digest('hex');
    return [day, of.length, billable.length, overage.length, hash].join('|');
  });
  return sha256(sealed.join('\n')).digest('hex');
}
