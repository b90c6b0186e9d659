// `npm run screenshots`: a picture of every page of the console on the running stack, in both themes; fill it with `npm run demo` first.
import { existsSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';

const root = join(import.meta.dirname, '..');
const folder = join(root, '.local/screenshots');
const size = { width: 1280, height: 860 };
const site = 'demo-northwind';
const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';

interface StackFile {
  url: string;
  secrets: { admin_token: string };
  users: { role: string; token: string }[];
}

const lastMonth = () => {
  const now = new Date();
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - 1, 1)).toISOString().slice(0, 7);
};

/** By the name of the picture. */
const pages: Record<string, string> = {
  overview: '/',
  sites: '/sites',
  site: `/sites/${site}`,
  events: `/events?site=${site}`,
  plans: '/plans',
  invoices: `/sites/${site}/invoices`,
  invoice: `/sites/${site}/invoices/${lastMonth()}`,
  dispute: '/dispute',
  wallets: '/wallets',
  withdrawals: '/finance/withdrawals',
  findings: '/findings',
  jobs: '/jobs',
  flags: '/flags',
  audit: '/audit',
  api: '/api',
};

/** Works on the page before its picture is taken. */
const steps: Record<string, (page: Page) => Promise<void>> = {
  async invoice(page) {
    await page
      .getByRole('button', { name: /^Prove/ })
      .first()
      .click();
    await page
      .getByText(/Proved: |Not proved/)
      .first()
      .waitFor();
  },
};

/** @throws Error in one sentence when no stack runs, or there is no browser. */
function runningStack(): StackFile {
  const file = join(root, '.local/stack.json');
  if (!existsSync(file))
    throw new Error('No local stack runs (.local/stack.json): start one with npm start.');
  if (!existsSync(executablePath))
    throw new Error(`There is no browser at ${executablePath}: name one in CHROMIUM.`);
  return JSON.parse(readFileSync(file, 'utf8'));
}

async function take(browser: Browser, url: string, name: string, path: string, token: string) {
  for (const colorScheme of ['light', 'dark'] as const) {
    const context = await browser.newContext({ viewport: size, colorScheme, locale: 'en-GB' });
    await context.addInitScript(`localStorage.setItem('admin_token', ${JSON.stringify(token)})`);
    const page = await context.newPage();
    await page.goto(`${url}/console${path}`);
    await page.getByRole('heading', { level: 1 }).waitFor();
    await page.waitForLoadState('networkidle');
    await steps[name]?.(page);
    const file = join(folder, `${name}-${colorScheme}.png`);
    await page.screenshot({ path: file });
    process.stdout.write(`${file.slice(root.length + 1)}\n`);
    await context.close();
  }
}

try {
  const { url, secrets, users } = runningStack();
  await mkdir(folder, { recursive: true });
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
  try {
    for (const [name, path] of Object.entries(pages))
      await take(browser, url, name, path, secrets.admin_token);
    const player = users.find(({ role }) => role === 'player')?.token ?? '';
    await take(browser, url, 'player-wallet', '/player/wallet', player);
  } finally {
    await browser.close(); // it would keep this process
  }
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
