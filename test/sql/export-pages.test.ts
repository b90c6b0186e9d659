// The pages of a month: whatever their size and however the times lie, together they are its rows in order, once each.
import fc from 'fast-check';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openDatabase, type TestDatabase } from '../support/database.ts';
import { monthsAgo } from '../support/frozen-month.ts';

const runs = Number(process.env.RUNS ?? 60);
const second_us = 1_000_000;
const day_us = 86_400 * second_us;
/** What a row of the Data API's answer may hold. */
const chunk_bytes_max = 64_000;

const month = monthsAgo(3);
const start_us = Date.parse(`${month}-01T00:00:00Z`) * 1_000;
const end_us = Date.parse(`${monthsAgo(2)}-01T00:00:00Z`) * 1_000;

let database: TestDatabase;
let jobs: pg.Client;
beforeAll(async () => {
  database = await openDatabase();
  jobs = await database.as('kernel_jobs');
});
afterAll(() => database.close());

interface Row {
  site: string;
  id: bigint;
  at_us: number;
  state: string;
  billable: boolean;
}

interface Page {
  lines: string[];
  done: boolean;
  window_ms: string;
}

/** From rows of one instant to a day of silence. */
const pause = fc.oneof(
  { weight: 4, arbitrary: fc.constant(0) },
  { weight: 6, arbitrary: fc.integer({ min: 1, max: 2_000 }) },
  { weight: 4, arbitrary: fc.integer({ min: 1, max: 30 * second_us }) },
  { weight: 1, arbitrary: fc.integer({ min: 600 * second_us, max: day_us }) },
  { weight: 1, arbitrary: fc.integer({ min: -day_us, max: -1 }) }, // a clock went back: ids do not follow it
);
const steps = fc.array(
  fc.record({
    pause,
    site: fc.integer({ min: 0, max: 2 }),
    state: fc.constantFrom('ACCEPTED', 'OVERAGE', 'DEGRADED_CAPTURE', 'REJECTED_QUOTA'),
    billable: fc.boolean(),
  }),
  { minLength: 20, maxLength: 400, size: 'max' },
);
const windows = fc.array(fc.constantFrom('1', '60', '5000', '3600000', '86400000', '2678400000'), {
  minLength: 1,
  maxLength: 5,
});

test(`in ${runs} random months the pages together are the rows up to the highest id, in order and once each`, async () => {
  let sought = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        steps,
        from: fc.integer({ min: -day_us / 4, max: 27 * day_us }),
        limit: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 20, max: 600 })),
        windows,
        keep: fc.oneof(fc.constant(1), fc.double({ min: 0, max: 1, noNaN: true })),
        whole: fc.boolean(),
      }),
      async ({ steps, from, limit, windows, keep, whole }) => {
        const rows = await plant(steps, from);
        const max = rows[Math.floor(keep * (rows.length - 1))]?.id ?? 0n;
        for (const site of new Set(rows.map((row) => row.site))) {
          const wanted = rows
            .filter(
              (row) => row.site === site && row.id <= max && row.at_us >= start_us && row.at_us < end_us,
            )
            .toSorted((a, b) => a.at_us - b.at_us || Number(a.id - b.id))
            .map((row) => lineOf(row, whole));
          const pages = await read(site, max, limit, windows, whole);
          expect(pages.flatMap(({ lines }) => lines)).toEqual(wanted);
          pages.forEach(({ lines, done }, n) => {
            expect(done).toBe(lines.length < limit);
            if (n < pages.length - 1) expect(lines).toHaveLength(limit);
          });
          sought += wanted.length;
        }
      },
    ),
    { numRuns: runs },
  );
  expect(sought).toBeGreaterThan(runs * 40);
}, 300_000);

test.each([true, false])(
  'the widest lines (whole: %s) make chunks below 64 KB, of one page each',
  async (whole) => {
    const site = await database.site();
    await database.superuser.query(
      `insert into ingest_idempotency (id, site_id, created_at, expires_at, idempotency_version, idempotency_key, payload_hash, billing_state, billing_reason, billable)
     select 1e18::bigint + n, $1, month_start($2) + n * interval '10 ms', month_start($2) + interval '100 days', 2,
            '\\x02'::bytea || sha256(convert_to(n::text, 'UTF8')), sha256(convert_to(n::text, 'UTF8')), 'DEGRADED_CAPTURE', 'interaction_view', false
       from generate_series(1, 4000) n`,
      [site, month],
    );
    const { rows } = await jobs.query(page_sql, [
      site,
      month,
      null,
      null,
      '9000000000000000000',
      4_000,
      '3600000',
      whole,
    ]);
    expect(rows.map(({ row_count }) => row_count)).toEqual(
      Array.from({ length: whole ? 16 : 8 }, () => (whole ? 250 : 500)),
    );
    for (const { chunk, row_count } of rows) {
      expect(chunk.split('\n')).toHaveLength(row_count);
      expect(Buffer.byteLength(chunk)).toBeLessThan(chunk_bytes_max);
    }
    expect(rows.reduce((sum, { chunk }) => sum + Buffer.byteLength(chunk), 0)).toBeLessThan(1_000_000); // one answer
  },
);

test('a month without rows has no page', async () => {
  const site = await database.site();
  for (const window of ['1', '3600000', '2678400000']) {
    const { rows } = await jobs.query(page_sql, [
      site,
      month,
      null,
      null,
      '9000000000000000000',
      10,
      window,
      false,
    ]);
    expect(rows).toEqual([]);
  }
});

const page_sql =
  'select chunk, row_count, last_at, last_id::text, window_ms::text, done from ledger_page($1, $2, $3, $4, $5, $6, $7, $8)';

/** All pages, with the windows given in turn and, after them, those that the pages ask for. */
async function read(
  site: string,
  max: bigint,
  limit: number,
  windows: string[],
  whole: boolean,
): Promise<Page[]> {
  const pages: Page[] = [];
  let after: { at: string | null; id: string | null } = { at: null, id: null };
  for (;;) {
    const window = windows[pages.length] ?? pages.at(-1)?.window_ms;
    const { rows } = await jobs.query(page_sql, [site, month, after.at, after.id, max, limit, window, whole]);
    const last = rows.at(-1);
    if (!last) return pages;
    pages.push({ ...last, lines: rows.flatMap(({ chunk }) => chunk.split('\n')) });
    if (last.done) return pages;
    after = { at: last.last_at, id: last.last_id };
  }
}

/** Rows of three sites in one order of ids, at times that jump; a few fall out of the month. */
async function plant(
  steps: { pause: number; site: number; state: string; billable: boolean }[],
  from: number,
) {
  const sites = [await database.site(), await database.site(), await database.site()];
  const first = BigInt((await database.superuser.query(`select nextval('ingest_id_seq') id`)).rows[0].id);
  let at_us = start_us + from;
  const rows = steps.map(({ pause, site, state, billable }, n): Row => {
    at_us += pause;
    const rejected = state === 'REJECTED_QUOTA';
    return { site: sites[site] ?? '', id: first + BigInt(n), at_us, state, billable: billable && !rejected };
  });
  await database.superuser.query(`select setval('ingest_id_seq', $1)`, [first + BigInt(steps.length) + 1n]);
  await database.superuser.query(
    `insert into ingest_idempotency (id, site_id, created_at, expires_at, idempotency_version, idempotency_key, billing_state, billable)
     select x.id, x.site, at, at + interval '91 days', 3, decode(lpad(x.id::text, 32, '0'), 'hex'), x.state::billing_state, x.billable
       from unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::text[], $5::boolean[]) x (id, site, at_us, state, billable),
            lateral (select 'epoch'::timestamptz + x.at_us * interval '1 microsecond' as at) t`,
    [
      rows.map(({ id }) => id),
      rows.map(({ site }) => site),
      rows.map(({ at_us }) => at_us),
      rows.map(({ state }) => state),
      rows.map(({ billable }) => billable),
    ],
  );
  return rows;
}

function lineOf({ id, at_us, state, billable }: Row, whole: boolean): string {
  const ms = Math.floor(at_us / 1_000);
  const at = new Date(ms).toISOString().replace('Z', `${String(at_us - ms * 1_000).padStart(3, '0')}Z`);
  const line = `${at},v3:${String(id).padStart(32, '0')},3,${state},${billable}`;
  return whole ? `${line},${id},default_billable,` : line;
}
