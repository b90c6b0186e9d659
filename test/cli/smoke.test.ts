// The post-deploy smoke as an operator runs it: passes on a healthy stack with the filled block, and fails where something is wrong.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { demoUsers } from '../../local/issuer.ts';
import { openStack, type TestStack } from '../support/stack.ts';
import { kernel } from './run-kernel.ts';

let stack: TestStack;
let secret: string;
let token: string;
beforeAll(async () => {
  stack = await openStack();
  secret = stack.state.secret(
    stack.resource('AWS::SecretsManager::Secret', 'CronSecret').ref.split(':').at(-1) ?? '',
  );
  token = await stack.issuer.token(
    demoUsers.find(({ role }) => role === 'platform-admin') as (typeof demoUsers)[0],
  );
});
afterAll(() => stack.close());

let runs = 0;
const smoke = (args: string[] = [], env: Record<string, string> = {}) => {
  runs += 1;
  return kernel(['smoke', ...args], {
    KERNEL_URL: stack.url,
    KERNEL_TOKEN: token,
    KERNEL_CRON_SECRET: secret,
    ...env,
  });
};

async function failed(args: string[]) {
  const { code, stdout, stderr } = await smoke([...args, '--json']);
  const { ok, steps } = JSON.parse(stdout);
  const wrong = steps.filter((step: { ok: boolean }) => !step.ok);
  return { code, ok, stderr, wrong: wrong.map(({ step }: { step: string }) => step), found: wrong[0]?.found };
}

test('a healthy stack passes every step, and the proof block is filled in its own layout', async () => {
  const { code, stdout, stderr } = await smoke();
  expect(stderr).not.toContain('FAILED');
  expect(code).toBe(0);
  const month = new Date().toISOString().slice(0, 7);
  expect(stdout).toMatch(/^ok {6}rate limit$/m);
  expect(stdout).toContain('429 retry-after: ');
  const block = stdout.slice(stdout.indexOf('--- PR-4'), stdout.indexOf('--- End proof ---'));
  const lines = block.split('\n');
  expect(lines[0]).toBe('--- PR-4 Canary proof ---');
  expect(block).toMatch(/^ {2}Status: 200$/m);
  expect(block).toMatch(
    /^ {2}Headers \(ilk birkaç satır\): content-type: application\/json; x-opsmantik-commit: \S+;/m,
  );
  expect(block).toMatch(/^ {2}Body \(kısa\): enqueued=\d+, processed=\d+, completed=\d+, failed=0$/m);
  const billable = /^DB \(A\) billable count: (\d+)$/m.exec(block)?.[1];
  expect(Number(billable)).toBeGreaterThan(3);
  expect(block).toMatch(
    new RegExp(
      `^DB \\(B\\) site_usage_monthly: event_count=${billable}, overage_count=1, last_synced_at=${month}-`,
      'm',
    ),
  );
  expect(block).toMatch(/^Jobs \(canary\): status=COMPLETED, last_error=null, last_drift_pct=0$/m);
  expect(block).toMatch(/^Watchtower billingReconciliationDriftLast1h: 0$/m);
});

test('a second run beside the first has a site of its own and passes too', async () => {
  const [a, b] = await Promise.all([smoke(['--json']), smoke(['--json'])]);
  const [first, second] = [JSON.parse(a.stdout), JSON.parse(b.stdout)];
  expect([a.code, b.code, first.ok, second.ok]).toEqual([0, 0, true, true]);
  expect(first.site_id).not.toBe(second.site_id);
});

test('the site is put away: its limit is 0 and its key is revoked', async () => {
  const { rows } = await stack.database.query(
    `select p.monthly_limit::int, (select count(*)::int from site_api_keys k where k.site_id = s.id and k.revoked_at is null) live_keys
       from sites s join site_plans p on p.site_id = s.id where s.public_id like 'smoke\\_%'`,
  );
  expect(rows).toHaveLength(runs); // each run so far made one
  for (const row of rows) expect(row).toEqual({ monthly_limit: 0, live_keys: 0 });
});

test('with a wrong cron secret the jobs fail by name, the rest is still told, and it exits 1', async () => {
  const { code, ok, stderr, wrong, found } = await failed(['--secret', 'wrong']);
  expect([code, ok]).toEqual([1, false]);
  expect(wrong).toEqual(['invoice freeze', 'reconcile', 'ledger = usage row', 'watchtower']);
  expect(found).toBe('403 CRON_FORBIDDEN');
  expect(stderr).toMatch(/^The smoke failed: invoice freeze, reconcile, ledger = usage row, watchtower\.$/m);
});

test('a stack that refuses nobody fails the quota step', async () => {
  await stack.database.query('alter table sites alter column billing_enforcement set default false');
  const { code, wrong, found } = await failed([]);
  await stack.database.query('alter table sites alter column billing_enforcement set default true');
  expect(code).toBe(1);
  expect(wrong).toEqual(['quota reject', 'overage']);
  expect(found).toMatch(/^200 .*x-opsmantik-overage: true/);
});

test('a stack whose export shows refused events as billed fails the step of evidence', async () => {
  const { rows } = await stack.database.query(
    `select pg_get_functiondef('export_line(timestamptz,bytea,smallint,billing_state,boolean)'::regprocedure) definition`,
  );
  await stack.database.query(
    rows[0].definition.replace(/p_billable/g, (name: string, at: number, whole: string) =>
      at > whole.indexOf('RETURN ') ? 'true' : name,
    ),
  );
  const { code, wrong, found } = await failed([]);
  await stack.database.query(rows[0].definition);
  expect(code).toBe(1);
  expect(wrong).toEqual(['dispute export']);
  expect(found).toMatch(/billable lines of \d+ rows$/);
});

test('without a secret or a token nothing is created', async () => {
  const count = async () => (await stack.database.query('select count(*)::int n from sites')).rows[0].n;
  const before = await count();
  const noSecret = await kernel(['smoke', '--url', stack.url, '--token', token]);
  expect(noSecret).toMatchObject({ code: 1, stdout: '' });
  expect(noSecret.stderr).toContain('pass --secret or set KERNEL_CRON_SECRET');
  const noToken = await kernel(['smoke', '--url', stack.url, '--secret', secret]);
  expect(noToken.stderr).toContain('pass --token or set KERNEL_TOKEN');
  expect((await smoke(['--token', 'wrong'])).stderr).toContain('HTTP 401');
  expect(await count()).toBe(before);
});
