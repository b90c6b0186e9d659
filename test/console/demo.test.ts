// The demo fills a stack through its doors, and each fault that it plants is named by the public API, also after the jobs have run again,
// and found in the console by following what the Overview shows; every page of the console on what the demo filled in.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Fault } from '../../demo/faults.ts';
import type { FillOptions } from '../../demo/fill.ts';
import { fakeClock } from '../../local/schedule/clock.ts';
import { demo, enter, openBrowser, type Person } from '../browser/console.ts';
import { hasBrowser, inBrowser } from '../browser/shop.ts';
import { cronSecretOf } from '../support/callers.ts';
import { monthsAgo } from '../support/frozen-month.ts';
import { callAs } from '../support/job-doors.ts';
import { violations } from '../support/money.ts';
import { type Call, caller } from '../support/money-doors.ts';
import { openStack, type TestStack } from '../support/stack.ts';
import { violations as rulesBroken } from './axe.ts';
import { mainTasks } from './tasks.ts';

const events = 400;
let stack: TestStack;
let platform: Call;
let faults: Fault[];
let browser: Browser;
let person: Person;
const steps: string[] = [];
const fill = (options: FillOptions, said: string[]) =>
  demo(stack, options, (sentence) => void said.push(sentence));
beforeAll(async () => {
  stack = await openStack({ clock: fakeClock(new Date()) }); // the jobs run when the test says so
  platform = await caller(stack, ['platform-admin', 'finance', 'service']);
  faults = await fill({ events }, steps);
  if (!hasBrowser) return;
  browser = await openBrowser();
  person = await enter(browser, stack, 'Pat Platform');
}, 180_000);
afterAll(async () => {
  await browser?.close();
  if (stack) expect(await violations(stack.database)).toEqual([]);
  await stack?.close();
});

// biome-ignore lint/suspicious/noExplicitAny: tests read fields of many shapes
const get = async (path: string): Promise<any> => (await stack.admin('GET', `/..${path}`)).body;
const money = async (path: string) => (await platform('GET', path)).body;
const fault = (name: Fault['name']) => faults.find((one) => one.name === name) as Fault;
const site = async (public_id: string) =>
  (await stack.admin('GET', '/sites?limit=200')).body.sites.find(
    (one: { public_id: string }) => one.public_id === public_id,
  );
const cron = async (path: string) =>
  (await callAs(stack, cronSecretOf(stack), `/api/cron/${path}`, undefined, 'GET')).body;

async function namedByTheApi(): Promise<Record<string, unknown>> {
  const { id, at } = fault('drift');
  const finding = async ({ id: tx }: Fault) => {
    const { items } = await money(`/payments/reconciliation/findings?status=OPEN&tx_id=${tx}`);
    return items.map(({ finding_type }: { finding_type: string }) => finding_type);
  };
  const state = async ({ id: tx }: Fault) => (await money(`/finance/withdrawals/${tx}`)).transaction.state;
  const { jobs } = await get(`/sites/${id}/jobs`);
  return {
    drift: (await get(`/sites/${id}/usage?month=${at}`)).drift,
    job: jobs.find(({ year_month }: { year_month: string }) => year_month === at).status,
    webhook: await finding(fault('missing webhook')),
    amount: await finding(fault('amount mismatch')),
    unknown: await state(fault('unknown payout')),
    stuck: await state(fault('stuck payout')),
  };
}
const named = {
  ...{ drift: '-12', job: 'DEAD', webhook: ['missing_in_ledger'], amount: ['amount_mismatch'] },
  ...{ unknown: 'unknown', stuck: 'payout_pending' },
};

describe('what the demo plants', () => {
  test('is named by the API, and nothing else is', async () => {
    expect(await namedByTheApi()).toEqual(named);
    const { items } = await money('/payments/reconciliation/findings?status=OPEN');
    expect(items).toHaveLength(2);
    expect(faults.map(({ name }) => name)).toEqual([
      ...['drift', 'stuck job', 'missing webhook', 'amount mismatch', 'unknown payout', 'stuck payout'],
    ]);
  });

  test('stays when every job runs again', async () => {
    const jobs = ['payments-process', 'payments-match', 'payments-process', 'reconcile-usage', 'recover'];
    for (const job of jobs) expect(await cron(job)).toMatchObject({ ok: true });
    await stack.database.query(
      `update payout_attempts set updated_at = clock_timestamp() - interval '3 minutes' where status = 'unknown'`,
    );
    expect(await cron('payments-process')).toMatchObject({ ok: true, rechecked: 1 });
    expect(await namedByTheApi()).toEqual(named);
  });

  test('is what the watchtower calls', async () => {
    const { checks } = await cron('watchtower');
    const called = Object.entries(checks as Record<string, { status: string }>).filter(
      ([, { status }]) => !['ok', 'skipped'].includes(status),
    );
    expect(called.map(([name]) => name).toSorted()).toEqual([
      ...['moneyFindings', 'payoutsStuck', 'payoutsUnknown', 'reconciliationDead'],
    ]);
  });
});

describe('what the demo fills in', () => {
  test('is a plan within, one in overage, one at its hard limit, one soft, and one with nothing', async () => {
    const usage = async (name: string) => {
      const { id } = await site(`demo-${name}`);
      const { ledger } = await get(`/sites/${id}/usage`);
      const { quota } = await get(`/sites/${id}/quota`);
      return { used: Number(ledger.billable), over: Number(ledger.overage), limit: Number(quota.limit) };
    };
    const [within, over, hard, soft, none] = await Promise.all(
      ['harbour', 'northwind', 'fernbank', 'lumen', 'quarry'].map(usage),
    );
    expect(within?.used).toBeLessThan(within?.limit ?? 0);
    expect(over?.over).toBe((over?.used ?? 0) - (over?.limit ?? 0));
    expect(over?.over).toBeGreaterThan(0);
    expect([hard?.used, hard?.over]).toEqual([hard?.limit, 0]);
    expect([soft?.over, none?.used]).toEqual([0, 0]);
  });

  test('is two frozen months of each site with a history, which prove true, of as many events as were asked for', async () => {
    const { id } = await site('demo-harbour');
    const { invoices } = await get(`/sites/${id}/invoices`);
    expect(invoices.map(({ year_month }: { year_month: string }) => year_month)).toEqual([
      ...[monthsAgo(1), monthsAgo(2)],
    ]);
    expect(invoices[0]).toMatchObject({ event_count: String(events) });
    const { proof } = await get(`/sites/${id}/invoices/${monthsAgo(1)}`);
    expect(proof).toMatchObject({ hash_ok: true, ledger_ok: true, seal_ok: true, changed_days: [] });
    expect((await get(`/sites/${(await site('demo-quarry')).id}/invoices`)).invoices).toEqual([]);
  });

  test('is every outcome of an event, and every state of a withdrawal', async () => {
    for (const outcome of ['queued', 'overage', 'duplicate', 'conflict', 'invalid', 'rejected_quota'])
      expect(steps.join('\n')).toContain(outcome);
    const { items } = await money('/finance/withdrawals?limit=200');
    expect(new Set(items.map(({ state }: { state: string }) => state))).toEqual(
      new Set('requested approved rejected canceled payout_pending unknown payout_failed paid'.split(' ')),
    );
    const doctor = await get('/admin/doctor');
    expect(doctor.ok).toBe(true);
  });
});

test('a second run says so in one sentence and adds nothing', async () => {
  const rows = async () =>
    (
      await stack.database.query(
        `select (select count(*) from ingest_idempotency) usage, (select count(*) from sites) sites, (select count(*) from transfers) transfers`,
      )
    ).rows[0];
  const before = await rows();
  const said: string[] = [];
  expect(await fill({}, said)).toEqual([]);
  expect(said).toEqual(['The stack is filled already, and nothing was added']);
  expect(await rows()).toEqual(before);
});

test('with --tamper a byte of a sealed month is changed once, and its proof says on which day', async () => {
  const [changed] = await fill({ tamper: true }, []);
  if (changed) faults.push(changed);
  expect(changed?.name).toBe('changed byte');
  const { proof } = await get(`/sites/${changed?.id}/invoices/${monthsAgo(1)}`);
  expect(proof).toMatchObject({ hash_ok: true, seal_ok: false, changed_days: [changed?.at] });
  expect(await fill({ tamper: true }, [])).toEqual([]);
});

test.each([
  [['--nonsense'], 1, /^Unknown option --nonsense: .*\.\n$/],
  [['more'], 1, /^Unknown option more: .*\.\n$/],
  [['--events', 'many'], 1, /^--events is many, .*\.\n$/],
  [['--help'], 0, /^npm run demo -- /],
])('the command with %j ends with %i and says why', async (args, code, sentence) => {
  const folder = mkdtempSync(join(tmpdir(), 'kernel-demo-'));
  const ended = await new Promise<{ code: number; out: string }>((resolve) => {
    const script = join(import.meta.dirname, '../../scripts/demo.ts');
    execFile(process.execPath, [script, ...args], { cwd: folder }, (error, stdout, stderr) =>
      resolve({ code: Number(error?.code ?? 0), out: stdout + stderr }),
    );
  });
  rmSync(folder, { recursive: true });
  expect(ended).toEqual({ code, out: expect.stringMatching(sentence) });
});

const month = monthsAgo(1);
const page = '/sites/demo-northwind';
const paths = [
  ...[
    '/',
    '/sites',
    page,
    '/events?site=demo-northwind',
    '/plans',
    `${page}/invoices`,
    `${page}/invoices/${month}`,
  ],
  ...['/dispute', '/wallets', '/finance/withdrawals', '/findings', '/jobs', '/flags', '/audit', '/api'],
];

const main = (who = person) => who.page.getByRole('main');

inBrowser.each(paths)(
  '%s breaks no rule of access, in both themes and at three widths, and complains of nothing',
  { timeout: 120_000 },
  async (path) => {
    await person.open(path);
    expect(await rulesBroken(person.page)).toEqual([]);
    expect(person.complaints).toEqual([]);
  },
);

inBrowser('the same in Turkish, and no page is left in English', async () => {
  await person.page.setViewportSize({ width: 1440, height: 900 });
  await person.open('/finance/withdrawals?lang=tr');
  expect(await person.page.getAttribute('html', 'lang')).toBe('tr');
  expect(await main().getByRole('heading', { level: 1 }).textContent()).toBe('Para çekimleri');
  await person.open('/?lang=en');
});

describe('each planted fault is found by following what the Overview shows', () => {
  const follow = async (link: RegExp | string) => {
    await person.page.setViewportSize({ width: 1440, height: 900 });
    await person.open('/');
    await main().getByRole('link', { name: link }).first().click();
    await person.page.waitForLoadState('networkidle');
  };
  const text = async () => (await main().textContent()) ?? '';

  inBrowser('drift: the site, and how many', async () => {
    await follow(/lumen/i);
    await expect.poll(text).toMatch(/12/);
    expect(person.page.url()).toContain('lumen');
  });

  inBrowser('a webhook that never came, and an amount that differs', async () => {
    for (const [name, type] of [
      ['missing webhook', 'missing_in_ledger'],
      ['amount mismatch', 'amount_mismatch'],
    ] as const) {
      await person.open('/');
      await main().locator(`a[href*="/findings"][href*="${type}"]`).first().click();
      await expect.poll(() => person.page.locator(`a[href*="/findings/"]`).count()).toBeGreaterThan(0);
      await main().locator(`tbody a[href*="/findings/"]`).first().click();
      await expect.poll(text).toContain(fault(name).id.slice(0, 8));
    }
  });

  inBrowser('a job that died', async () => {
    await person.open('/');
    await main().locator('a[href*="/jobs"]').first().click();
    await expect.poll(text).toMatch(/demo-/);
  });

  inBrowser('a payout that nobody knows the end of', async () => {
    await person.open('/');
    await main().locator('a[href*="/finance/withdrawals"][href*="unknown"]').first().click();
    await expect.poll(text).toContain(fault('unknown payout').id.slice(0, 8));
  });

  inBrowser('a byte that was changed in a sealed month, with its day', { timeout: 120_000 }, async () => {
    const { at = '' } = fault('changed byte');
    await person.open(`${page}/invoices/${at.slice(0, 7) || month}`);
    await main()
      .getByRole('button', { name: /^Prove/ })
      .first()
      .click();
    await expect.poll(text, { timeout: 60_000 }).toContain('1 day is not as it was sealed');
    expect(await text()).toContain('Not proved');
  });
});

inBrowser('a lost network shows what was known and says so, and never a blank page', async () => {
  await person.page.setViewportSize({ width: 1440, height: 900 });
  await person.open('/sites');
  await person.context.setOffline(true);
  await person.page.getByText(/No connection since/).waitFor({ timeout: 40_000 });
  expect(await main().getByRole('row').count()).toBeGreaterThan(1);
  await person.context.setOffline(false);
  await person.page.getByText(/No connection since/).waitFor({ state: 'detached', timeout: 40_000 });
});

inBrowser('what a role may not do is refused by the API as well as by the page', async () => {
  const fay = await enter(browser, stack, 'Fay Finance');
  await fay.open('/flags');
  await fay.page.getByRole('heading', { name: 'Your role does not open this page' }).waitFor();
  for (const path of ['/flags', '/audit', '/usage', '/jobs']) {
    const refused = await fay.page.evaluate(
      `fetch('/api/admin${path}', { headers: { authorization: 'Bearer ' + localStorage.getItem('admin_token') } }).then((answer) => answer.status)`,
    );
    expect([path, refused]).toEqual([path, 403]);
  }
  await fay.close();
});

mainTasks(() => ({ stack, browser, mismatch: fault('amount mismatch').id }));
