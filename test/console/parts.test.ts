// The parts that pages are made of, all on one page in Chromium under the console's policy: access, keyboard, dialogs, CSV.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect } from 'vitest';
import { consoleFiles } from '../../local/http/console.ts';
import { buildConsole } from '../../scripts/build-console.ts';
import { executablePath, hasBrowser, inBrowser } from '../browser/shop.ts';
import { violations } from './axe.ts';

const folder = mkdtempSync(join(tmpdir(), 'console-gallery-'));
const issuer = { url: '', authorization_endpoint: '', token_endpoint: 'http://127.0.0.1:9/oauth2/token' };
const errors: string[] = [];
let server: Server;
let browser: Browser;
let page: Page;
beforeAll(async () => {
  if (!hasBrowser) return;
  await buildConsole(folder, join(import.meta.dirname, '../../console/gallery'));
  const files = consoleFiles(folder, { stage: 'test', region: 'eu-west-1', issuer });
  server = createServer((request, response) => {
    const answer = files(request) ?? { status: 404, headers: {}, body: '' };
    response.writeHead(answer.status, answer.headers).end(answer.body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
  page = await browser.newPage();
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  page.on('pageerror', (error) => errors.push(String(error)));
  await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/console/`);
  await page.getByRole('heading', { level: 1 }).waitFor();
});
afterAll(async () => {
  await browser?.close();
  await new Promise((resolve) => (server ? server.close(resolve) : resolve(undefined)));
  rmSync(folder, { recursive: true });
});
const table = (caption: string) =>
  page.locator('.table', { has: page.getByRole('table', { name: caption }) });

inBrowser('no part breaks a rule of access, in both themes and at three widths', async () => {
  for (const twin of await page.locator('details.twin').all())
    await twin.evaluate((details) => details.setAttribute('open', ''));
  expect(await violations(page)).toEqual([]);
});

inBrowser('amounts beyond the floats are written exactly, and a drift has sign and word', async () => {
  await page.setViewportSize({ width: 1440, height: 900 });
  expect(await table('Loaded').locator('tbody td.end').allTextContents()).toEqual([
    '90,071,992,547,409.93 EUR',
    '-5.00 EUR',
  ]);
  expect(await page.locator('.drift').allTextContents()).toEqual([
    '▼ 12 under',
    '▲ 3 events over',
    '= no drift',
    '? unknown',
  ]);
});

inBrowser('a table is sorted by the keyboard, says so, and j and k walk its rows', async () => {
  const sort = table('Loaded').getByRole('button', { name: 'Amount' });
  await sort.focus();
  await page.keyboard.press('Enter');
  const header = table('Loaded').getByRole('columnheader', { name: 'Amount' });
  expect(await header.getAttribute('aria-sort')).toBe('ascending');
  expect((await table('Loaded').locator('tbody td.end').allTextContents())[0]).toBe('-5.00 EUR');
  expect(await table('Loaded').getByRole('status').last().textContent()).toContain(
    'Sorted by Amount, ascending',
  );
  await page.keyboard.press('Space');
  expect(await header.getAttribute('aria-sort')).toBe('descending');
  await table('Loaded').locator('section').focus();
  const row = () => page.evaluate("document.activeElement.closest('tr')?.querySelector('code')?.textContent");
  await page.keyboard.press('j');
  expect(await row()).toBe('b');
  await page.keyboard.press('j');
  expect(await row()).toBe('=a');
  await page.keyboard.press('k');
  expect(await row()).toBe('b');
});

inBrowser('an empty table says which of the three it is', async () => {
  expect(await table('Nothing yet').locator('.state').textContent()).toBe('Send an event.');
  expect(await table('No match').locator('.state').textContent()).toContain('Nothing matches the filter.');
  const failed = await table('Failed').locator('.state').textContent();
  expect(failed).toContain('Could not load: Somebody else was first.');
  expect(failed).toContain('Request request-7');
  expect(await table('Failed').getByRole('button', { name: 'Try again' }).count()).toBe(1);
});

inBrowser(
  'the CSV has every column with its unit, and a text that looks like a formula stays a text',
  async () => {
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      table('Loaded').getByRole('button', { name: 'CSV' }).click(),
    ]);
    expect(download.suggestedFilename()).toBe('rows.csv');
    const text = readFileSync(await download.path(), 'utf8');
    expect(text).toBe("Id,Amount (EUR)\r\nb,9007199254740993\r\n'=a,-500\r\n");
  },
);

inBrowser('a dialog keeps the focus inside, closes by Escape, and gives the focus back', async () => {
  const opener = page.getByRole('button', { name: 'Open' });
  await opener.focus();
  await page.keyboard.press('Enter');
  await page.getByRole('dialog', { name: 'Detail' }).waitFor();
  expect(await violations(page, [360])).toEqual([]);
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  expect(await page.evaluate('document.activeElement.textContent')).toBe('Open');
});

inBrowser(
  'a reason is asked for, a refusal is named, and each try carries the key made at the opening',
  async () => {
    await page.getByRole('button', { name: 'Pay', exact: true }).click();
    const dialog = page.getByRole('dialog', { name: 'Pay' });
    await dialog.getByText('Pays 840.00 EUR to DE…4471.').waitFor();
    const pay = dialog.getByRole('button', { name: 'Pay 840.00 EUR' });
    const key = await dialog.locator('code').textContent();
    await pay.click();
    expect(await dialog.getByRole('alert').textContent()).toContain('Say why');
    expect(await page.getByTestId('keys').textContent()).toBe('');
    await dialog.getByLabel('Reason').fill('checked by phone');
    await pay.click();
    await dialog.getByText('Refused: Somebody else was first.').waitFor();
    expect(await dialog.getByRole('alert').textContent()).toContain('request-7');
    await pay.click();
    await dialog.getByText('Paid: checked by phone').waitFor();
    expect(await page.getByTestId('keys').textContent()).toBe(`${key} ${key}`);
    await page.keyboard.press('Enter');
    await dialog.waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Pay', exact: true }).click();
    expect(await dialog.locator('code').textContent()).not.toBe(key);
    await page.keyboard.press('Escape');
  },
);

inBrowser('nothing of it broke the policy of the page', () => {
  expect(errors).toEqual([]);
});
