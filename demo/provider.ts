// What payment providers said: a shop's orders and refunds of three months from a file, and the mock provider's webhooks and list.
import type { Player } from './money.ts';
import { random } from './random.ts';
import { type Demo, until, userOf } from './stack.ts';

const provider = 'paynow';
const products: [id: string, points: string][] = [
  ['starter-pack', '500'],
  ['gold-pack', '2400'],
];
const orders = 36;
const refund_every = 9;
const day_ms = 24 * 3_600_000;
const run_days = 30;

/** Orders of the shop, imported as its history and applied by a backfill; how many events there were. */
export async function importHistory(demo: Demo, players: Player[], from: Date, now: Date): Promise<number> {
  const admin = demo.as(userOf('platform-admin'));
  for (const [product_id, points] of products)
    await admin('PUT', '/api/v1/admin/products', { provider, product_id, points });
  const source = random(5);
  const buyers = players.filter(({ tenant }) => tenant === 'default');
  const span_ms = now.getTime() - day_ms - from.getTime();
  const events = Array.from({ length: orders }, (_, n) => {
    const at = new Date(from.getTime() + (span_ms * n) / orders + source.below(day_ms));
    const buyer = source.pick(buyers);
    const customer = { id: `cus_${buyer.id.slice(-4)}`, metadata: { uid: buyer.id } };
    const [product_id] = source.pick(products);
    const order = { id: `ord_${1_001 + n}`, lines: [{ id: `ord_${1_001 + n}-1`, product_id, quantity: 1 }] };
    const told = (event_type: string, later_ms: number) => ({
      ...{ id: `evt_${event_type.slice(3, 9).toLowerCase()}_${1_001 + n}`, event_type, customer, order },
      created_at: new Date(at.getTime() + later_ms).toISOString(),
    });
    const refunded = n % refund_every === refund_every - 1;
    return [told('ON_ORDER_COMPLETED', 0), ...(refunded ? [told('ON_REFUND', day_ms / 2)] : [])];
  }).flat();
  const service = demo.as(userOf('service'));
  await service('POST', '/api/jobs/provider-events', { provider, events });
  const days = { startDate: from.toISOString().slice(0, 10), endDate: now.toISOString().slice(0, 10) };
  await service('POST', '/api/jobs/backfill', { ...days, dryRun: true });
  await service('POST', '/api/jobs/backfill', days);
  return events.length;
}

/** Has the mock provider call back, and what it said applied. */
export async function hearWebhooks(demo: Demo): Promise<void> {
  await until('Working through the webhooks', async () => {
    const { sent, waiting } = (await demo.cron('/api/cron/payments-process')).body;
    return sent === 0 && Number(waiting) === 0;
  });
}

/** Compares the wallets with their entries, and the provider's list of the last weeks with the ledger; how many findings are open then. */
export async function reconcile(demo: Demo, now: Date): Promise<number> {
  await demo.as(userOf('service'))('POST', '/api/jobs/reconcile', {});
  const admin = demo.as(userOf('platform-admin'));
  const order = {
    ...{ provider: 'mockpsp', window_start: new Date(now.getTime() - run_days * day_ms).toISOString() },
    ...{ window_end: new Date(Date.now() + 60_000).toISOString(), idempotency_key: 'demo' },
  };
  const runs = '/api/v1/reconciliation/runs';
  let { run } = (await admin('POST', runs, order)).body;
  await until('The reconciliation of the provider', async () => {
    ({ run } = (await admin('GET', `${runs}/${run.id}`)).body);
    return !['queued', 'running'].includes(run.status);
  });
  if (run.status !== 'completed')
    throw new Error(`The reconciliation of the provider is ${run.status}: ${run.error?.message}`);
  return (await admin('GET', '/api/v1/payments/reconciliation/findings?status=OPEN')).body.meta.total;
}
