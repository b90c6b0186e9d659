// What the browser recomputes to prove an invoice, held against the SQL that froze and sealed it.
import fc from 'fast-check';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { invoiceHash, judge } from '../../console/src/prove/judge.ts';
import { hashOfDays, startRecount } from '../../console/src/prove/recount.ts';
import { openDatabase, type TestDatabase } from '../support/database.ts';
import { behindGuards, freezeMonth, monthsAgo, plantRows } from '../support/frozen-month.ts';

const runs = Number(process.env.RUNS ?? 12);
const month = monthsAgo(2);
const nobody = '00000000-0000-4000-8000-000000000000';

let database: TestDatabase;
let superuser: pg.Client;
beforeAll(async () => {
  database = await openDatabase();
  superuser = database.superuser;
});
afterAll(() => database.close());

/** Pages of the month's lines as the API reads them. */
async function pagesOf(site: string, lines_a_page = 4_000): Promise<string[]> {
  const pages: string[] = [];
  let after: [string | null, string | null] = [null, null];
  for (;;) {
    const { rows } = await superuser.query(
      'select chunk, last_at, last_id, done from read_sealed_lines($1, true, $2, $3, $4, $5, null, $6)',
      [nobody, site, month, ...after, lines_a_page],
    );
    if (rows.length > 0) pages.push(rows.map(({ chunk }) => chunk).join('\n'));
    const last = rows.at(-1);
    if (!last || last.done) return pages;
    after = [last.last_at, last.last_id];
  }
}

async function recount(pages: readonly string[]) {
  const counting = startRecount();
  for (const page of pages) await counting.add(page);
  return counting.end();
}

async function proofOf(site: string) {
  const { rows } = await superuser.query('select verify_invoice($1, $2) proof', [site, month]);
  return rows[0].proof;
}

/** A month of so many rows a day, at random instants of the day. */
async function plantDays(site: string, days: readonly { day: number; rows: number }[]): Promise<void> {
  for (const { day, rows } of days)
    await superuser.query(
      `insert into ingest_idempotency (site_id, created_at, expires_at, idempotency_version, idempotency_key, payload_hash, billing_state, billable)
       select $1::uuid, at, at + interval '91 days', 3, substr(sha256(convert_to($1::uuid || '/' || $2::integer || '/' || n, 'UTF8')), 1, 16),
              case when n % 3 > 0 then sha256(convert_to(n::text, 'UTF8')) end,
              (array['ACCEPTED', 'OVERAGE', 'REJECTED_QUOTA', 'DEGRADED_CAPTURE'])[1 + n % 4]::billing_state, n % 4 <> 2
         from generate_series(1, $4::integer) n, lateral (select month_start($3) + make_interval(days => $2::integer - 1) + (random() * 86399.999999) * interval '1 second' as at) t`,
      [site, day, month, rows],
    );
}

async function frozenSite(rows: number): Promise<string> {
  const site = await database.site(1_000_000n);
  await plantRows(superuser, site, month, rows);
  await freezeMonth(superuser, site, month, 1);
  return site;
}

describe('an untouched month', () => {
  test('is proved, and hash, days and counts are those of the seal to the byte', async () => {
    const site = await frozenSite(2_500);
    const [proof, pages] = await Promise.all([proofOf(site), pagesOf(site, 700)]);
    expect(pages.length).toBe(4);
    const found = await recount(pages);
    expect(found).toEqual({
      days: proof.seal.days,
      rows: proof.seal.row_count,
      billable: proof.event_count,
      overage: proof.overage_count,
      ledger_hash: proof.seal.ledger_hash,
    });
    expect(await invoiceHash(proof)).toBe(proof.snapshot_hash);
    const verdict = await judge(proof, found);
    expect(verdict).toMatchObject({ proved: true, by: 'rows', rows: '2500' });
    expect(verdict.days.length).toBe(proof.seal.days.length);
  });

  test('without any row is proved too', async () => {
    const site = await frozenSite(0);
    const verdict = await judge(await proofOf(site), await recount(await pagesOf(site)));
    expect(verdict).toMatchObject({ proved: true, rows: '0', days: [] });
  });

  test('of any days, rows, verdicts and pages has the hashes of the SQL', async () => {
    const days = fc.uniqueArray(
      fc.record({ day: fc.integer({ min: 1, max: 28 }), rows: fc.integer({ min: 1, max: 60 }) }),
      { selector: ({ day }) => day, minLength: 1, maxLength: 6 },
    );
    await fc.assert(
      fc.asyncProperty(days, fc.integer({ min: 1, max: 90 }), async (planned, lines_a_page) => {
        const site = await database.site(1_000_000n);
        await plantDays(site, planned);
        await freezeMonth(superuser, site, month, 1);
        const proof = await proofOf(site);
        const found = await recount(await pagesOf(site, lines_a_page));
        expect(found.days).toEqual(proof.seal.days);
        expect(await hashOfDays(found.days)).toBe(proof.seal.ledger_hash);
        expect((await judge(proof, found)).proved).toBe(true);
      }),
      { numRuns: runs },
    );
  });
});

describe('a changed month', () => {
  const changes: [string, string, Record<string, boolean>][] = [
    ['a byte of a payload hash', 'payload_hash = sha256(payload_hash)', { ledger_hash: false }],
    [
      'a byte of a key',
      'idempotency_key = set_byte(idempotency_key, 3, get_byte(idempotency_key, 3) # 1)',
      { ledger_hash: false },
    ],
    ['a microsecond', `created_at = created_at + interval '1 microsecond'`, { ledger_hash: false }],
    [
      'a verdict',
      `billing_state = 'REJECTED_QUOTA', billable = false`,
      { ledger_hash: false, events: false },
    ],
  ];
  test.each(changes)('%s of one row is found, and its day is named', async (_, change, differs) => {
    const site = await frozenSite(300);
    const { rows } = await behindGuards(superuser, () =>
      superuser.query(
        `update ingest_idempotency set ${change} where id = (select id from ingest_idempotency where site_id = $1 and billable and billing_state = 'ACCEPTED' order by created_at offset 100 limit 1)
         returning left(utc_text(created_at), 10) as day`,
        [site],
      ),
    );
    const verdict = await judge(await proofOf(site), await recount(await pagesOf(site)));
    expect(verdict.proved).toBe(false);
    expect(verdict.days.filter(({ same }) => !same).map(({ day }) => day)).toEqual([rows[0].day]);
    const failed = verdict.checks.filter(({ ok }) => !ok).map(({ what }) => [what, false]);
    expect(Object.fromEntries(failed)).toEqual(differs);
  });

  test('any byte of any line gives another hash of that day, and of no other', async () => {
    const site = await frozenSite(200);
    const proof = await proofOf(site);
    const lines = (await pagesOf(site)).join('\n').split('\n');
    await fc.assert(
      fc.asyncProperty(fc.nat(lines.length - 1), fc.nat(500), fc.nat(255), async (nth, at, other) => {
        const line = lines[nth] as string;
        const place = 10 + (at % (line.length - 10)); // the day itself stays
        const byte = String.fromCharCode(33 + (other % 94)).replace(',', '.');
        fc.pre(byte !== line[place] && line[place] !== ',');
        const changed = lines.with(nth, line.slice(0, place) + byte + line.slice(place + 1));
        const { proved, days } = await judge(proof, await recount([changed.join('\n')]));
        expect([proved, days.filter(({ same }) => !same).map(({ day }) => day)]).toEqual([
          false,
          [line.slice(0, 10)],
        ]);
      }),
      { numRuns: runs * 5 },
    );
  });

  test.each([
    ['removed', 'delete from ingest_idempotency where id = $1', -1n],
    [
      'added',
      `insert into ingest_idempotency (site_id, created_at, expires_at, idempotency_version, idempotency_key, billing_state, billable)
       select site_id, created_at + interval '1 second', expires_at, 3, '\\x00112233445566778899aabbccddeeff', 'ACCEPTED', true from ingest_idempotency where id = $1`,
      1n,
    ],
  ])('a row that was %s is missed in its day by its count', async (_, statement, more) => {
    const site = await frozenSite(300);
    const { rows } = await superuser.query(
      `select id, left(utc_text(created_at), 10) as day from ingest_idempotency where site_id = $1 and billable order by created_at offset 50 limit 1`,
      [site],
    );
    await behindGuards(superuser, () => superuser.query(statement, [rows[0].id]));
    const verdict = await judge(await proofOf(site), await recount(await pagesOf(site)));
    const [day, ...others] = verdict.days.filter(({ same }) => !same);
    expect([day?.day, others]).toEqual([rows[0].day, []]);
    expect(BigInt(day?.found?.rows ?? 0) - BigInt(day?.sealed?.rows ?? 0)).toBe(more);
    const failed = verdict.checks.filter(({ ok }) => !ok).map(({ what }) => what);
    expect(failed.sort()).toEqual(['events', 'ledger_hash', 'rows']);
  });

  test('an invoice that was changed has not the hash it bears', async () => {
    const site = await frozenSite(50);
    await behindGuards(superuser, () =>
      superuser.query(`update invoice_snapshot set event_count = event_count + 1 where site_id = $1`, [site]),
    );
    const verdict = await judge(await proofOf(site), await recount(await pagesOf(site)));
    const failed = verdict.checks.filter(({ ok }) => !ok).map(({ what }) => what);
    expect([verdict.proved, failed]).toEqual([false, ['events', 'invoice_hash']]);
  });

  test('a seal that was changed with its month does not fit its own hash', async () => {
    const site = await frozenSite(50);
    await behindGuards(superuser, () =>
      superuser.query(`update invoice_seals set days = days - 0 where site_id = $1`, [site]),
    );
    const verdict = await judge(await proofOf(site), await recount(await pagesOf(site)));
    const failed = verdict.checks.filter(({ ok }) => !ok).map(({ what }) => what);
    expect([verdict.proved, failed]).toEqual([false, ['seal_hash']]);
    expect(verdict.days.filter(({ same, sealed }) => !same && !sealed).length).toBe(1);
  });
});

test('a month whose rows have left the ledger is recounted from the days of its seal, and says so', async () => {
  const site = await frozenSite(200);
  const proof = { ...(await proofOf(site)), archive: { purged: true } };
  const verdict = await judge(proof, undefined);
  expect(verdict).toMatchObject({ proved: true, by: 'archive', rows: '200' });
  const [first, ...rest] = proof.seal.days;
  const forged = {
    ...proof,
    seal: { ...proof.seal, days: [{ ...first, billable: String(Number(first.billable) + 1) }, ...rest] },
  };
  expect((await judge(forged, undefined)).checks.filter(({ ok }) => !ok).map(({ what }) => what)).toEqual([
    'events',
    'seal_hash',
    'ledger_hash',
  ]);
});
