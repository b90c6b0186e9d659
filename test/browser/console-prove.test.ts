// Prove in the browser: the events of a frozen invoice, 100,000 in the proof, are hashed again by the page, and one changed byte is
// found and placed.
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect } from 'vitest';
import { proving } from '../faults/sections.ts';
import { behindGuards, freezeMonth, monthsAgo, plantRows } from '../support/frozen-month.ts';
import { openStack, type TestStack } from '../support/stack.ts';
import { enter, openBrowser, type Person } from './console.ts';
import { hasBrowser, inBrowser } from './shop.ts';

const month = monthsAgo(1);
/** Every seventh was refused: of 117,000, 100,286 count. */
const rows = proving ? 117_000 : 23_400;
let stack: TestStack;
let browser: Browser;
let person: Person;
let site: { id: string; public_id: string };
beforeAll(async () => {
  if (!hasBrowser) return;
  stack = await openStack();
  site = await stack.site();
  await plantRows(stack.database, site.id, month, rows);
  await freezeMonth(stack.database, site.id, month, 0);
  browser = await openBrowser();
  person = await enter(browser, stack, 'Pat Platform');
}, 180_000);
afterAll(async () => {
  await browser?.close();
  await stack?.close();
});

async function prove(): Promise<string> {
  await person.open(`/sites/${site.public_id}/invoices/${month}`);
  const main = person.page.getByRole('main');
  await main
    .getByRole('button', { name: /^Prove/ })
    .first()
    .click();
  const ended = main.getByText(/Proved: |Not proved/);
  await ended.first().waitFor({ timeout: 120_000 });
  return (await main.textContent()) ?? '';
}

inBrowser(`an invoice of ${rows} rows is proved by the page itself`, { timeout: 180_000 }, async () => {
  expect(await prove()).toMatch(new RegExp(`Proved: ${rows.toLocaleString('en')} rows, hash [0-9a-f]`));
  expect(person.complaints).toEqual([]);
});

inBrowser(
  'one byte changed in the database fails the proof, and the day is named',
  { timeout: 180_000 },
  async () => {
    const day = `${month}-11`;
    await behindGuards(stack.database, () =>
      stack.database.query(
        `update ingest_idempotency set payload_hash = set_byte(payload_hash, 31, get_byte(payload_hash, 31) # 1)
        where site_id = $1 and id = (select min(id) from ingest_idempotency where site_id = $1 and utc_text(created_at) >= $2)`,
        [site.id, day],
      ),
    );
    const named = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeZone: 'UTC' });
    expect(await prove()).toContain(`1 day is not as it was sealed: ${named.format(new Date(day))}`);
  },
);
