// The cleanup through its door: what it archives, what it deletes, and that an export of a month that has gone is byte for byte the one from before.
import { createHash } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import { GetObjectCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { demoUsers } from '../../local/issuer.ts';
import type { Rule } from '../faults/door-faults.ts';
import { openRig, type Rig } from '../faults/rig.ts';
import { behindGuards, freezeMonth, monthsAgo, plantEvents, plantRows } from '../support/frozen-month.ts';
import type { JsonAnswer, TestStack } from '../support/stack.ts';

const month = monthsAgo(9);
const rows_inline = 700;
const rows_linked = 20_400;

let rig: Rig;
let stack: TestStack;
let s3: S3Client;
let secret: string;
let token: string;
beforeAll(async () => {
  rig = await openRig();
  stack = rig.stack;
  s3 = new S3Client({ ...stack.client, forcePathStyle: true });
  secret = stack.state.secret(
    stack.resource('AWS::SecretsManager::Secret', 'CronSecret').ref.split(':').at(-1) ?? '',
  );
  token = await stack.issuer.token(
    demoUsers.find(({ role }) => role === 'platform-admin') as (typeof demoUsers)[0],
  );
});
afterAll(async () => {
  s3?.destroy();
  await rig?.close();
});
beforeEach(async () => void (await rig.heal()));

test('a dry run tells what would go, and changes nothing: no row, no object, no heartbeat', async () => {
  const site = await agedSite(rows_inline);
  const before = [await fingerprint(), await objects(site)];
  const { status, body } = await cleanup('?dry_run=true');
  expect(status).toBe(200);
  expect(body).toMatchObject({
    ok: true,
    dry_run: true,
    would_delete: String(rows_inline),
    events_would_delete: String(rows_inline - rows_inline / 7),
    personal_data_would_remove: String(rows_inline - rows_inline / 7),
    archived: 0,
    failed: 0,
    months: [{ site_id: site, year_month: month, ok: true, would_delete: String(rows_inline) }],
  });
  expect(body).not.toHaveProperty('deleted');
  expect([await fingerprint(), await objects(site)]).toEqual(before);
});

test('an answer that is neither yes nor no is refused, and nothing is done', async () => {
  const before = await fingerprint();
  expect(await cleanup('?dry_run=yes')).toMatchObject({
    status: 400,
    body: { ok: false, code: 'invalid_request' },
  });
  expect(await cleanup('', 'wrong')).toMatchObject({ status: 403, body: { code: 'CRON_FORBIDDEN' } });
  expect(await fingerprint()).toBe(before);
});

test('a short and a long month leave the ledger, and their exports stay the same bytes', async () => {
  const short = await agedSite(rows_inline);
  const long = await agedSite(rows_linked);
  const before = { short: await exported(short, 200), long: await exported(long, 303) };
  expect(before.long.split('\n')).toHaveLength(rows_linked + 1);
  await renewExports(); // so that a link is built anew, from the archive

  const { status, body } = await cleanup();
  expect([status, body.ok, body.failed]).toEqual([200, true, 0]);
  for (const [site, rows] of [
    [short, rows_inline],
    [long, rows_linked],
  ] as const) {
    expect(body.months).toContainEqual({
      site_id: site,
      year_month: month,
      ok: true,
      archived: true,
      deleted: String(rows),
    });
    expect(await rowsOf(site)).toBe(0);
    expect(await proof(site)).toMatchObject({
      hash_ok: true,
      ledger_ok: true,
      seal_ok: true,
      seal: { row_count: String(rows) },
      archive: { purged: true },
    });
  }
  expect(await exported(short, 200)).toBe(before.short);
  expect(await exported(long, 303)).toBe(before.long);
  expect(
    await stack.database.query('select from events where site_id = any ($1)', [[short, long]]),
  ).toMatchObject({ rowCount: 0 });

  const again = await cleanup();
  expect(again.body).toMatchObject({ ok: true, deleted: '0', archived: 0, months: [], remaining: false });
});

test('the object holds every row whole, and its manifest the counts and hashes that the ledger noted', async () => {
  const site = await agedSite(rows_inline);
  const { rows: lines } = await stack.database.query(
    `select archive_line(created_at, idempotency_key, idempotency_version, billing_state, billable, id, billing_reason, payload_hash) line
       from ingest_idempotency where site_id = $1 order by created_at, id`,
    [site],
  );
  const { seal } = await proof(site);
  await cleanup();
  const { archive, event_count, overage_count } = await proof(site);
  const object = await objectOf(archive.object_key);
  const manifest = JSON.parse((await objectOf(`${archive.object_key}.manifest.json`)).toString());
  const csv = gunzipSync(object);
  expect(csv.toString().split('\n')).toEqual([manifest.columns, ...lines.map(({ line }) => line)]);
  expect(manifest).toMatchObject({
    site_id: site,
    year_month: month,
    row_count: String(rows_inline),
    billable: event_count,
    overage: overage_count,
    ledger_hash: seal.ledger_hash,
    content_sha256: sha256(csv),
    object_sha256: sha256(object),
    bytes: String(object.length),
  });
  expect(archive).toMatchObject({
    content_sha256: manifest.content_sha256,
    object_sha256: manifest.object_sha256,
  });
});

test.each([
  ['between archive and purge', { statement: 'purge_ledger', nth: 1, point: 'before' }, rows_linked],
  [
    'after the first batch of a purge',
    { statement: 'purge_ledger', nth: 1, point: 'after' },
    rows_linked - 10_000,
  ],
  ['before its archive is noted', { statement: 'record_archive', nth: 1, point: 'before' }, rows_linked],
] as const)('a cleanup killed %s loses nothing, and the next run finishes', async (_when, seam, left) => {
  const site = await agedSite(rows_linked);
  const before = await exported(site, 303);
  await renewExports();
  await rig.arm([ruleOf(seam)]);
  expect((await cleanup()).status).toBeGreaterThanOrEqual(500);
  const { fired } = await rig.heal();
  expect(fired).toEqual({ [`kill ${seam.point}`]: 1 });
  expect(await rowsOf(site)).toBe(left);
  expect(await proof(site)).toMatchObject({ hash_ok: true, ledger_ok: true, seal_ok: true });
  expect(await exported(site, 303)).toBe(before);

  await renewExports();
  const { body } = await cleanup();
  expect(body).toMatchObject({ ok: true, deleted: String(left), remaining: false });
  expect(await rowsOf(site)).toBe(0);
  expect(await exported(site, 303)).toBe(before);
});

test('a second cleanup that comes late finds the rows gone and does not write over their archive', async () => {
  const site = await agedSite(rows_inline);
  const before = await exported(site, 200);
  await rig.arm([
    {
      ...ruleOf({ statement: 'month_state', nth: 1, point: 'before' }),
      effect: { kind: 'delay', ms: 3_000 },
    },
  ]);
  const late = cleanup();
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  expect((await cleanup()).body).toMatchObject({ ok: true, deleted: String(rows_inline) });
  expect((await rig.heal()).fired).toEqual({ 'delay before': 1 });
  await late;
  expect(await rowsOf(site)).toBe(0);
  expect(await exported(site, 200)).toBe(before);
  expect(await proof(site)).toMatchObject({ hash_ok: true, ledger_ok: true, seal_ok: true });
});

test('a month that was tampered with stays, with its reason, and stops no other', async () => {
  const sites = [
    await agedSite(rows_inline),
    await agedSite(rows_inline),
    await agedSite(rows_inline),
  ].toSorted();
  const [first, bad, last] = sites as [string, string, string];
  await behindGuards(stack.database, () =>
    stack.database.query(
      `update ingest_idempotency set billing_reason = 'canary' where id = (select min(id) from ingest_idempotency where site_id = $1)`,
      [bad],
    ),
  );
  const { status, body } = await cleanup();
  expect(status).toBe(500);
  expect(body).toMatchObject({ ok: false, failed: 1, archived: 2, deleted: String(2 * rows_inline) });
  expect(body.months).toEqual([
    { site_id: first, year_month: month, ok: true, archived: true, deleted: String(rows_inline) },
    {
      site_id: bad,
      year_month: month,
      ok: false,
      deleted: '0',
      error: expect.stringContaining('does not match its seal'),
    },
    { site_id: last, year_month: month, ok: true, archived: true, deleted: String(rows_inline) },
  ]);
  expect([await rowsOf(first), await rowsOf(bad), await rowsOf(last)]).toEqual([0, rows_inline, 0]);
  expect(await proof(bad)).toMatchObject({ seal_ok: false, archive: null });
  const { rows } = await stack.database.query(
    `select last_failed_at > last_ok_at failed from job_heartbeats where job = 'cleanup'`,
  );
  expect(rows).toEqual([{ failed: true }]);
});

/** A site whose month of long ago is frozen, sealed and delivered. */
async function agedSite(rows: number): Promise<string> {
  const { id } = await stack.site();
  await plantRows(stack.database, id, month, rows);
  await plantEvents(stack.database, id, month);
  await freezeMonth(stack.database, id, month, 90);
  return id;
}

function ruleOf({
  statement,
  nth,
  point,
}: {
  statement: string;
  nth: number;
  point: 'before' | 'after';
}): Rule {
  const caller = stack.functionName('cleanup');
  return {
    caller,
    service: 'rds-data',
    operation: 'ExecuteStatement',
    statement,
    nth,
    point,
    effect: { kind: 'kill' },
  };
}

async function cleanup(query = '', bearer = secret): Promise<JsonAnswer> {
  const response = await fetch(`${stack.url}/api/cron/idempotency-cleanup${query}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${bearer}` },
  });
  return { status: response.status, body: await response.json() };
}

/** The CSV of the month, from the answer or from behind its link. */
async function exported(site: string, status: 200 | 303): Promise<string> {
  const url = `${stack.url}/api/billing/dispute-export?site_id=${site}&year_month=${month}`;
  const response = await fetch(url, { headers: { authorization: `Bearer ${token}` }, redirect: 'manual' });
  expect(response.status, await response.clone().text()).toBe(status);
  const csv = status === 200 ? response : await fetch(response.headers.get('location') ?? '');
  const text = await csv.text();
  expect(response.headers.get('x-opsmantik-export-hash')).toBe(sha256(text));
  return text;
}

/** As if the exports so far had been built a week ago. */
function renewExports() {
  return stack.database.query(`update dispute_exports set updated_at = now() - interval '7 days'`);
}

async function proof(site: string) {
  const response = await fetch(`${stack.url}/api/sites/${site}/invoices/${month}`, {
    headers: { authorization: `Bearer ${token}` },
  });
  // biome-ignore lint/suspicious/noExplicitAny: an answer of many fields
  return ((await response.json()) as any).proof;
}

async function rowsOf(site: string): Promise<number> {
  const { rows } = await stack.database.query(
    'select count(*)::int value from ingest_idempotency where site_id = $1',
    [site],
  );
  return rows[0].value;
}

const bucket = () => stack.resource('AWS::S3::Bucket', 'Evidence').ref;

async function objects(site: string): Promise<string[]> {
  const { Contents = [] } = await s3.send(
    new ListObjectsV2Command({ Bucket: bucket(), Prefix: `ledger/${site}` }),
  );
  return Contents.map(({ Key }) => Key ?? '');
}

async function objectOf(key: string): Promise<Buffer> {
  const { Body } = await s3.send(new GetObjectCommand({ Bucket: bucket(), Key: key }));
  return Buffer.from((await Body?.transformToByteArray()) ?? []);
}

/** A hash over every row that a cleanup could write. */
async function fingerprint(): Promise<string> {
  const tables = [
    'ingest_idempotency',
    'events',
    'ledger_purges',
    'ledger_archives',
    'retention_marks',
    'job_heartbeats',
  ];
  const each = tables.map((table) => {
    const rows = table === 'job_heartbeats' ? `${table} where job = 'cleanup'` : table;
    return `select md5(string_agg(t::text, ',' order by t::text)) h from (select * from ${rows}) t`;
  });
  return (await stack.database.query(`select string_agg(h, ',') value from (${each.join(' union all ')}) x`))
    .rows[0].value;
}

function sha256(content: string | Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}
