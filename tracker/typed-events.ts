// What the types let through and what they do not: compiled by the check, never shipped.
import { createTracker } from './browser.ts';
import { createClient, type Outcome } from './server.ts';

interface ShopEvents {
  shop: { buy: { value: number; meta: { sku: string } }; view: { label?: string } };
  page: { view: object };
}

export async function typed(): Promise<Outcome> {
  const tracker = createTracker<ShopEvents>({ site: 's', gpc: 'drop', consent: 'pending' });
  tracker.track('shop', 'view');
  tracker.track('shop', 'view', { label: 'x', url: 'https://example.com/' });
  tracker.track('shop', 'buy', { value: 1, meta: { sku: 'a' } });
  // @ts-expect-error no such category
  tracker.track('shoop', 'view');
  // @ts-expect-error no such action of this category
  tracker.track('page', 'buy');
  // @ts-expect-error details that the map asks for
  tracker.track('shop', 'buy');
  // @ts-expect-error a detail of another type
  tracker.track('shop', 'buy', { value: 'one', meta: { sku: 'a' } });
  // @ts-expect-error no such state
  tracker.consent('maybe');
  // @ts-expect-error a site is needed
  createTracker({});

  const anything = createTracker({ site: 's' });
  anything.track('any', 'thing', { value: '12.50', meta: { deep: [1] } });
  // @ts-expect-error no detail of this name
  anything.track('any', 'thing', { price: 1 });

  const client = createClient<ShopEvents>({ site: 's', key: 'rk_', url: 'https://example.com/api/sync' });
  const outcome = await client.track('shop', 'view', { id: 'mine' });
  if (outcome.status === 'queued') outcome.ingest_id satisfies string;
  // @ts-expect-error what was refused by the quota has no receipt
  if (outcome.status === 'rejected_quota') outcome.ingest_id;
  return outcome;
}
