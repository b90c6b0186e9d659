// Scratch: visits the pages of invoices, dispute, jobs, flags, audit and API.
import { mkdirSync, readFileSync } from 'node:fs';
import { chromium, type Browser, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { demoUsers } from '../../local/issuer.ts';
import { buildConsole } from '../../scripts/build-console.ts';
import { behindGuards, freezeMonth, monthsAgo, plantRows } from '../support/frozen-month.ts';
import { openStack, type TestStack } from '../support/stack.ts';
import { executablePath } from './shop.ts';

const shots = '/tmp/pages-shots';
mkdirSync(shots, { recursive: true });
const axe = readFileSync('node_modules/axe-core/axe.min.js', 'utf8');
let stack: TestStack;
let browser: Browser;
let big: { id: string; public_id: string };
let bad: { id: string; public_id: string };
const month = monthsAgo(1);
const older = monthsAgo(2);
const errors: string[] = [];
const problems: string[] = [];

beforeAll(async () => {
  if (process.env.BUILD !== '0') await buildConsole('dist/console');
  stack = await openStack();
  browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
  big = await stack.site({ limit: 1_000_000 });
  bad = await stack.site({ limit: 1_000_000 });
  for (const s of [big, bad]) await stack.database.query(`update sites set created_at = now() - interval '120 days', name = $2 where id = $1`, [s.id, s === big ? 'Acme Blog' : 'Borealis Shop']);
  const t0 = Date.now();
  await plantRows(stack.database, big.id, month, 100_000);
  await plantRows(stack.database, big.id, older, 400);
  await plantRows(stack.database, bad.id, month, 3_000);
  for (const [s, m] of [[big.id, month], [big.id, older], [bad.id, month]] as const) await freezeMonth(stack.database, s, m, 3);
  console.log('planted', Date.now() - t0);
  const r = await behindGuards(stack.database, () =>
    stack.database.query(`update ingest_idempotency set payload_hash = set_byte(payload_hash, 3, get_byte(payload_hash, 3) # 1) where id = (select id from ingest_idempotency where site_id = $1 order by created_at offset 1500 limit 1) returning created_at::text`, [bad.id]),
  );
  console.log('changed', r.rows);
  const { body: adj, status } = await finance(7, 'POST', `/api/admin/sites/${big.id}/adjustments`, { corrects_month: older, event_delta: '12', reason: 'Late events of the importer' });
  console.log(status, JSON.stringify(adj));
  const decided = await finance(8, 'POST', `/api/admin/sites/${big.id}/adjustments/${adj.adjustment?.id}/decision`, { decision: 'approved' });
  console.log(decided.status, JSON.stringify(decided.body).slice(0, 300));
  await stack.database.query(`insert into billing_reconciliation_jobs (site_id, year_month, status, lease_until, attempt_count) values ($1, $2, 'PROCESSING', now() - interval '1 hour', 3)`, [big.id, monthsAgo(0)]);
  await stack.database.query(`insert into billing_reconciliation_jobs (site_id, year_month, status, attempt_count, last_error) values ($1, $2, 'DEAD', 8, 'the counter did not answer')`, [bad.id, monthsAgo(0)]);
  await stack.sync({ s: big.public_id, url: 'https://example.com/a', i: 'one' });
  await stack.admin('PUT', '/flags/ledger_enforce_balance', { value: true, percent: 25 });
  await stack.admin('PUT', '/flags/ledger_enforce_balance', { value: true, tenant_id: 'casino-1' });
}, 240_000);
afterAll(async () => {
  await browser.close();
  await stack.close();
});

async function tokenOf(index: number) {
  return stack.issuer.token(demoUsers[index - 1] as (typeof demoUsers)[0]);
}
async function finance(index: number, method: string, path: string, body?: unknown) {
  const response = await fetch(`${stack.url}${path}`, { method, headers: { authorization: `Bearer ${await tokenOf(index)}`, 'content-type': 'application/json' }, body: JSON.stringify(body) });
  return { status: response.status, body: (await response.json()) as any };
}
async function open(options: { theme?: 'light' | 'dark'; width?: number; user?: number; language?: string } = {}): Promise<Page> {
  const { theme = 'light', width = 1440, user = 9, language = 'en' } = options;
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: theme });
  await context.addInitScript(`localStorage.setItem('admin_token', ${JSON.stringify(await tokenOf(user))}); localStorage.setItem('rk:language', '"${language}"'); localStorage.setItem('rk:settings', JSON.stringify({language: '${language}'}));`);
  const page = await context.newPage();
  page.on('console', (m) => m.type() === 'error' && errors.push(`${page.url()}: ${m.text()}`));
  page.on('pageerror', (e) => errors.push(`${page.url()}: ${e}`));
  return page;
}
async function settle(page: Page) {
  await page.waitForLoadState('networkidle');
  await page.waitForTimeout(150);
}
async function check(page: Page, name: string) {
  await page.evaluate(axe);
  const found = (await page.evaluate(`axe.run(document, { resultTypes: ['violations'] }).then((r) => r.violations.map((v) => v.id + ': ' + v.nodes.slice(0,3).map((n) => n.target.join(' ') + ' — ' + n.failureSummary.split('\\n').slice(1,2)).join(' | ')))`)) as string[];
  for (const f of found) problems.push(`${name}: ${f}`);
  const over = (await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')) as number;
  if (over > 0) problems.push(`${name}: page scrolls sideways by ${over}`);
  await page.screenshot({ path: `${shots}/${name}.png`, fullPage: true });
}

test('every page in both themes and widths', async () => {
  const paths: Record<string, string> = {
    invoices: `/sites/${big.public_id}/invoices`, invoice: `/sites/${big.public_id}/invoices/${older}`, invoicedraft: `/sites/${big.public_id}/invoices/${monthsAgo(0)}`, rows: `/sites/${big.public_id}/invoices/${older}?day=${older}-03`,
    dispute: '/dispute', preview: `/dispute?site=${big.public_id}&month=${older}`, jobs: '/jobs', flags: '/flags', flag: '/flags?id=ledger_enforce_balance', audit: '/audit', api: '/api', apiop: '/api?id=backfillEvents',
  };
  for (const [theme, width] of [['light', 1440], ['dark', 360], ['dark', 1440], ['light', 360]] as const) {
    const page = await open({ theme, width });
    for (const [name, path] of Object.entries(paths)) {
      await page.goto(`${stack.url}/console${path}`);
      await settle(page);
      await check(page, `${name}-${theme}-${width}`);
    }
    await page.context().close();
  }
  const tr = await open({ language: 'tr' });
  for (const [name, path] of Object.entries(paths)) {
    await tr.goto(`${stack.url}/console${path}`);
    await settle(tr);
    await check(tr, `${name}-tr`);
  }
  console.log(errors.join('\n'), '\nPROBLEMS\n', problems.join('\n'));
}, 300_000);

test('prove 100,000 rows', async () => {
  errors.length = 0;
  const page = await open();
  await page.goto(`${stack.url}/console/sites/${big.public_id}/invoices/${month}#prove`);
  await settle(page);
  await page.evaluate(`window.gaps = []; (function tick(last) { requestAnimationFrame((now) => { if (now - last > 60) window.gaps.push(Math.round(now - last)); tick(now); }); })(performance.now())`);
  const t0 = Date.now();
  await page.getByRole('button', { name: /^Prove/ }).click();
  await page.getByText(/Proved: 100,000 rows/).waitFor({ timeout: 60_000 });
  console.log('proved in', Date.now() - t0, 'frames over 60 ms', await page.evaluate('JSON.stringify(window.gaps)'));
  await check(page, 'proved');
  await page.getByRole('button', { name: /^Prove/ }).click();
  await page.waitForTimeout(700);
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.getByText(/Canceled after/).waitFor();
  await page.goto(`${stack.url}/console/sites/${bad.public_id}/invoices/${month}`);
  await page.getByRole('button', { name: /^Prove/ }).click();
  await page.getByText('Not proved').waitFor();
  await check(page, 'not-proved');
  await page.getByRole('link', { name: /^Rows of/ }).first().click();
  await settle(page);
  await check(page, 'not-proved-rows');
  const link = page.locator('a[href*="/events?id="]').first();
  const href = (await link.getAttribute('href')) ?? '';
  const id = new URL(href, stack.url).searchParams.get('id');
  const { rows } = await stack.database.query('select ingest_uuid(id, created_at) u from ingest_idempotency where id = $1', [await link.textContent()]);
  expect(id).toBe(rows[0].u);
  console.log(errors.join('\n'));
}, 120_000);

test('dispute exports', async () => {
  errors.length = 0;
  const page = await open();
  await page.goto(`${stack.url}/console/dispute?site=${big.public_id}&month=${older}`);
  await page.getByRole('button', { name: /^Export 400 rows/ }).click();
  await page.getByText(/^✓ Verified/).waitFor();
  await check(page, 'export-inline');
  await page.goto(`${stack.url}/console/dispute?site=${big.public_id}&month=${month}`);
  await page.getByRole('button', { name: /^Export 100,000 rows/ }).click();
  await page.getByText('The file is built.').waitFor({ timeout: 60_000 });
  await check(page, 'export-long');
  console.log(errors.join('\n'));
}, 120_000);

test('jobs: dry run, wallets; flags change; roles', async () => {
  errors.length = 0;
  const page = await open();
  await page.goto(`${stack.url}/console/jobs`);
  await page.getByRole('button', { name: 'Apply missed events' }).click();
  await check(page, 'events-dialog');
  await page.getByRole('button', { name: 'Dry run' }).click();
  await page.getByText(/^Dry run:/).waitFor();
  await check(page, 'events-dry');
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Take wallets over' }).click();
  await page.getByRole('button', { name: 'Dry run' }).click();
  await page.getByText(/^Dry run:/).waitFor();
  await check(page, 'wallets-dry');
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Reconcile wallets' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Reconcile wallets' }).click();
  await page.getByText(/compared:/).waitFor();
  await check(page, 'reconciled');
  await page.goto(`${stack.url}/console/flags?id=ledger_enforce_balance`);
  await page.getByRole('button', { name: 'Change', exact: true }).click();
  await page.getByLabel('New state').selectOption('percent');
  await page.getByLabel('Percent of').fill('40');
  await check(page, 'flag-change');
  await page.getByRole('button', { name: /for everybody/ }).click();
  await page.getByText(/is now: On for 40 %/).waitFor();
  await page.getByRole('button', { name: 'Close' }).last().click();
  await check(page, 'flag-changed');
  console.log(errors.join('\n'));
  for (const user of [1, 3, 5, 10]) {
    const p = await open({ user });
    const seen: string[] = [];
    for (const path of ['/jobs', '/flags', '/audit', '/dispute', '/invoices', '/api']) {
      await p.goto(`${stack.url}/console${path}`);
      await settle(p);
      seen.push(`${path}: ${(await p.locator('h1').textContent()) ?? ''} [${(await p.locator('h2').allTextContents()).slice(0, 4)}]`);
    }
    console.log(demoUsers[user - 1]?.name, seen);
    await p.context().close();
  }
}, 180_000);
