// The operator's other commands against the whole stack: unblock, enforcement, members, corrections, invoices, cleanup, watchtower.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { untilOf } from '../../cli/plan.ts';
import { demoUsers } from '../../local/issuer.ts';
import { openStack, type TestStack } from '../support/stack.ts';
import { kernel } from './run-kernel.ts';

const stranger = '30000000-0000-4000-8000-000000000003';

let stack: TestStack;
let secret: string;
let month: string;
let site: { id: string; public_id: string };
const tokens = new Map<string, string>();
beforeAll(async () => {
  stack = await openStack();
  secret = stack.state.secret(
    stack.resource('AWS::SecretsManager::Secret', 'CronSecret').ref.split(':').at(-1) ?? '',
  );
  for (const user of demoUsers) tokens.set(user.name, await stack.issuer.token(user));
  site = await stack.site({ limit: 1 });
  month = (
    await stack.database.query(
      `select utc_year_month(month_start(utc_year_month(now())) - interval '1 day') value`,
    )
  ).rows[0].value;
  await stack.database.query(`update sites set created_at = now() - interval '90 days' where id = $1`, [
    site.id,
  ]);
  expect((await run('freeze')).code).toBe(0);
});
afterAll(() => stack.close());

async function as(user: string, ...args: string[]) {
  const { code, stdout, stderr } = await kernel([...args, '--json'], {
    KERNEL_URL: stack.url,
    KERNEL_TOKEN: tokens.get(user) ?? '',
    KERNEL_CRON_SECRET: secret,
  });
  return { code, stderr, out: stdout === '' ? {} : JSON.parse(stdout) };
}
const run = (...args: string[]) => as('Pat Platform', ...args);

const send = async (id: string) =>
  (await stack.sync({ s: site.public_id, i: id, url: 'https://example.com/' })).status;
const audited = async (action: string) =>
  (
    await stack.database.query('select payload from audit_log where action = $1 order by id desc limit 1', [
      action,
    ])
  ).rows[0]?.payload;

describe('plan unblock', () => {
  test('lets a full site go on until it ends, with the reason in the audit log', async () => {
    expect([await send('a'), await send('b')]).toEqual([200, 429]);
    const { code, out } = await run(
      'plan',
      'unblock',
      site.id,
      '--until',
      '+2h',
      '--limit',
      '50',
      '--reason',
      'incident 7',
    );
    expect(code).toBe(0);
    expect(out.plan).toMatchObject({ monthly_limit: '1', unblock: { monthly_limit: '50' } });
    const ends = Date.parse(out.plan.unblock.until) - Date.now();
    expect(ends).toBeGreaterThan(7_100_000);
    expect(ends).toBeLessThanOrEqual(7_200_000);
    expect(await audited('plan_unblock')).toMatchObject({ reason: 'incident 7', limit: '50' });
    expect(await send('b')).toBe(200);
    const ended = await run('plan', 'unblock', site.id, '--end', '--reason', 'over');
    expect(ended.out.plan.unblock).toBeNull();
    expect(await send('c')).toBe(429);
  });

  test.each([
    [['--until', '+2h'], 'Option --reason is missing.'],
    [['--reason', 'r'], 'One of the options --until and --end is needed.'],
    [['--until', '+2h', '--end', '--reason', 'r'], 'One of the options --until and --end is needed.'],
    [['--until', 'tomorrow', '--reason', 'r'], 'Option --until must be an instant'],
    [['--until', '2026-03-01T00:00:00', '--reason', 'r'], 'Option --until must be an instant'],
    [['--until', '+2h', '--limit', '-5', '--reason', 'r'], 'must be a whole number'],
  ])('%j is wrong usage', async (args, sentence) => {
    const { code, stderr } = await run('plan', 'unblock', site.id, ...args);
    expect(code).toBe(2);
    expect(stderr).toContain(sentence);
  });

  test('reads a time from now and an instant with its zone', () => {
    const now = Date.parse('2026-03-01T00:00:00Z');
    expect(untilOf('+3d', now)).toBe('2026-03-04T00:00:00.000Z');
    expect(untilOf('+30m', now)).toBe('2026-03-01T00:30:00.000Z');
    expect(untilOf('2026-03-01T02:00+02:00', now)).toBe('2026-03-01T00:00:00.000Z');
  });

  test('beyond 31 days is refused by the stack with the reason', async () => {
    const { code, stderr } = await run('plan', 'unblock', site.id, '--until', '+32d', '--reason', 'r');
    expect(code).toBe(1);
    expect(stderr).toContain('within 31 days');
  });
});

test('site enforcement off refuses nothing, on refuses again', async () => {
  const off = await run('site', 'enforcement', site.id, 'off', '--reason', 'canary');
  expect(off).toMatchObject({ code: 0, out: { plan: { billing_enforcement: false } } });
  expect(await send('d')).toBe(200);
  expect((await run('site', 'enforcement', site.id, 'on', '--reason', 'done')).code).toBe(0);
  expect(await send('e')).toBe(429);
  expect(await audited('billing_enforcement')).toEqual({ enforced: true, reason: 'done' });
  expect((await run('site', 'enforcement', site.id, 'maybe', '--reason', 'r')).code).toBe(2);
});

test('site member gives a role, which opens what it may see, and takes it away', async () => {
  const ana = demoUsers.find(({ role }) => role === 'analyst')?.id ?? '';
  expect((await as('Ana Analyst', 'invoices', site.id)).stderr).toContain('code forbidden');
  expect((await run('site', 'member', site.id, ana, '--role', 'billing')).code).toBe(0);
  expect((await as('Ana Analyst', 'invoices', site.id)).code).toBe(0);
  expect((await run('site', 'member', site.id, ana, '--remove')).code).toBe(0);
  expect((await as('Ana Analyst', 'invoices', site.id)).code).toBe(1);
  expect((await run('site', 'member', site.id, stranger)).code).toBe(2);
  expect((await run('site', 'member', site.id, stranger, '--role', 'king')).stderr).toContain(
    'must be admin',
  );
  expect((await run('site', 'member', site.id, 'nobody', '--role', 'billing')).stderr).toContain('UUID');
});

test('adjust: one of finance proposes, only another approves, and the invoice names the correction', async () => {
  const args = ['adjust', 'propose', site.id, '--month', month, '--reason', 'counted twice'];
  const proposed = await as('Fay Finance', ...args, '--events', '-5', '--overage', '-1');
  expect(proposed).toMatchObject({
    code: 0,
    out: { adjustment: { event_delta: '-5', overage_delta: '-1', decision: null } },
  });
  const { id } = proposed.out.adjustment;
  const own = await as('Fay Finance', 'adjust', 'approve', site.id, id);
  expect(own.code).toBe(1);
  expect(own.stderr).toContain('code four_eyes');
  expect(await as('Finn Finance', 'adjust', 'approve', site.id, id)).toMatchObject({
    code: 0,
    out: { adjustment: { decision: 'approved' } },
  });
  const second = await as('Finn Finance', ...args, '--events', '3');
  await as('Fay Finance', 'adjust', 'reject', site.id, second.out.adjustment.id);
  const { out } = await run('adjust', 'list', site.id);
  expect(out.adjustments.map((one: { decision: string }) => one.decision)).toEqual(['rejected', 'approved']);
  const { stdout } = await kernel(['invoices', site.id], {
    KERNEL_URL: stack.url,
    KERNEL_TOKEN: tokens.get('Pat Platform') ?? '',
  });
  expect(stdout).toMatch(new RegExp(`^${month} +0 +0 +-5 +\\d{4}-\\S+ +[0-9a-f]{64}$`, 'm'));
  expect((await as('Fay Finance', ...args, '--events', 'five')).code).toBe(2);
  expect((await as('Fay Finance', ...args)).stderr).toContain('Option --events is missing.');
});

describe('cleanup', () => {
  test('--dry-run says what would go and changes nothing; without it, it goes', async () => {
    const old = await stack.site();
    await stack.database.query(`update sites set created_at = '2026-01-01' where id = $1`, [old.id]);
    await stack.database.query(
      `insert into ingest_idempotency (site_id, idempotency_key, created_at, expires_at, idempotency_version)
       select $1, decode(md5(n::text), 'hex'), now() - interval '200 days', now() - interval '1 day', 3 from generate_series(1, 12) n`,
      [old.id],
    );
    const past = (await stack.database.query(`select utc_year_month(now() - interval '200 days') value`))
      .rows[0].value;
    expect((await run('freeze', '--month', past)).code).toBe(0);
    await stack.database.query('set session_replication_role = replica'); // as if it had been frozen in its time
    await stack.database.query(`update invoice_snapshot set generated_at = now() - interval '40 days'`);
    await stack.database.query('set session_replication_role = origin');
    const rows = async () =>
      (
        await stack.database.query('select count(*)::int n from ingest_idempotency where site_id = $1', [
          old.id,
        ])
      ).rows[0].n;
    expect(await run('cleanup', '--dry-run')).toMatchObject({
      code: 0,
      out: { dry_run: true, would_delete: '12' },
    });
    expect(await rows()).toBe(12);
    expect(await run('cleanup')).toMatchObject({
      code: 0,
      out: { ok: true, deleted: '12', remaining: false },
    });
    expect(await rows()).toBe(0);
  });
});

describe('watchtower', () => {
  test('prints each check and exits 0 when the kernel is well, or only degraded', async () => {
    const shown = await kernel(['watchtower', '--url', stack.url, '--secret', secret]);
    expect(shown.code).toBe(0);
    expect(shown.stdout).toMatch(/^billingReconciliationDriftLast1h +ok +count=0$/m);
    expect(shown.stdout).toMatch(/^canary +ok +accepted_ms=\d+ delivered_ms=\d+$/m);
    await stack.database.query(
      `insert into ingest_publish_failures (site_public_id, error_code, error_message_short) values ('s', 'QSTASH_PUBLISH_FAILED', 'planted')`,
    );
    expect(await run('watchtower')).toMatchObject({ code: 0, out: { status: 'degraded' } });
    expect((await run('watchtower', '--strict')).code).toBe(3);
  });

  test('exits 1 when a job of reconciliation is dead', async () => {
    await stack.database.query(`update billing_reconciliation_jobs set status = 'DEAD' where site_id = $1`, [
      site.id,
    ]);
    await stack.database.query(
      `insert into billing_reconciliation_jobs (site_id, year_month, status) values ($1, '2026-02', 'DEAD') on conflict do nothing`,
      [site.id],
    );
    expect(await run('watchtower')).toMatchObject({
      code: 1,
      out: { ok: false, status: 'alarm', checks: { reconciliationDead: { status: 'alarm' } } },
    });
  });

  test('is refused with a wrong secret', async () => {
    expect((await run('watchtower', '--secret', 'wrong')).stderr).toContain('code CRON_FORBIDDEN');
  });
});
