// The operator's job commands against the whole stack: what they print, and exit 3 when there was drift.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { kernel } from '../cli/run-kernel.ts';
import { openStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;
let site: string;
let secret: string;
beforeAll(async () => {
  stack = await openStack();
  secret = stack.state.secret(
    stack.resource('AWS::SecretsManager::Secret', 'CronSecret').ref.split(':').at(-1) ?? '',
  );
  const created = await stack.site();
  site = created.id;
  await stack.sync({
    events: [1, 2, 3].map((i) => ({ s: created.public_id, i: `e${i}`, url: 'https://example.com/' })),
  });
  await stack.delivered();
});
afterAll(() => stack.close());

async function run(...args: string[]) {
  const { code, stdout, stderr } = await kernel([...args, '--url', stack.url, '--json'], {
    KERNEL_CRON_SECRET: secret,
  });
  return { code, stderr, out: stdout === '' ? {} : JSON.parse(stdout) };
}

test('reconcile exits 3 when it has corrected drift, and 0 when a second run finds none', async () => {
  await stack.database.query('update site_usage_monthly set event_count = 99 where site_id = $1', [site]);
  const first = await run('reconcile');
  expect(first).toMatchObject({ code: 3, out: { ok: true, completed: 1, drifted: 1 } });
  expect(first.out.results[0]).toMatchObject({ site_id: site, usage_delta: '-96' });
  expect(await run('reconcile')).toMatchObject({ code: 0, out: { ok: true, drifted: 0 } });
});

test('backfill queues a range, and refuses one of thirteen months with the reason', async () => {
  const month = (await stack.database.query('select utc_year_month(now()) value')).rows[0].value;
  expect(await run('backfill', '--from', month, '--to', month, '--force')).toMatchObject({
    code: 0,
    out: { enqueued: 1, sites: 1 },
  });
  const refused = await run('backfill', '--from', '2025-01', '--to', '2026-01');
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain('13 months');
});

test('recover delivers what no message delivered', async () => {
  await stack.database.query(
    `insert into ingest_fallback_buffer (id, batch_id, site_id, payload, created_at, next_attempt_at)
     select 7000000, gen_random_uuid(), $1, '{}', now(), now()`,
    [site],
  );
  expect(await run('recover')).toMatchObject({ code: 0, out: { ok: true, recovered: 1, failed: 0 } });
});

test('freeze freezes a month that has ended and refuses one that has not', async () => {
  await stack.database.query(`update sites set created_at = now() - interval '90 days' where id = $1`, [
    site,
  ]);
  expect(await run('freeze')).toMatchObject({ code: 0, out: { ok: true, frozen: 1, total_sites: 1 } });
  const refused = await run('freeze', '--month', '2999-01');
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain('still open');
});

test('a wrong secret is refused in one sentence', async () => {
  const { code, stderr } = await kernel(['recover', '--url', stack.url, '--secret', 'wrong']);
  expect(code).toBe(1);
  expect(stderr).toMatch(
    /^The stack refused: forbidden \(HTTP 403, code CRON_FORBIDDEN, request [^)]+\)\.\n$/,
  );
});
