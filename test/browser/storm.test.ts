// Many tabs under random faults: what is in the ledger and what the trackers say they dropped are together what was tracked.
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect } from 'vitest';
import { random as seeded } from '../support/random.ts';
import type { Fault } from './door.ts';
import { eventually, hasBrowser, inBrowser, openShop, pause, type Shop, track, type Visit } from './shop.ts';

const tabs_max = Number(process.env.TABS ?? (process.env.PROOF ? 50 : 10));
const events_max = Number(process.env.EVENTS ?? (process.env.PROOF ? 10_000 : 1_000));
const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
const tabs_of_one_person = 5;
const round_events = 20;
const source = seeded(seed);
const random = () => source.below(1_000) / 1_000;

let shop: Shop;
beforeAll(async () => {
  if (hasBrowser) shop = await openShop();
});
afterAll(() => shop?.close());

function anyFault(): Fault {
  const draw = random();
  if (draw < 0.5) return 'pass';
  if (draw < 0.65) return 'lose';
  if (draw < 0.8) return 'down';
  if (draw < 0.9) return { status: 503, headers: draw < 0.85 ? { 'retry-after': '1' } : {} };
  return { status: 429, headers: { 'retry-after': '1', 'x-opsmantik-ratelimit': '1' } };
}

/** As a person closes a tab: the page is told. */
async function leave(page: Page): Promise<void> {
  const closed = page.waitForEvent('close');
  await page.close({ runBeforeUnload: true });
  await closed;
}

/** What becomes of a tab between two rounds; the answer is the tab that goes on. */
async function upset(visit: Visit, page: Page): Promise<Page> {
  const draw = random();
  if (draw < 0.25) await page.reload();
  else if (draw < 0.4) await page.goto(page.url().replace(/\/\w*\?/, `/page${Math.floor(draw * 1_000)}?`));
  else if (draw < 0.5) await leave(page);
  else if (draw < 0.6) {
    const crash = page.waitForEvent('crash');
    await page.goto('chrome://crash').catch(() => undefined);
    await crash;
    await page.close();
  } else await pause(200 * draw);
  return page.isClosed() ? visit.open() : page;
}

async function visitor(visit: Visit, events: number): Promise<Page> {
  let page = await visit.open();
  for (let left = events; left > 0; left -= round_events) {
    const label = 'x'.repeat(random() < 0.1 ? 4_000 : 20); // now and then more than the queue holds
    await track(page, Math.min(left, round_events), label);
    page = await upset(visit, page);
  }
  return page;
}

inBrowser(
  `${events_max} events from ${tabs_max} tabs: ledger + reported drops = tracked (SEED=${seed})`,
  { timeout: 600_000 },
  async () => {
    const people = Math.ceil(tabs_max / tabs_of_one_person);
    const visits = await Promise.all(Array.from({ length: people }, () => shop.visit()));
    for (const { door } of visits) door.fault = anyFault;
    const each = events_max / tabs_max;
    const pages = await Promise.all(
      Array.from({ length: tabs_max }, (_, n) => visitor(visits[n % people] as Visit, each)),
    );
    let dropped = 0;
    let billable = 0;
    for (const [n, visit] of visits.entries()) {
      const tabs = pages.filter((_, tab) => tab % people === n);
      visit.door.fault = () => 'pass';
      for (const page of tabs) await page.reload(); // takes over what others left
      await eventually(() => waiting(tabs[0] as Page), 0, 60_000);
      for (const page of tabs) await track(page, 1, 'last'); // carries a report that waits
      const tracked = tabs.length * (each + 1);
      await eventually(async () => (await counted(visit)).total, tracked, 60_000);
      const { reported, lost, ledger } = await counted(visit);
      expect({ lost, rows: ledger.rows }).toEqual({ lost: reported, rows: ledger.billable });
      expect(visit.complaints).toEqual([]);
      dropped += reported;
      billable += ledger.billable;
    }
    expect(billable + dropped).toBe(events_max + tabs_max);
    process.stdout.write(`storm: ${billable} in the ledger, ${dropped} reported as dropped, seed ${seed}\n`);
    await Promise.all(visits.map((visit) => visit.close()));
  },
);

/** Events in the storage of the page's origin; a report may lie there alone, for an event to carry it. */
function waiting(page: Page): Promise<number> {
  return page.evaluate(
    `Object.keys(localStorage).reduce((sum, key) => sum + JSON.parse(localStorage.getItem(key))[0].length, 0)`,
  );
}

async function counted(visit: Visit) {
  const ledger = await visit.ledger();
  const { loss } = await visit.health();
  const reported = Object.values(loss.reported).reduce((sum, events) => sum + Number(events), 0);
  return { ledger, reported, lost: Number(loss.lost), total: ledger.billable + reported };
}
