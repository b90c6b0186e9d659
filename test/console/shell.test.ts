// The frame of the console in Chromium against the running stack: sign-in, roles, the end of a session, a lost network, the keyboard.
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect } from 'vitest';
import { demoSite } from '../../local/demo-site.ts';
import { type DemoUser, demoUsers } from '../../local/issuer.ts';
import { executablePath, hasBrowser, inBrowser } from '../browser/shop.ts';
import { openStack, type TestStack } from '../support/stack.ts';
import { violations } from './axe.ts';

let stack: TestStack;
let browser: Browser;
beforeAll(async () => {
  if (!hasBrowser) return;
  stack = await openStack();
  await demoSite(stack.url, await stack.issuer.token(named('Pat Platform')));
  browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
});
afterAll(async () => {
  await browser?.close();
  await stack?.close();
});

const named = (name: string) => demoUsers.find((user) => user.name === name) as DemoUser;
const heading = (page: Page, name: string) => page.getByRole('heading', { level: 1, name }).waitFor();

interface Visit {
  page: Page;
  context: BrowserContext;
  errors: string[];
}
/** A page that a demo user opened, and signed in to read. */
async function signedIn(name: string, path = '/'): Promise<Visit> {
  const context = await browser.newContext({ locale: 'en-GB', timezoneId: 'Europe/Istanbul' });
  const page = await context.newPage();
  const errors: string[] = [];
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  page.on('pageerror', (error) => errors.push(String(error)));
  await page.goto(`${stack.url}/console${path}`);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('link', { name }).click();
  await page.getByRole('button', { name: 'Sign out' }).waitFor();
  return { page, context, errors };
}

inBrowser('a person who signs in comes back to the page that they opened, without an error', async () => {
  const { page, context, errors } = await signedIn('Fay Finance', '/finance/withdrawals?state=paid');
  await heading(page, 'Withdrawals');
  expect(page.url()).toBe(`${stack.url}/console/finance/withdrawals?state=paid`);
  await page.reload();
  await heading(page, 'Withdrawals');
  expect(errors).toEqual([]);
  await context.close();
});

inBrowser(
  'what a role may not open is neither in the navigation nor shown by its address',
  async () => {
    const roles: [string, sees: string[], not: Record<string, string>][] = [
      [
        'Fay Finance',
        ['Wallets', 'Withdrawals', 'Findings'],
        { Sites: '/sites', Flags: '/flags', Plans: '/plans' },
      ],
      [
        'Ana Analyst',
        ['Sites', 'Events'],
        { Invoices: '/sites/demo/invoices', Withdrawals: '/finance/withdrawals' },
      ],
      [
        'Bill Billing',
        ['Sites', 'Invoices', 'Plans'],
        { Wallets: '/wallets', Flags: '/flags', Audit: '/audit' },
      ],
      ['Pat Platform', ['Sites', 'Withdrawals', 'Flags', 'Audit'], { 'My wallet': '/player/wallet' }],
      [
        'Pia Player',
        ['My wallet'],
        { Overview: '/sites', Sites: '/sites', Withdrawals: '/finance/withdrawals' },
      ],
    ];
    for (const [name, sees, not] of roles) {
      const { page, context } = await signedIn(name, '/api');
      const links = await page.locator('.nav-wide a').allTextContents();
      expect([name, links]).toEqual([name, expect.arrayContaining(sees)]);
      for (const [hidden, path] of Object.entries(not)) {
        expect([name, links]).not.toEqual([name, expect.arrayContaining([hidden])]);
        await page.goto(`${stack.url}/console${path}`);
        await heading(page, 'Your role does not open this page');
      }
      await context.close();
    }
  },
  120_000,
);

inBrowser(
  'a token that the kernel refuses ends the session with a sentence, and the way back is kept',
  async () => {
    const { page, context } = await signedIn('Pat Platform', '/flags?a=1');
    await page.evaluate(
      "sessionStorage.setItem('rk:token', sessionStorage.getItem('rk:token').slice(0, -8) + 'AAAAAAAA')",
    );
    await page.reload();
    await page.getByText('Your session has ended.').waitFor();
    expect(await page.evaluate("sessionStorage.getItem('rk:token')")).toBeNull();
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('link', { name: 'Pat Platform' }).click();
    await heading(page, 'Flags');
    expect(page.url()).toBe(`${stack.url}/console/flags?a=1`);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByText('You are signed out.').waitFor();
    expect(await violations(page)).toEqual([]);
    await context.close();
  },
);

inBrowser('an answer that this tab did not ask for signs nobody in', async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${stack.url}/console/signed-in?code=abc&state=def`);
  await page.getByText('The sign-in did not succeed.').waitFor();
  await page.goto(`${stack.url}/console/sites`);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('link', { name: 'Pat Platform' }).waitFor();
  const forged = new URL(page.url());
  forged.searchParams.set('state', 'of-somebody-else');
  await page.goto(forged.href);
  await page.getByRole('link', { name: 'Pat Platform' }).click();
  await page.getByText('The sign-in did not succeed.').waitFor();
  expect(await page.evaluate("sessionStorage.getItem('rk:token')")).toBeNull();
  await context.close();
});

inBrowser('a token that a tool left in admin_token is the session, also at the short address', async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${stack.url}/console`);
  const token = await stack.issuer.token(named('Pat Platform'));
  await page.evaluate(`localStorage.setItem('admin_token', '${token}')`);
  await page.goto(`${stack.url}/finance/withdrawals`);
  await heading(page, 'Withdrawals');
  await context.close();
});

inBrowser(
  'a lost network says since when and as of when, keeps what was shown, and goes by itself',
  async () => {
    const { page, context } = await signedIn('Pat Platform', '/flags');
    await heading(page, 'Flags');
    await context.setOffline(true);
    const banner = page.locator('.banner');
    await banner.waitFor();
    expect(await banner.textContent()).toMatch(
      /^No connection since \d\d:\d\d UTC; showing what was known at \d\d:\d\d:\d\d UTC\.$/,
    );
    await heading(page, 'Flags');
    await context.setOffline(false);
    await banner.waitFor({ state: 'detached' });
    await context.close();
  },
);

inBrowser('a tab that is older than what is deployed offers to load again', async () => {
  const { page, context } = await signedIn('Pat Platform', '/flags');
  await page.route('**/config.json', async (route) => {
    const settings = await (await route.fetch()).json();
    await route.fulfill({ json: { ...settings, build: 'another' } });
  });
  await page.evaluate("dispatchEvent(new Event('online'))");
  await page.getByText('A newer console is deployed.').waitFor();
  await page.getByRole('button', { name: 'Reload' }).click();
  await heading(page, 'Flags');
  expect(await page.locator('.banner').count()).toBe(0);
  await context.close();
});

inBrowser('every page is reached by the keyboard, and an id leads to what it may be of', async () => {
  const { page, context, errors } = await signedIn('Pat Platform', '/api');
  await page.keyboard.press('Tab');
  expect(await page.evaluate('document.activeElement.textContent')).toBe('Skip to the content');
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Keyboard' }).waitFor();
  expect(await violations(page, [360, 1440])).toEqual([]);
  await page.keyboard.press('Escape');
  await page.keyboard.press('g');
  await page.keyboard.press('w');
  await heading(page, 'Withdrawals');
  expect(await page.evaluate('document.activeElement.tagName')).toBe('H1');
  await page.keyboard.press('/');
  await page.keyboard.type('0d000000-0000-4000-8000-000000000001');
  await page.keyboard.press('Enter');
  expect(await page.locator('.search-choices button').allTextContents()).toEqual([
    'An event',
    'A withdrawal or transfer',
    'A player',
    'A finding',
    'A site',
  ]);
  await page.getByRole('button', { name: 'A finding' }).press('Enter');
  await page.waitForURL('**/findings/0d000000-0000-4000-8000-000000000001');
  await heading(page, 'Finding');
  await page.keyboard.press('/');
  await page.keyboard.press('Control+A');
  await page.keyboard.type('demo');
  await page.keyboard.press('Enter');
  await page.waitForURL('**/sites/demo');
  await expect.poll(() => page.evaluate('document.activeElement.tagName')).toBe('H1');
  expect(errors.filter((text) => !/404/.test(text))).toEqual([]); // there is no such finding
  await context.close();
});

inBrowser('a page that is long in coming takes no letter from a person who writes meanwhile', async () => {
  const { page, context } = await signedIn('Pat Platform', '/api');
  await heading(page, 'API');
  const { promise: come, resolve } = Promise.withResolvers<void>();
  await page.route('**/assets/Findings-*.js', (route) => come.then(() => route.continue()));
  await page.keyboard.press('g');
  await page.keyboard.press('f');
  await page.keyboard.press('/');
  await page.keyboard.type('de');
  resolve();
  await heading(page, 'Findings');
  await page.keyboard.type('mo');
  expect(await page.getByRole('searchbox').inputValue()).toBe('demo');
  await context.close();
});

inBrowser(
  'language, theme and time zone are kept, and the theme is there before the first paint',
  async () => {
    const { page, context } = await signedIn('Pat Platform', '/flags');
    await page.getByRole('combobox', { name: 'Theme' }).selectOption('dark');
    await page.getByRole('combobox', { name: 'Time zone' }).selectOption('local');
    await page.getByRole('combobox', { name: 'Language' }).selectOption('tr');
    await heading(page, 'Bayraklar');
    await page.reload();
    await heading(page, 'Bayraklar');
    expect(await page.locator('html').getAttribute('lang')).toBe('tr');
    expect(await page.locator('.live').textContent()).toMatch(/Canlı, \d\d:\d\d:\d\d GMT\+3 itibarıyla/);
    await page.addInitScript(
      "addEventListener('DOMContentLoaded', () => { globalThis.first = document.documentElement.dataset.theme; })",
    );
    await page.route('**/assets/*.js', (route) => route.abort());
    await page.reload();
    expect(await page.evaluate('globalThis.first')).toBe('dark');
    await context.close();
  },
);
