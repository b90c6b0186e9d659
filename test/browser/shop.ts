// A site whose pages carry the tracker, a browser that visits it, and what the kernel's ledger then holds.
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import pg from 'pg';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { openStack, type TestStack } from '../support/stack.ts';
import { type Door, openDoor } from './door.ts';

export const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
export const hasBrowser = existsSync(executablePath);
if (!hasBrowser) process.stdout.write(`No browser at ${executablePath}: the browser tests are skipped.\n`);
/** A test that needs a browser; skipped, and counted as skipped, where there is none. */
export const inBrowser = test.skipIf(!hasBrowser);

export interface Shop {
  url: string;
  stack: TestStack;
  browser: Browser;
  /** A door of its own, so that tests can run side by side. */
  visit(options?: VisitOptions): Promise<Visit>;
  close(): Promise<void>;
}

interface VisitOptions {
  limit?: number;
  rate_limit?: number;
  /** Attributes of the script tag. */
  tag?: string;
  /** Runs in each page before anything else. */
  before?: string;
}

/** One person's browser at the shop. */
export interface Visit {
  site: string;
  id: string;
  door: Door;
  context: BrowserContext;
  /** What pages complained of, without the browser's own lines on requests that failed. */
  complaints: string[];
  open(path?: string): Promise<Page>;
  /** Events of the site in the ledger: those that count, and how many there are of each. */
  ledger(): Promise<{ billable: number; rows: number }>;
  /** Resolves when so many count; fails when there are more, or too few in time. */
  holds(events: number, patience_ms?: number): Promise<void>;
  health(): Promise<{
    loss: { missing: string; lost: string; reported: Record<string, string> };
    requests: { retried: string };
  }>;
  close(): Promise<void>;
}

export async function openShop(): Promise<Shop> {
  const stack = await openStack();
  const database = new pg.Pool({ connectionString: stack.postgres.superuserUrl });
  const browser = await chromium.launch({
    executablePath,
    args: ['--no-sandbox', '--disable-dev-shm-usage'],
  });
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://shop');
    response.writeHead(200, { 'content-type': 'text/html' });
    response.end(pageOf(url.searchParams.get('kernel') ?? '', url.searchParams.get('tag') ?? ''));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    stack,
    browser,
    visit: (options) => visit(stack, database, browser, url, options),
    async close() {
      await browser.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await database.end();
      await stack.close();
    },
  };
}

const pageOf = (
  kernel: string,
  tag: string,
) => `<!doctype html><title>Shop</title><link rel="icon" href="data:,">
<script src="${kernel}/tracker.js" ${tag}></script><button onclick="kernel.track('shop', 'click')">Buy</button>`;

async function visit(
  stack: TestStack,
  database: pg.Pool,
  browser: Browser,
  url: string,
  { limit = 100_000, rate_limit = 100_000, tag = '', before }: VisitOptions = {},
): Promise<Visit> {
  const plan = { monthly_limit: String(limit) };
  const { body } = await stack.admin('POST', '/sites', { name: 'Shop', origins: [url], rate_limit, plan });
  const { id, public_id: site } = body as { id: string; public_id: string };
  const door = await openDoor(stack.url);
  const context = await browser.newContext();
  if (before) await context.addInitScript(before);
  const complaints: string[] = [];
  context.on('console', (message) => {
    const own = message.text().startsWith('Failed to load resource');
    if (message.type() === 'error' && !own) complaints.push(message.text());
  });
  context.on('weberror', (error) => complaints.push(String(error.error())));
  const ledger = async () => {
    const { rows } = await database.query(
      `select count(*) filter (where billable)::int billable, count(*)::int "rows" from ingest_idempotency where site_id = $1`,
      [id],
    );
    return rows[0] as { billable: number; rows: number };
  };
  return {
    ...{ site, id, door, context, complaints, ledger },
    async open(path = '/') {
      const page = await context.newPage();
      const query = new URLSearchParams({ kernel: door.url, tag: `data-site="${site}" ${tag}` });
      await page.goto(`${url}${path}?${query}`);
      return page;
    },
    async holds(events, patience_ms = 30_000) {
      await eventually(async () => (await ledger()).billable, events, patience_ms);
    },
    health: async () => (await stack.admin('GET', `/sites/${site}/tracker`)).body,
    async close() {
      await context.close();
      await door.close();
    },
  };
}

/** Fails when what is asked for does not become as expected in time. */
export async function eventually<Value>(
  ask: () => Value | Promise<Value>,
  expected: Value,
  patience_ms = 30_000,
) {
  const until = Date.now() + patience_ms;
  const same = async () => JSON.stringify(await ask()) === JSON.stringify(expected);
  while (!(await same()) && Date.now() < until) await pause(50);
  expect(await ask()).toEqual(expected);
}

/** Has the page track so many events. */
export function track(page: Page, events: number, label = 'x'): Promise<void> {
  return page.evaluate(
    `for (let n = 0; n < ${events}; n++) kernel.track('shop', 'view', { label: ${JSON.stringify(label)} + n })`,
  );
}

/** Keys that the tracker left in the storage of the page's origin. */
export function kept(page: Page): Promise<string[]> {
  return page.evaluate(`Object.keys(localStorage).filter((key) => key.startsWith('rk:'))`);
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
