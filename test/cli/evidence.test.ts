// Evidence in the operator's hands: exports that resume and prove their bytes, and verify, which finds and places one changed byte.
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { demoUsers } from '../../local/issuer.ts';
import { openStack, type TestStack } from '../support/stack.ts';
import { kernel } from './run-kernel.ts';

const long_rows = 20_400;
const folder = mkdtempSync(join(tmpdir(), 'kernel-evidence-'));

let stack: TestStack;
let token: string;
let month: string;
/** A frozen month of 30 rows, and one too long for one answer. */
let short: { id: string; public_id: string };
let long: { id: string; public_id: string };
beforeAll(async () => {
  stack = await openStack();
  token = await tokenOf('platform-admin');
  month = (
    await stack.database.query(
      `select utc_year_month(month_start(utc_year_month(now())) - interval '1 day') value`,
    )
  ).rows[0].value;
  short = await frozenLater(30);
  long = await frozenLater(long_rows);
  const secret = stack.state.secret(
    stack.resource('AWS::SecretsManager::Secret', 'CronSecret').ref.split(':').at(-1) ?? '',
  );
  expect((await kernel(['freeze', '--url', stack.url, '--secret', secret])).code).toBe(0);
});
afterAll(async () => {
  await stack.close();
  rmSync(folder, { recursive: true, force: true });
});

function tokenOf(role: string): Promise<string> {
  return stack.issuer.token(demoUsers.find((user) => user.role === role) as (typeof demoUsers)[0]);
}

/** A site with rows of last month: every tenth refused, of the others every ninth overage. */
async function frozenLater(rows: number) {
  const site = await stack.site();
  await stack.database.query(`update sites set created_at = now() - interval '90 days' where id = $1`, [
    site.id,
  ]);
  await stack.database.query(
    `insert into ingest_idempotency (site_id, idempotency_key, created_at, expires_at, billing_state, billable, idempotency_version)
     select $1, decode(md5(n::text), 'hex'), month_start($2) + n * interval '90 seconds', now() + interval '91 days',
            (case when n % 10 = 0 then 'REJECTED_QUOTA' when n % 9 = 0 then 'OVERAGE' else 'ACCEPTED' end)::billing_state, n % 10 <> 0, 3
       from generate_series(1, $3::int) n`,
    [site.id, month, rows],
  );
  return site;
}

async function run(...args: string[]) {
  const { code, stdout, stderr } = await kernel([...args, '--json'], {
    KERNEL_URL: stack.url,
    KERNEL_TOKEN: token,
  });
  return { code, stderr, out: stdout === '' ? {} : JSON.parse(stdout) };
}

const sha256 = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex');
const exported = async (site: string, name: string) => {
  const file = join(folder, name);
  return { file, ...(await run('export', site, '--month', month, '--out', file)) };
};

describe('export', () => {
  test('of a short month is written whole, with its hash, and no part is left', async () => {
    const { file, code, out } = await exported(short.public_id, 'short.csv');
    expect(code).toBe(0);
    expect(out).toMatchObject({ ok: true, rows: 30, manifest: null, resumed_at: 0 });
    expect(out.export_hash).toBe(sha256(file));
    expect(out.snapshot_hash).toMatch(/^[0-9a-f]{64}$/);
    expect(readFileSync(file, 'utf8').split('\n')).toHaveLength(31);
    expect(existsSync(`${file}.part`)).toBe(false);
  });

  test('of a long month comes by a link, with a manifest that names the same hash', async () => {
    const { file, code, out } = await exported(long.id, 'long.csv');
    expect(code).toBe(0);
    expect(out).toMatchObject({ rows: long_rows, resumed_at: 0, manifest: `${file}.manifest.json` });
    expect(out.export_hash).toBe(sha256(file));
    expect(JSON.parse(readFileSync(out.manifest, 'utf8'))).toMatchObject({
      site_id: long.id,
      year_month: month,
      row_count: String(long_rows),
      bytes: String(out.bytes),
      export_hash: out.export_hash,
    });
  });

  test('goes on where an earlier run stopped, and ends with the same bytes', async () => {
    const whole = readFileSync(join(folder, 'long.csv'));
    writeFileSync(join(folder, 'again.csv.part'), whole.subarray(0, 700_001));
    const { file, code, out } = await exported(long.id, 'again.csv');
    expect(code).toBe(0);
    expect(out).toMatchObject({ resumed_at: 700_001, bytes: whole.length, rows: long_rows });
    expect(readFileSync(file).equals(whole)).toBe(true);
  });

  test.each([
    ['of something else', (whole: Buffer) => Buffer.alloc(whole.length - 5, 'x')],
    ['that is longer than the export', (whole: Buffer) => Buffer.concat([whole, whole])],
    ['as long as the export, with one byte changed', (whole: Buffer) => changed(whole, 900_000)],
  ])('begins anew when there is a part %s', async (_what, part) => {
    const whole = readFileSync(join(folder, 'long.csv'));
    writeFileSync(join(folder, 'other.csv.part'), part(whole));
    const { file, code, out } = await exported(long.id, 'other.csv');
    expect(code).toBe(0);
    expect(out.resumed_at).toBe(0);
    expect(readFileSync(file).equals(whole)).toBe(true);
  });

  test('writes nothing for a foreign site, a month that is none, or a folder that is not there', async () => {
    const stranger = await tokenOf('owner');
    const refused = await kernel([
      'export',
      short.id,
      '--month',
      month,
      '--url',
      stack.url,
      '--token',
      stranger,
    ]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('HTTP 403, code forbidden');
    expect((await run('export', short.id, '--month', '2026-13')).code).toBe(2);
    expect((await run('export', short.id)).stderr).toContain('Option --month is missing.');
    const nowhere = await run('export', short.id, '--month', month, '--out', '/nowhere/a.csv');
    expect(nowhere.code).toBe(1);
    expect(nowhere.stderr).toBe('The file /nowhere/a.csv.part cannot be written (ENOENT).\n');
  });
});

function changed(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

describe('verify', () => {
  let lines: string[];
  beforeEach(() => {
    lines = readFileSync(join(folder, 'short.csv'), 'utf8').split('\n');
  });
  const verify = (site: string, ...args: string[]) => run('verify', site, '--month', month, ...args);
  const withFile = (content: string | Buffer, site = short.id) => {
    const file = join(folder, 'copy.csv');
    writeFileSync(file, content);
    return verify(site, '--file', file);
  };

  test('recomputes hash, counts and seal of an untouched month, and finds an untouched copy right', async () => {
    const billable = { event_count: '27', overage_count: '3' };
    expect(await verify(short.public_id)).toMatchObject({
      code: 0,
      out: { ok: true, ...billable, hash_ok: true, ledger_ok: true, seal_ok: true, changed_days: [] },
    });
    expect(await withFile(lines.join('\n'))).toMatchObject({
      code: 0,
      out: {
        ok: true,
        file_hash_ok: true,
        file_counts_ok: true,
        first_difference: null,
        file: { rows: '30' },
      },
    });
  });

  const edit = (at: number, pattern: RegExp, to: string) => (all: string[]) =>
    all.with(at - 1, (all[at - 1] ?? '').replace(pattern, to));
  test.each<[string, number, string, boolean, (all: string[]) => string[]]>([
    ['a byte of a key', 7, 'changed', true, edit(7, /,([0-9a-z:]+?)([0-9a-f]),/, ',$1g,')],
    ['a flag', 11, 'changed', false, edit(11, /false$/, 'true')],
    ['a state', 10, 'changed', false, edit(10, /OVERAGE/, 'ACCEPTED')],
    ['a time', 2, 'changed', true, edit(2, /Z,/, 'z,')],
    ['the header', 1, 'changed', false, edit(1, /billable$/, 'Billable')],
    ['a line that was deleted', 5, 'missing', false, (all) => all.toSpliced(4, 1)],
    ['the last line, a refused event, deleted', 31, 'missing', true, (all) => all.slice(0, -1)],
    [
      'a line that was added',
      9,
      'added',
      false,
      (all) => all.toSpliced(8, 0, (all[8] ?? '').replace(/,.{9}/, ',000000000')),
    ],
    ['a line feed at the end', 32, 'added', true, (all) => [...all, '']],
  ])('finds %s in a copy and names the line', async (_what, line, kind, counts, change) => {
    const { code, out, stderr } = await withFile(change(lines).join('\n'));
    expect(code).toBe(3);
    expect(out).toMatchObject({
      ok: false,
      hash_ok: true,
      file_hash_ok: false,
      file_counts_ok: counts,
      first_difference: { line, kind },
    });
    expect(stderr).toContain('Not verified');
  });

  test('finds one changed byte in a copy of a long month, streamed beside a fresh one', async () => {
    const whole = readFileSync(join(folder, 'long.csv'));
    const at = 1_234_567;
    const { code, out } = await withFile(changed(whole, at), long.id);
    const line = whole.subarray(0, at).toString('latin1').split('\n').length;
    expect(code).toBe(3);
    expect(out.first_difference).toMatchObject({ line, kind: 'changed' });
    expect(await withFile(whole, long.id)).toMatchObject({ code: 0, out: { file_hash_ok: true } });
  });

  test('finds a changed row of the ledger by its day, and a changed invoice by its hash', async () => {
    await tamper(
      'update ingest_idempotency set payload_hash = sha256($$x$$) where site_id = $1 and id = (select min(id) from ingest_idempotency where site_id = $1)',
    );
    expect(await verify(long.id)).toMatchObject({
      code: 3,
      out: { hash_ok: true, ledger_ok: true, seal_ok: false, changed_days: [`${month}-01`] },
    });
    await tamper('update invoice_snapshot set event_count = event_count - 1 where site_id = $1');
    expect(await verify(long.id)).toMatchObject({ code: 3, out: { hash_ok: false, ledger_ok: false } });
    const shown = await kernel(['verify', long.id, '--month', month, '--url', stack.url, '--token', token]);
    expect(shown.stdout).toMatch(/^seal +DIFFERS +[0-9a-f]{64} +[0-9a-f]{64}$/m);
    expect(shown.stdout).toContain(`Changed since the freeze: ${month}-01`);
  });

  test('fails with one sentence where there is nothing to verify', async () => {
    const open = await run('verify', short.id, '--month', new Date().toISOString().slice(0, 7));
    expect(open).toMatchObject({ code: 1, out: {} });
    expect(open.stderr).toContain('code month_not_frozen');
    expect((await verify(short.id, '--file', '/nowhere.csv')).stderr).toBe(
      'The file /nowhere.csv cannot be read (ENOENT).\n',
    );
    expect(await run('verify', short.id)).toMatchObject({ code: 2 });
  });

  /** As somebody with the disk or the superuser's password may, past every guard. */
  async function tamper(statement: string) {
    await stack.database.query('set session_replication_role = replica');
    await stack.database.query(statement, [long.id]);
    await stack.database.query('set session_replication_role = origin');
  }
});
