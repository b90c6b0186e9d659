// Read this first: what happens to one event, from the site it belongs to until every side has counted it.
import { beforeAll, expect, test } from 'vitest';
import { sharedStack } from '../support/shared-stack.ts';
import type { TestStack } from '../support/stack.ts';

let stack: TestStack;
beforeAll(async () => {
  stack = await sharedStack();
});

test('an event is accepted, delivered once and counted the same on every side; posting it again bills nothing', async () => {
  const site = await stack.site({ limit: 1_000 });
  const event = {
    s: site.public_id,
    i: 'order-4711',
    url: 'https://example.com/thanks',
    ec: 'shop',
    ea: 'purchase',
    basket: ['espresso', 'grinder'],
  };

  const first = await stack.sync(event);
  expect(first.status).toBe(200);
  expect(first.body).toMatchObject({ ok: true, status: 'queued', ingest_id: expect.any(String) });
  expect(first.headers.get('x-opsmantik-dedup')).toBe('0');
  expect(first.headers.get('x-opsmantik-quota-remaining')).toBe('999');

  await stack.delivered();
  expect(await stack.counts(site.id)).toEqual({ billable: 1, usage: 1, outbox: 0, events: 1, counter: 1 });
  const { rows } = await stack.database.query('select payload from events where site_id = $1', [site.id]);
  const { s: _names_the_site, ...payload } = event;
  expect(rows).toEqual([{ payload }]);

  const again = await stack.sync(event);
  expect(again.status).toBe(200);
  expect(again.body).toMatchObject({ ok: true, status: 'duplicate' });
  expect(again.headers.get('x-opsmantik-dedup')).toBe('1');
  await stack.delivered();
  expect(await stack.counts(site.id)).toEqual({ billable: 1, usage: 1, outbox: 0, events: 1, counter: 1 });
});

test('the usage of a site shows ledger, usage row, counter and delivered events side by side', async () => {
  const site = await stack.site({ limit: 10 });
  const events = ['a', 'b', 'c'].map((i) => ({ s: site.public_id, i, url: 'https://example.com/' }));
  expect((await stack.sync({ events })).status).toBe(200);
  await stack.delivered();

  const { status, body } = await stack.admin('GET', `/sites/${site.public_id}/usage`);
  expect(status).toBe(200);
  expect(body).toMatchObject({
    ok: true,
    site_id: site.id,
    year_month: new Date().toISOString().slice(0, 7),
    ledger: { billable: '3', overage: '0', rejected: '0', rows: '3' },
    usage_row: { event_count: '3', overage_count: '0' },
    counter: { used: '3' },
    events: { delivered: '3' },
    outbox: { waiting: '0' },
    limit: '10',
    remaining: '7',
    drift: '0',
  });
});

test('a full quota refuses the next event with 429, and the refusal is written but not billed', async () => {
  const site = await stack.site({ limit: 1 });
  const event = (i: string) => ({ s: site.public_id, i, url: 'https://example.com/' });
  expect((await stack.sync(event('fits'))).status).toBe(200);
  const refused = await stack.sync(event('too-many'));
  expect(refused.status).toBe(429);
  expect(refused.body).toMatchObject({ ok: false, status: 'rejected_quota' });
  await stack.delivered();
  expect(await stack.counts(site.id)).toEqual({ billable: 1, usage: 1, outbox: 0, events: 1, counter: 1 });
  const { body } = await stack.admin('GET', `/sites/${site.public_id}/usage`);
  expect(body.ledger).toEqual({ billable: '1', overage: '0', rejected: '1', rows: '2' });
});
