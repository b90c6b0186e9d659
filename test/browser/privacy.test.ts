// What a person decides is kept: Global Privacy Control and consent, in a real browser, down to what the kernel stored.
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { eventually, hasBrowser, inBrowser, kept, openShop, pause, type Shop, track } from './shop.ts';

const asks_for_privacy = `Object.defineProperty(navigator, 'globalPrivacyControl', { value: true })`;

let shop: Shop;
beforeAll(async () => {
  if (hasBrowser) shop = await openShop();
});
afterAll(() => shop?.close());

/** What was delivered of the site's first event. */
async function stored(site: string): Promise<Record<string, unknown>> {
  const read = 'select payload from events where site_id = $1 order by id limit 1';
  const found = async () => (await shop.stack.database.query(read, [site])).rows[0]?.payload;
  await eventually(async () => (await found()) !== undefined, true);
  return found();
}

describe.concurrent('under Global Privacy Control', { timeout: 60_000 }, () => {
  inBrowser('an event is counted, without address, label, value and all else', async () => {
    const visit = await shop.visit({ before: asks_for_privacy });
    const page = await visit.open('/private/path');
    await page.evaluate(
      `kernel.track('shop', 'buy', { label: 'x', value: 1, url: 'https://x/', meta: { a: 1 } })`,
    );
    await page.evaluate('kernel.flush()');
    await visit.holds(1);
    const payload = await stored(visit.id);
    expect(Object.keys(payload).sort()).toEqual(['ea', 'ec', 'i', 'n', 'p', 't', 'url']);
    expect(payload).toMatchObject({ ec: 'shop', ea: 'buy', url: shop.url });
    await visit.close();
  });

  inBrowser(
    'nothing is sent or kept when the site wants it so, and all of it when it takes no notice',
    async () => {
      const silent = await shop.visit({ before: asks_for_privacy, tag: 'data-gpc="drop"' });
      const page = await silent.open();
      await track(page, 12);
      await pause(2_300);
      expect([silent.door.passages, await kept(page)]).toEqual([[], []]);
      await silent.close();
      const deaf = await shop.visit({ before: asks_for_privacy, tag: 'data-gpc="ignore"' });
      await track(await deaf.open('/path'), 10, 'seen');
      await deaf.holds(10);
      expect(await stored(deaf.id)).toMatchObject({
        el: 'seen0',
        url: expect.stringContaining('/path?'),
      });
      await deaf.close();
    },
  );
});

describe.concurrent('consent', { timeout: 60_000 }, () => {
  inBrowser('that is pending holds events in memory only, and sends them when it is granted', async () => {
    const visit = await shop.visit({ tag: 'data-consent="pending"' });
    const page = await visit.open();
    await track(page, 12);
    await pause(2_300);
    expect([visit.door.passages, await kept(page)]).toEqual([[], []]);
    await page.evaluate(`kernel.consent('granted')`);
    await visit.holds(12);
    await visit.close();
  });

  inBrowser(
    'that is denied wipes the queue, of tabs that are gone too, and what was refused is no loss',
    async () => {
      const visit = await shop.visit();
      visit.door.fault = () => 'down';
      const gone = await visit.open();
      await track(gone, 3);
      await gone.close();
      const page = await visit.open();
      await track(page, 3);
      await eventually(async () => (await kept(page)).length > 0, true);
      await page.evaluate(`kernel.consent('denied'); kernel.track('shop', 'view')`);
      expect(await kept(page)).toEqual([]);
      visit.door.fault = () => 'pass';
      await pause(2_300);
      expect((await visit.ledger()).rows).toBe(0);
      await page.evaluate(`kernel.consent('granted'); kernel.track('shop', 'view'); kernel.flush()`);
      await visit.holds(1);
      expect((await visit.health()).loss).toMatchObject({ missing: '0', lost: '0', reported: {} });
      expect(visit.complaints).toEqual([]);
      await visit.close();
    },
  );
});

describe.concurrent('a tracker', { timeout: 60_000 }, () => {
  inBrowser('never throws into the page, and what cannot travel is reported by the next event', async () => {
    const visit = await shop.visit();
    const page = await visit.open();
    const thrown = await page.evaluate(`(async () => {
      const odd = [null, { meta: (() => { const a = {}; a.a = a; return a })() }, { value: 1n }, { label: 'x'.repeat(40_000) }, { get url() { throw 1 } }];
      try {
        for (const details of odd) kernel.track('shop', 'odd', details);
        kernel.push(['nothing', 1]);
        kernel.track('shop', 'fine');
        return await kernel.flush();
      } catch (error) { return String(error) }
    })()`);
    expect(thrown).toBe(true);
    await visit.holds(1);
    expect((await visit.health()).loss).toMatchObject({
      missing: '5',
      reported: { invalid: '5' },
      lost: '5',
    });
    expect(visit.complaints).toEqual([]);
    await visit.close();
  });

  inBrowser('that was stopped sends nothing, and the next page sends what waited', async () => {
    const visit = await shop.visit();
    const page = await visit.open();
    await track(page, 3);
    await page.evaluate(`kernel.stop(); kernel.track('shop', 'late')`);
    await pause(2_300);
    expect(visit.door.passages).toEqual([]);
    await page.reload();
    await visit.holds(3);
    await visit.close();
  });

  inBrowser('gives up what the kernel refuses for good, and says so with the next event', async () => {
    const visit = await shop.visit();
    visit.door.fault = () => (visit.door.passages.length === 1 ? { status: 403 } : 'pass');
    const page = await visit.open();
    await track(page, 10);
    await eventually(() => visit.door.passages.length, 1);
    await page.evaluate(
      `kernel.track('shop', 'view', { url: ' ' }); kernel.track('shop', 'view'); kernel.flush()`,
    );
    await visit.holds(1);
    await page.evaluate(`kernel.track('shop', 'view'); kernel.flush()`);
    await visit.holds(2);
    expect((await visit.health()).loss).toMatchObject({ reported: { refused: '11' }, lost: '11' });
    await visit.close();
  });
});
