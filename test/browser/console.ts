// A person at the console: a browser on the running stack, with the token of a demo user.
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { type FillOptions, fillDemo } from '../../demo/fill.ts';
import { type DemoUser, demoUsers } from '../../local/issuer.ts';
import { cronSecretOf } from '../support/callers.ts';
import type { TestStack } from '../support/stack.ts';
import { executablePath } from './shop.ts';

export interface Person {
  page: Page;
  context: BrowserContext;
  /** What the pages complained of, without the browser's own lines on answers that are no 2xx. */
  complaints: string[];
  /** Opens a page of the console, by its path below /console, and waits until its own heading stands and nothing loads. */
  open(path: string): Promise<void>;
  close(): Promise<void>;
}

export function openBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
}

/** A demo user by name, or somebody else, whose token lies where a tool would put it. */
export async function enter(browser: Browser, stack: TestStack, who: string | DemoUser): Promise<Person> {
  const user = typeof who === 'string' ? (demoUsers.find(({ name }) => name === who) as DemoUser) : who;
  const token = await stack.issuer.token(user);
  const context = await browser.newContext({ locale: 'en-GB', viewport: { width: 1440, height: 900 } });
  const keep = `localStorage.setItem('admin_token', ${JSON.stringify(token)})`;
  await context.addInitScript(`if (location.protocol === 'http:') ${keep}`); // an empty tab has no storage
  const complaints: string[] = [];
  context.on('console', (message) => {
    const refused = message.text().startsWith('Failed to load resource');
    if (message.type() === 'error' && !refused) complaints.push(message.text());
  });
  context.on('weberror', (error) => complaints.push(String(error.error())));
  const page = await context.newPage();
  return {
    ...{ page, context, complaints },
    async open(path) {
      await page.goto(`${stack.url}/console${path}`);
      await page.getByRole('heading', { level: 1 }).waitFor();
      await page.waitForLoadState('networkidle');
    },
    close: () => context.close(),
  };
}

/** Fills the stack as `npm run demo` does. */
export function demo(
  stack: TestStack,
  options: FillOptions,
  said: (sentence: string) => void = () => undefined,
) {
  const { url, issuer, postgres } = stack;
  const target = { url, database_url: postgres.superuserUrl, cron_secret: cronSecretOf(stack), issuer };
  return fillDemo(target, options, said);
}
