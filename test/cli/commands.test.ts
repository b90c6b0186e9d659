// Shows the exit codes, the sentences and the requests of the commands that manage sites, plans and usage.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { kernel, SAMPLE } from './run-kernel.ts';
import { type ScriptedStack, scriptedStack, TOKEN } from './scripted-stack.ts';

let stack: ScriptedStack;

beforeAll(async () => {
  stack = await scriptedStack();
});
afterAll(() => stack.close());
beforeEach(() => {
  stack.seen.length = 0;
  stack.script = () => undefined;
});

const at = (...args: string[]) => kernel([...args, '--url', stack.url, '--token', TOKEN]);
const last = () => stack.seen.at(-1);
const answers = (body: unknown, status = 200) => {
  stack.script = () => ({ status, body });
};

describe('wrong usage', () => {
  test.each([
    [['site', 'creat'], 'There is no command "site creat"', 'Usage: kernel site create --name N'],
    [['usage'], 'an argument is missing', 'Usage: kernel usage <site>'],
    [['usage', 'a', 'b'], 'too many arguments, from "b" on', 'Usage: kernel usage <site>'],
    [['usage', 'a', '--moth', '2026-01'], "Unknown option '--moth'.", 'Usage: kernel usage <site>'],
    [['usage', 'a', '--month', '2026-13'], 'must look like 2026-01', 'Usage: kernel usage <site>'],
    [['site', 'create', '--name', 'a'], 'Option --origin is missing.', 'Usage: kernel site create'],
    [['plan', 'set', 'a'], 'Option --limit is missing.', 'Usage: kernel plan set'],
    [['plan', 'set', 'a', '--limit', '1e3'], 'must be a whole number', 'Usage: kernel plan set'],
    [['replay', SAMPLE], 'Option --site is missing.', 'Usage: kernel replay'],
    [['replay', SAMPLE, '--site', 'a', '--batch', '501'], 'from 1 to 500', 'Usage: kernel replay'],
    [['usage', 'a', '--url', 'ftp://x', '--token', 't'], 'is not an http(s) URL', 'Usage: kernel usage'],
  ])('%j exits 2 with one sentence and the usage line', async (args, sentence, usage) => {
    const run = await kernel(args);
    expect(run).toMatchObject({ code: 2, stdout: '' });
    const [first = '', second = ''] = run.stderr.split('\n');
    expect(first).toContain(sentence);
    expect(second).toContain(usage);
  });

  test('a value that begins with a dash is a value, where a switch follows it is no value', async () => {
    const run = await kernel(['usage', 'nobody', '--url', stack.url, '--token', '-dash']);
    expect(run).toMatchObject({ code: 1 });
    expect(last()?.headers.authorization).toBe('Bearer -dash');
    expect(await kernel(['usage', 'a', '--json', '-x'])).toMatchObject({ code: 2 });
  });

  test('--help exits 0, lists every command, and explains one', async () => {
    const [all, one] = await Promise.all([kernel(['--help']), kernel(['replay', '--help'])]);
    expect(all).toMatchObject({ code: 0, stderr: '' });
    for (const words of ['site create', 'site key rotate', 'plan set', 'usage', 'replay', 'demo-log']) {
      expect(all.stdout).toContain(`  ${words} `);
    }
    expect(one.stdout).toContain('--from-line N');
  });
});

describe('failures', () => {
  test('a cleanup that proves nothing but broken seals ends, names them and exits 3', async () => {
    const figures = { deleted: '0', archived: 0, events_deleted: '0', personal_data_removed: '0' };
    const broken = [{ site_id: 's', year_month: '2026-01', changed_days: null }];
    answers({ ok: true, ...figures, seals_checked: 1, remaining: true, months: [], seals_broken: broken });
    const run = await kernel(['cleanup', '--url', stack.url, '--secret', 'x']);
    expect(run).toMatchObject({ code: 3, stderr: 's 2026-01: the seal is broken; changed: the invoice\n' });
    expect(stack.seen).toHaveLength(1);
  });

  test('a refusal is one sentence with code and request id, and exits 1', async () => {
    const run = await at('usage', 'nobody');
    expect(run).toMatchObject({ code: 1, stdout: '' });
    expect(run.stderr).toBe('The stack refused: No such site (HTTP 404, code not_found, request req-8).\n');
  });

  test('an address where nothing listens is named with what to do', async () => {
    const gone = await scriptedStack();
    await gone.close();
    const run = await kernel(['site', 'list', '--url', gone.url, '--token', 'x']);
    expect(run.code).toBe(1);
    expect(run.stderr).toBe(`No stack answers at ${gone.url}: start one with npm start or pass --url.\n`);
  });

  test('a stack other than the local one is never shown a token that was not meant for it', async () => {
    const run = await kernel(['site', 'list', '--url', stack.url]);
    expect(run.code).toBe(1);
    expect(run.stderr).toContain('pass --token or set KERNEL_TOKEN');
    expect(stack.seen).toHaveLength(0);
  });

  test('a log that is not there ends in one sentence', async () => {
    const run = await at('replay', '/nowhere.log', '--site', 'a');
    expect(run).toMatchObject({ code: 1, stderr: 'The log /nowhere.log cannot be read (ENOENT).\n' });
  });
});

describe('requests', () => {
  test('site create asks for a key unless told not to, and shows it once', async () => {
    const plan = { monthly_limit: '5', soft_limit_enabled: true, hard_cap_multiplier: '1.5' };
    const site = {
      ok: true,
      id: 'u',
      public_id: 'p',
      name: 'A',
      origins: ['https://a.example'],
      status: 'ACTIVE',
    };
    answers({ ...site, rate_limit: 9, plan, api_key: 'rk_1' }, 201);
    const args = [
      'site',
      'create',
      '--name',
      'A',
      '--origin',
      'https://a.example',
      '--origin',
      'https://b.example',
    ];
    const run = await at(...args, '--limit', '5', '--soft', '--multiplier', '1.5', '--rate-limit', '9');
    const origins = ['https://a.example', 'https://b.example'];
    expect(JSON.parse(last()?.body ?? '')).toEqual({
      name: 'A',
      origins,
      rate_limit: 9,
      plan,
      api_key: true,
    });
    expect(run.stdout).toContain('rk_1 (shown only this once)');
    await at(...args, '--no-key', '--json');
    expect(JSON.parse(last()?.body ?? '')).toEqual({ name: 'A', origins });
  });

  test('site list follows the cursor to the end', async () => {
    const run = await kernel(['site', 'list', '--json'], {
      KERNEL_URL: `${stack.url}/`,
      KERNEL_TOKEN: TOKEN,
    });
    const { sites } = JSON.parse(run.stdout) as { sites: { public_id: string }[] };
    expect(sites.map((site) => site.public_id)).toEqual(['pub_other', 'pub_shop']);
  });

  test.each([
    ['create', 'POST', '/keys', ['a/b']],
    ['rotate', 'POST', '/keys/rotate', ['a/b']],
    ['list', 'GET', '/keys', ['a/b']],
    ['revoke', 'DELETE', '/keys/k1', ['a/b', 'k1']],
  ])('site key %s is %s …%s', async (verb, method, path, args) => {
    answers({
      ok: true,
      api_key: 'rk',
      key_id: 'k',
      prefix: 'r',
      keys: [{ key_id: 'k1', prefix: 'r', live: true }],
    });
    expect((await at('site', 'key', verb, ...args)).code).toBe(0);
    expect(last()).toMatchObject({ method, url: `/api/admin/sites/a%2Fb${path}` });
  });

  test('plan set sends decimals as text and leaves out what was not named', async () => {
    answers({ ok: true, plan: { monthly_limit: '9007199254740993', soft_limit_enabled: false } });
    const run = await at('plan', 'set', 'p', '--limit', '9007199254740993', '--hard');
    expect(last()).toMatchObject({ method: 'PUT', url: '/api/admin/sites/p/plan' });
    expect(JSON.parse(last()?.body ?? '')).toEqual({
      monthly_limit: '9007199254740993',
      soft_limit_enabled: false,
    });
    expect(run.stdout).toContain('9007199254740993');
  });
});

describe('usage', () => {
  const body = {
    ...{
      ok: true,
      site_id: 'u',
      public_id: 'p',
      year_month: '2026-01',
      limit: '100',
      remaining: '93',
      drift: '0',
    },
    ledger: { billable: '7', overage: '0', rejected: '2', rows: '9' },
    usage_row: { event_count: '7', overage_count: '0' },
    counter: { used: '7', as_of: '9' },
    events: { delivered: '7' },
    outbox: { waiting: '0' },
  };

  const tracker = {
    loss: { arrived: '95', lost: '5', reported: { full: '4', refused: '1' }, rate: '0.05' },
    requests: { batches: '10', retried: '2', retry_rate: '0.2' },
    clocks: { minutes_off: '1', hours_off: '0' },
    sdks: [{ sdk: 'browser/0.1.0', batches: '10' }],
  };
  const silent = { ...tracker, requests: { ...tracker.requests, batches: '0' } };
  const says = (told: object, ofTrackers: object = silent) => {
    stack.script = ({ url }) => ({ status: 200, body: url.includes('/tracker') ? ofTrackers : told });
  };

  test('three equal numbers exit 0, and --json prints the answer as it is, with that on the trackers', async () => {
    says(body);
    const run = await at('usage', 'p', '--month', '2026-01', '--json');
    const printed = `${JSON.stringify({ ...body, tracker: silent })}\n`;
    expect(run).toMatchObject({ code: 0, stdout: printed, stderr: '' });
    const path = '/api/admin/sites/p';
    const asked = stack.seen.map(({ url }) => url);
    expect(asked).toEqual([`${path}/usage?month=2026-01`, `${path}/tracker?month=2026-01`]);
    const { stdout } = await at('usage', 'p');
    expect(stdout).toMatch(/^ledger +7 +0 +2$/m);
    expect(stdout).not.toContain('TRACKERS');
  });

  test('what trackers say of themselves is shown where there are any', async () => {
    says(body, tracker);
    const { stdout } = await at('usage', 'p');
    expect(stdout).toMatch(/^lost +5, with 95 arrived \(0\.05\)$/m);
    expect(stdout).toMatch(/^dropped +4 full, 1 refused$/m);
    expect(stdout).toMatch(/^retries +2 of 10 requests \(0\.2\)$/m);
    expect(stdout).toMatch(/^versions +browser\/0\.1\.0 \(10\)$/m);
  });

  test.each([
    ['a counter behind', { counter: { used: '6', as_of: '8' } }],
    ['a missing usage row', { usage_row: null }],
    ['a missing counter', { counter: null }],
  ])('%s exits 3', async (_, change) => {
    says({ ...body, ...change });
    expect((await at('usage', 'p', '--json')).code).toBe(3);
  });

  test('a month without any row agrees with itself', async () => {
    const ledger = { billable: '0', overage: '0', rejected: '0', rows: '0' };
    says({ ...body, ledger, usage_row: null, counter: null });
    expect((await at('usage', 'p')).code).toBe(0);
  });
});
