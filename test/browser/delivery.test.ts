// The tracker in a real browser against the running stack: whatever happens to page, network and kernel, an event counts once.
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { eventually, hasBrowser, inBrowser, kept, openShop, pause, type Shop, track } from './shop.ts';

/** The whole minute of the claim; shorter in the check. */
const down_ms = process.env.PROOF ? 60_000 : 4_000;

let shop: Shop;
beforeAll(async () => {
  if (hasBrowser) shop = await openShop();
});
afterAll(() => shop?.close());

inBrowser('a page that pins the script by its hash runs it, and one with another hash does not', async () => {
  const about = (await (await fetch(`${shop.stack.url}/tracker.json`)).json()) as { integrity: string };
  for (const [hash, verb] of [
    [about.integrity, 'function'],
    [`sha384-${'A'.repeat(64)}`, 'undefined'],
  ]) {
    const visit = await shop.visit({ tag: `crossorigin integrity="${hash}"` });
    const page = await visit.open();
    expect(await page.evaluate('typeof window.kernel?.track')).toBe(verb);
    await visit.close();
  }
});

describe.concurrent('every tracked event is in the ledger once', { timeout: 120_000 }, () => {
  inBrowser(
    'by default: one request for ten events, no preflight, nothing in console or storage',
    async () => {
      const visit = await shop.visit();
      const page = await visit.open();
      await track(page, 10);
      await visit.holds(10);
      await eventually(() => visit.door.passages.map(({ status }) => status), [200]);
      await eventually(() => kept(page), []);
      expect(visit.door.passages).toMatchObject([
        { method: 'POST', type: 'text/plain;charset=UTF-8', origin: shop.url, status: 200 },
      ]);
      expect([await kept(page), visit.complaints]).toEqual([[], []]);
      expect((await visit.health()).loss).toMatchObject({ missing: '0', reported: {} });
      await visit.close();
    },
  );

  inBrowser('with two tabs, navigation and reload', async () => {
    const visit = await shop.visit();
    const [one, two] = [await visit.open(), await visit.open()];
    await Promise.all([track(one, 5), track(two, 5)]);
    await one.reload();
    await track(one, 5);
    await two.goto(two.url().replace('/?', '/next?'));
    await track(two, 5);
    await one.close({ runBeforeUnload: true });
    await visit.holds(20);
    await eventually(() => kept(two), []); // what tabs left is taken over and sent
    await pause(500); // whatever was sent twice has come by now
    expect(await visit.ledger()).toEqual({ billable: 20, rows: 20 });
    expect([await kept(two), visit.complaints]).toEqual([[], []]);
    await visit.close();
  });

  inBrowser('after a tab crashed while nobody could be reached', async () => {
    const visit = await shop.visit();
    visit.door.fault = () => 'down';
    const doomed = await visit.open();
    await track(doomed, 7);
    await pause(300);
    const crash = doomed.waitForEvent('crash');
    await doomed.goto('chrome://crash').catch(() => undefined);
    await crash;
    visit.door.fault = () => 'pass';
    expect((await visit.ledger()).rows).toBe(0);
    const next = await visit.open();
    await visit.holds(7);
    await eventually(() => kept(next), []);
    await visit.close();
  });

  inBrowser('after a while offline, without a word in the console', async () => {
    const visit = await shop.visit();
    const page = await visit.open();
    await visit.context.setOffline(true);
    await track(page, 12);
    await pause(2_500);
    expect(visit.door.passages).toEqual([]);
    await visit.context.setOffline(false);
    await visit.holds(12);
    expect(visit.complaints).toEqual([]);
    await visit.close();
  });

  inBrowser('after a 503 with Retry-After, in seconds or as a date, which is waited for', async () => {
    const visit = await shop.visit();
    const waits = [() => '1', () => new Date(Date.now() + 3_000).toUTCString()];
    const asked_ms: number[] = [];
    visit.door.fault = () => {
      asked_ms.push(Date.now());
      const wait = waits.shift();
      return wait ? { status: 503, headers: { 'retry-after': wait() } } : 'pass';
    };
    const page = await visit.open();
    await track(page, 10);
    await visit.holds(10);
    const [first = 0, second = 0, third = 0] = asked_ms;
    expect(second - first).toBeGreaterThanOrEqual(1_000);
    expect(third - second).toBeGreaterThanOrEqual(2_000); // a date has whole seconds
    await eventually(async () => (await visit.health()).requests.retried, '1'); // the kernel saw the last one only
    await visit.close();
  });

  inBrowser(`after the kernel was down for ${down_ms / 1000} s`, async () => {
    const visit = await shop.visit();
    visit.door.fault = () => 'down';
    const page = await visit.open();
    for (let n = 0; n < 4; n++) {
      await track(page, 5);
      await pause(down_ms / 4);
    }
    visit.door.fault = () => 'pass';
    await visit.holds(20, 2 * down_ms + 20_000);
    expect(visit.complaints).toEqual([]);
    await visit.close();
  });

  inBrowser('through the rate limit, which is waited for', async () => {
    const visit = await shop.visit({ rate_limit: 1 });
    visit.door.retry_after_max_s = 2;
    const page = await visit.open();
    const { passages } = visit.door;
    let requests = 0;
    while (passages.at(-1)?.status !== 429 && requests < 4) {
      // a minute may begin between two of them
      await track(page, 10, `request ${++requests}`);
      await eventually(() => (passages[requests - 1]?.status ?? 0) > 0, true);
    }
    const asked = passages.length;
    expect(passages.at(-1)?.status).toBe(429);
    await pause(1_500);
    expect(passages).toHaveLength(asked);
    visit.door.address = '127.0.0.2'; // as the next minute would: another window
    await visit.holds(10 * requests);
    await visit.close();
  });

  inBrowser(
    'through the quota, which is not asked again before the month ends or another page begins',
    async () => {
      const visit = await shop.visit({ limit: 4 });
      const page = await visit.open();
      await track(page, 10);
      await visit.holds(4);
      await track(page, 20, 'later');
      await pause(4_000);
      expect(visit.door.passages).toHaveLength(1);
      await page.reload();
      await eventually(() => visit.door.passages.at(-1)?.status, 429);
      await shop.stack.admin('PUT', `/sites/${visit.site}/plan`, { monthly_limit: '1000' });
      await page.reload();
      await visit.holds(30);
      expect(visit.complaints).toEqual([]);
      await visit.close();
    },
  );

  inBrowser('with a storage that is full, and with one that is disabled', async () => {
    const fill = `try { for (let size = 1 << 22; size; size >>= 1) for (;;) { try { localStorage.setItem('fill' + Math.random(), 'x'.repeat(size)) } catch { break } } } catch {}`;
    const disable = `Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('denied', 'SecurityError') } })`;
    for (const before of [fill, disable]) {
      const visit = await shop.visit({ before });
      visit.door.fault = () => (visit.door.passages.length < 3 ? { status: 503 } : 'pass');
      const page = await visit.open();
      await track(page, 15);
      await visit.holds(15);
      await track(page, 3);
      await page.goto('about:blank');
      await visit.holds(18);
      expect(visit.complaints).toEqual([]);
      await visit.close();
    }
  });

  inBrowser('from a clock two hours off, either way', async () => {
    for (const off_ms of [7_200_000, -7_200_000]) {
      const visit = await shop.visit({
        before: `{ const now = Date.now; Date.now = () => now() + ${off_ms} }`,
      });
      const page = await visit.open();
      await track(page, 10);
      await visit.holds(10);
      expect(await visit.health()).toMatchObject({ clocks: { hours_off: '1' }, loss: { missing: '0' } });
      await visit.close();
    }
  });

  inBrowser('and two equal clicks are two, while one that is sent six times is one', async () => {
    const visit = await shop.visit({ before: 'Math.random = () => 0.05' }); // hardly a pause between retries
    const page = await visit.open();
    await page.getByRole('button').dblclick();
    await page.evaluate('kernel.flush()');
    await visit.holds(2);
    let lost = 0;
    visit.door.fault = () => (++lost <= 5 ? 'lose' : 'pass');
    await page.getByRole('button').click();
    await page.evaluate('kernel.flush()');
    await eventually(() => lost, 6);
    await visit.holds(3);
    expect(await visit.ledger()).toEqual({ billable: 3, rows: 3 });
    const ids = visit.door.passages.slice(1).map(({ body }) => JSON.parse(body).e[0].i);
    expect(new Set(ids).size).toBe(1);
    await eventually(async () => Number((await visit.health()).requests.retried) >= 4, true); // one more may be the browser's own
    await visit.close();
  });
});
