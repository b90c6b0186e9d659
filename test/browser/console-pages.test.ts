// Every page of the console on a stack that the demo filled: access, roles, the planted faults, a lost network, the other language.
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import type { Fault } from '../../demo/faults.ts';
import { fakeClock } from '../../local/schedule/clock.ts';
import { violations } from '../console/axe.ts';
import { monthsAgo } from '../support/frozen-month.ts';
import { openStack, type TestStack } from '../support/stack.ts';
import { demo, enter, openBrowser, type Person } from './console.ts';
import { hasBrowser, inBrowser } from './shop.ts';

const month = monthsAgo(1);
const site = '/sites/demo-northwind';
const paths = [
  ...[
    '/',
    '/sites',
    site,
    '/events?site=demo-northwind',
    '/plans',
    `${site}/invoices`,
    `${site}/invoices/${month}`,
  ],
  ...['/dispute', '/wallets', '/finance/withdrawals', '/findings', '/jobs', '/flags', '/audit', '/api'],
];

let stack: TestStack;
let browser: Browser;
let faults: Fault[];
let person: Person;
beforeAll(async () => {
  if (!hasBrowser) return;
  stack = await openStack({ clock: fakeClock(new Date()) }); // no job mends what was planted
  faults = await demo(stack, { events: 400, tamper: true });
  browser = await openBrowser();
  person = await enter(browser, stack, 'Pat Platform');
}, 180_000);
afterAll(async () => {
  await browser?.close();
  await stack?.close();
});
const fault = (name: Fault['name']) => faults.find((one) => one.name === name) as Fault;
const main = (who = person) => who.page.getByRole('main');

inBrowser.each(paths)(
  '%s breaks no rule of access, in both themes and at three widths, and complains of nothing',
  { timeout: 120_000 },
  async (path) => {
    await person.open(path);
    expect(await violations(person.page)).toEqual([]);
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

describe('each planted fault is found by following what the overview shows', () => {
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
    await person.open(`${site}/invoices/${at.slice(0, 7) || month}`);
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
