// Dispute exports too long for one answer: one object for one state, by a link, whoever asks and whoever dies while it is built.
import { createHash } from 'node:crypto';
import { DeleteObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Rule } from '../faults/door-faults.ts';
import { openRig, type Rig } from '../faults/rig.ts';
import { type Call, callsOf, type Role, staffedSite, told } from '../support/callers.ts';
import { monthsAgo } from '../support/frozen-month.ts';
import type { Answer, TestStack } from '../support/stack.ts';

const columns = 'created_at,idempotency_key,idempotency_version,billing_state,billable';
const open = monthsAgo(0);
const sha256 = (bytes: string | Uint8Array) => createHash('sha256').update(bytes).digest('hex');

let rig: Rig;
let stack: TestStack;
let call: Call;

const exportPath = (ref: string, month: string) =>
  `/api/billing/dispute-export?site_id=${ref}&year_month=${month}`;
const ask = (role: Role | null, ref: string, month: string, more = '') =>
  call(role, 'GET', `${exportPath(ref, month)}${more}`);

async function audited(id: string): Promise<{ payload: Record<string, string> }[]> {
  const { rows } = await stack.database.query(
    `select payload from audit_log where action = 'dispute_export' and site_id = $1 order by id`,
    [id],
  );
  return rows;
}

describe('one of more than 20,000 rows', () => {
  let long: string;
  let exporter: string;
  let s3: S3Client;
  let have = 0;
  beforeAll(async () => {
    rig = await openRig();
    ({ stack } = rig);
    call = callsOf(stack);
    ({ id: long } = await staffedSite(stack));
    exporter = stack.functionName('export');
    s3 = new S3Client(stack.client);
    await grow(20_000);
  });
  afterAll(async () => {
    s3?.destroy();
    await rig?.close();
  });

  /** So many more rows, each later than those before: a new state of the month. Returns how many there are. */
  const grow = async (count: number): Promise<number> => {
    await stack.database.query(
      `insert into ingest_idempotency (site_id, created_at, expires_at, idempotency_key, idempotency_version)
       select $1::uuid, at, at + interval '91 days', substr(sha256(convert_to(n::text, 'UTF8')), 1, 16), 3
         from generate_series($2::bigint + 1, $3::bigint) n,
              lateral (select month_start($4) + n * interval '7 milliseconds' as at) t`,
      [long, have, have + count, open],
    );
    have += count;
    return have;
  };
  const exportsOf = async () =>
    (await stack.database.query('select * from dispute_exports where site_id = $1 order by id', [long])).rows;
  const until = async (what: (last: Record<string, unknown>) => boolean) => {
    for (const end = Date.now() + 10_000; ; await new Promise((resolve) => setTimeout(resolve, 20))) {
      const last = (await exportsOf()).at(-1);
      if (last && what(last)) return last;
      if (Date.now() > end) throw new Error(`The export did not come so far: ${JSON.stringify(last)}`);
    }
  };
  const rule = (effect: Rule['effect'], more: Partial<Rule> = {}): Rule => ({
    ...{
      caller: exporter,
      service: 'rds-data',
      operation: 'ExecuteStatement',
      point: 'before',
      effect,
      ...more,
    },
  });
  const lastDownload = async () => (await audited(long)).at(-1);

  /** Follows the link and holds its bytes against all that was said of them. */
  async function fetched(answer: Answer, rows = have): Promise<string> {
    expect(answer.status).toBe(303);
    const { url, manifest_url, export_hash, bytes, row_count } = answer.body;
    expect(answer.headers.get('location')).toBe(url);
    expect(answer.headers.get('x-opsmantik-export-hash')).toBe(export_hash);
    const csv = await (await fetch(url)).text();
    expect([sha256(csv), String(Buffer.byteLength(csv)), row_count]).toEqual([
      export_hash,
      bytes,
      String(rows),
    ]);
    expect(csv.split('\n')).toHaveLength(rows + 1);
    expect(await (await fetch(manifest_url)).json()).toMatchObject({
      site_id: long,
      year_month: open,
      columns,
      export_hash,
      bytes,
      row_count,
    });
    return csv;
  }

  test('begins with row 20,001: 20,000 are in the answer itself', async () => {
    const short = await ask('billing', long, open);
    expect([short.status, short.body.split('\n').length]).toEqual([200, 20_001]);
    expect(await grow(1)).toBe(20_001);
    const csv = await fetched(await ask('billing', long, open));
    expect(csv.startsWith(`${short.body}\n`)).toBe(true);
    expect(csv.split('\n').at(-1)).toMatch(/,3,ACCEPTED,true$/);
  });

  test('is the same object when the state is the same, and each link given is audited', async () => {
    await grow(1);
    const before = (await audited(long)).length;
    const [one, two] = [await ask('billing', long, open), await ask('owner', long, open)];
    expect(await fetched(two as Answer)).toBe(await fetched(one as Answer));
    const built = (await exportsOf()).filter(({ row_count }) => row_count === String(have));
    expect(built.map(({ attempt_count }) => attempt_count)).toEqual([1]);
    const added = (await audited(long)).slice(before);
    expect(added.map(({ payload }) => payload.export_hash)).toEqual([
      one?.body.export_hash,
      one?.body.export_hash,
    ]);
  });

  test('that takes long is asked for again by its id, is built once for two who ask, and keeps to its state while the month grows', async () => {
    const asked_rows = await grow(1);
    const before = await audited(long);
    await rig.arm([
      rule({ kind: 'delay', ms: 9_000 }, { statement: 'claim_dispute_export', point: 'after' }),
    ]);
    const asked = [ask('billing', long, open), ask('owner', long, open)];
    await until(({ status }) => status === 'BUILDING');
    const request = `${stack.functionName('api')} rds-data ExecuteStatement request_dispute_export`;
    for (let requests = 0; requests < 2; ) requests += (await rig.arm([])).calls[request] ?? 0; // of the same state
    await grow(10);
    const [one, two] = await Promise.all(asked);
    expect(one).toMatchObject({
      status: 202,
      body: { ok: true, status: 'building', row_count: String(asked_rows), export_id: two?.body.export_id },
    });
    const { export_id } = one?.body ?? {};
    const location = one?.headers.get('location') ?? '';
    expect([location, one?.headers.get('retry-after')]).toEqual([
      `${exportPath(long, open)}&export_id=${export_id}`,
      '2',
    ]);
    expect(await audited(long)).toEqual(before);

    const other = await staffedSite(stack);
    for (const role of ['analyst', 'player'] as const)
      expect((await call(role, 'GET', location)).status).toBe(403);
    expect(told(await call('billing', 'GET', location.replace(long, other.id)))).toEqual([
      404,
      'export_not_found',
    ]);
    const csv = await fetched(await call('billing', 'GET', location), asked_rows);
    expect(await lastDownload()).toMatchObject({
      payload: { row_count: String(asked_rows), export_hash: sha256(csv) },
    });
    const newer = await ask('billing', long, open);
    expect((await fetched(newer)).startsWith(`${csv}\n`)).toBe(true);
    const two_states = (await exportsOf()).slice(-2);
    expect(two_states.map(({ status, attempt_count }) => [status, attempt_count])).toEqual(
      Array(2).fill(['READY', 1]),
    );
  });

  test('is taken over when its builder was killed amidst, once the lease has passed', async () => {
    await grow(1);
    await rig.arm([rule({ kind: 'kill' }, { statement: 'ledger_page', nth: 3 })]);
    const alive = stack.functions.instances(exporter);
    const first = ask('billing', long, open);
    const { id } = await until(
      ({ status }) => status === 'BUILDING' && stack.functions.instances(exporter) < alive,
    );
    expect((await rig.heal()).fired).toEqual({ 'kill before': 1 });
    expect(await until(() => true)).toMatchObject({ id, status: 'BUILDING', attempt_count: 1 });
    await stack.database.query(
      `update dispute_exports set lease_until = now() - interval '1 second' where id = $1`,
      [id],
    );
    const csv = await fetched(await ask('billing', long, open));
    expect(await fetched(await first)).toBe(csv);
    expect(await until(() => true)).toMatchObject({ id, status: 'READY', attempt_count: 2 });
  });

  test('is dead after three failures, and asking again tries anew', async () => {
    await grow(1);
    await rig.arm([
      rule(
        { kind: 'error', error: 'AccessDenied', status: 403 },
        { service: 's3', operation: 'PutObject', times: 9 },
      ),
    ]);
    const first = ask('billing', long, open);
    const { id } = await until(({ status }) => status === 'FAILED');
    const Records = [{ messageId: 'again', body: JSON.stringify({ export_id: String(id) }) }];
    const again = () => stack.functions.invoke(exporter, { Records });
    const states = [];
    for (const _ of [2, 3, 4]) {
      states.push((await again()).ok && (await until(() => true)));
    }
    expect(states).toMatchObject([
      { status: 'FAILED', attempt_count: 2 },
      ...Array(2).fill({ status: 'DEAD', attempt_count: 3, last_error: expect.any(String) }),
    ]);
    const sentence = 'The export could not be built; ask again to try anew.';
    const dead = { status: 500, body: { ok: false, code: 'internal', error: sentence } };
    expect(await first).toMatchObject(dead);
    expect(await ask('billing', long, open, `&export_id=${id}`)).toMatchObject(dead);
    await rig.heal();
    await fetched(await ask('billing', long, open));
    expect(await until(() => true)).toMatchObject({ id, status: 'READY', attempt_count: 1 });
  });

  test('is dead, too, when a third builder does not come back, and asking again tries anew', async () => {
    await grow(1);
    await fetched(await ask('billing', long, open));
    const { id } = await until(() => true);
    await stack.database.query(
      `update dispute_exports set status = 'BUILDING', attempt_count = 3, lease_until = now() - interval '1 second' where id = $1`,
      [id],
    );
    expect(told(await ask('billing', long, open, `&export_id=${id}`))).toEqual([500, 'internal']);
    expect(await until(() => true)).toMatchObject({ id, status: 'DEAD', attempt_count: 3 });
    await fetched(await ask('billing', long, open));
  });

  test('whose object has gone is built again after six days, and its old id is unknown then', async () => {
    await grow(1);
    const before = await ask('billing', long, open);
    const { id, object_key } = await until(() => true);
    const Bucket = stack.resource('AWS::S3::Bucket', 'Exports').ref;
    await s3.send(new DeleteObjectCommand({ Bucket, Key: String(object_key) }));
    const lost = await ask('billing', long, open);
    expect([lost.status, (await fetch(lost.body.url)).status]).toEqual([303, 404]); // a link promises no object
    await stack.database.query(
      `update dispute_exports set updated_at = now() - interval '145 hours' where id = $1`,
      [id],
    );
    expect(told(await ask('billing', long, open, `&export_id=${id}`))).toEqual([404, 'export_not_found']);
    const after = await ask('billing', long, open);
    await fetched(after);
    expect(after.body.export_hash).toBe(before.body.export_hash);
  });
});
