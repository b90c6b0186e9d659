// PayNow through the door: orders become points by the catalogue, once a line, and what comes back never takes more than was credited.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { callAs, tokenOf } from '../support/job-doors.ts';
import { violations } from '../support/money.ts';
import { type Call, caller, openPlayer } from '../support/money-doors.ts';
import { openStack, type TestStack } from '../support/stack.ts';
import { post, signPayNow } from '../support/webhooks.ts';

let stack: TestStack;
let admin: Call;
let finance: Call;
let secret: string;
beforeAll(async () => {
  stack = await openStack();
  admin = await caller(stack, ['platform-admin', 'finance']);
  finance = await caller(stack, ['finance']);
  const { ref } = stack.resource('AWS::SecretsManager::Secret', 'Paymentspaynow');
  secret = stack.state.secret(ref.split(':').at(-1) ?? '');
  await sells('gold', '100');
  await sells('silver', '7');
});
afterAll(async () => {
  expect(await violations(stack.database)).toEqual([]);
  await stack.close();
});

const sells = (product_id: string, points: string) =>
  admin('PUT', '/admin/products', { provider: 'paynow', product_id, points });

interface Buyer {
  id: string;
  customer: object;
  points(): Promise<string>;
}

async function buyer(customer?: object): Promise<Buyer> {
  const { id, call } = await openPlayer(stack);
  const points = async () =>
    (await call('GET', '/player/wallet/balance?currency=POINTS')).body.available_real as string;
  return { id, customer: customer ?? { id: `cus_${id}`, metadata: { uid: id } }, points };
}

/** As PayNow sends it; what was taken has been tried once when this resolves. */
async function tell(event_type: string, { customer }: Buyer, order: object, id: string = randomUUID()) {
  const raw = JSON.stringify({ id, event_type, customer, ...order });
  const { status, body } = await post(stack, '/payments/webhook/paynow', raw, signPayNow(raw, secret));
  await stack.delivered();
  return [status, body.idempotent ?? body.code];
}

const one = (orderId: string, productId = 'gold', quantity = 1) => ({
  order: { id: orderId, lines: [{ id: `${orderId}-1`, product_id: productId, quantity }] },
});
const eventOf = async (id: string) =>
  (
    await stack.database.query(
      'select status, attempts, last_error from provider_events where event_id = $1',
      [id],
    )
  ).rows[0];

/** Its next try is due at once; the schedule works through what is. */
async function tryAgain(id: string): Promise<void> {
  await stack.database.query('update provider_events set next_attempt_at = now() where event_id = $1', [id]);
  await stack.functions.invoke(stack.functionName('process'), {});
}

async function replay() {
  const day = new Date().toISOString().slice(0, 10);
  const window = { type: 'webhook_replay', startDate: day, endDate: day };
  return (await callAs(stack, await tokenOf(stack, 'service'), '/api/jobs/backfill', window)).body.results;
}

describe('an order', () => {
  test('credits each line by the catalogue, and a delivery of the same line nothing more', async () => {
    const player = await buyer();
    const order = {
      order: {
        id: 'o1',
        lines: [
          { id: 'a', product_id: 'gold', quantity: 2 },
          { id: 'b', product_id: 'silver' },
        ],
      },
    };
    const id = randomUUID();
    expect(await tell('ON_ORDER_COMPLETED', player, order, id)).toEqual([200, false]);
    expect(await player.points()).toBe('207');
    expect(await tell('ON_ORDER_COMPLETED', player, order, id)).toEqual([200, true]);
    await tell('ON_DELIVERY_ITEM_ADDED', player, {
      orderId: 'o1',
      lineId: 'a',
      productId: 'gold',
      quantity: 2,
    });
    expect(await player.points()).toBe('207');
  });

  test('whose delivery overtakes it is credited once', async () => {
    const player = await buyer();
    await tell('ON_DELIVERY_ITEM_ADDED', player, { orderId: 'o2', lineId: 'o2-1', productId: 'gold' });
    await tell('ON_ORDER_COMPLETED', player, one('o2'));
    expect(await player.points()).toBe('100');
  });

  test('keeps the points that it brought when the catalogue changes, and a renewal brings those of its day', async () => {
    const player = await buyer();
    await sells('season', '50');
    await tell('ON_ORDER_COMPLETED', player, one('s1', 'season'));
    await sells('season', '80');
    await tell('ON_SUBSCRIPTION_RENEWED', player, one('s2', 'season'));
    expect(await player.points()).toBe('130');
    await tell('ON_REFUND', player, { orderId: 's1' });
    expect(await player.points()).toBe('80');
  });
});

describe('what comes back', () => {
  test('a refund takes the points of its line, and a chargeback after it only what is left', async () => {
    const player = await buyer();
    await tell('ON_ORDER_COMPLETED', player, one('r1', 'gold', 3));
    await tell('ON_REFUND', player, { orderId: 'r1', amount_minor: '120' });
    expect(await player.points()).toBe('180');
    await tell('ON_CHARGEBACK', player, { orderId: 'r1' });
    expect(await player.points()).toBe('0');
    const id = randomUUID();
    await tell('ON_CHARGEBACK', player, { orderId: 'r1' }, id);
    expect(await player.points()).toBe('0');
    expect(await eventOf(id)).toMatchObject({ status: 'processed' });
  });

  test('a refund that overtakes its order is tried again, and then takes back what that credited', async () => {
    const player = await buyer();
    const id = randomUUID();
    expect(await tell('ON_REFUND', player, { orderId: 'r2' }, id)).toEqual([200, false]);
    expect(await eventOf(id)).toMatchObject({ status: 'failed', attempts: 1 });
    await tell('ON_ORDER_COMPLETED', player, one('r2'));
    await tryAgain(id);
    expect([await player.points(), (await eventOf(id)).status]).toEqual(['0', 'processed']);
  });
});

test('a product that nobody knows is retried, dead with a finding, and credited by a replay once it is known', async () => {
  const player = await buyer();
  const id = randomUUID();
  expect(await tell('ON_ORDER_COMPLETED', player, one('u1', 'platinum'), id)).toEqual([200, false]);
  for (let n = 1; n < 8; n += 1) {
    expect(await eventOf(id)).toMatchObject({
      status: 'failed',
      attempts: n,
      last_error: 'Product not found: platinum',
    });
    await tryAgain(id);
  }
  expect(await eventOf(id)).toMatchObject({ status: 'dead', attempts: 8 });
  const found = async () =>
    (await finance('GET', `/payments/reconciliation/findings?provider_event_id=${id}`)).body.items;
  expect(await found()).toMatchObject([{ finding_type: 'event_dead', status: 'OPEN', player_id: player.id }]);
  await sells('platinum', '500');
  expect(await replay()).toMatchObject({ errors: 0 });
  expect(await player.points()).toBe('500');
  await replay();
  expect([await player.points(), (await eventOf(id)).status]).toEqual(['500', 'processed']);
});

describe('a customer', () => {
  test('who is mapped to a player gets the points without a uid', async () => {
    const player = await buyer({ id: 'cus_mapped' });
    await stack.database.query(
      `insert into provider_customers (provider, customer_id, player_id) values ('paynow', 'cus_mapped', $1)`,
      [player.id],
    );
    await tell('ON_ORDER_COMPLETED', player, one('c1'));
    expect(await player.points()).toBe('100');
  });

  test('whom nobody knows yet loses nothing: the order is credited once the customer is mapped', async () => {
    const player = await buyer({ id: 'cus_later' });
    const id = randomUUID();
    expect(await tell('ON_ORDER_COMPLETED', player, one('c2'), id)).toEqual([200, false]);
    expect(await eventOf(id)).toMatchObject({ status: 'failed' });
    await stack.database.query(
      `insert into provider_customers (provider, customer_id, player_id) values ('paynow', 'cus_later', $1)`,
      [player.id],
    );
    await tryAgain(id);
    expect(await player.points()).toBe('100');
  });
});

test('a webhook that is not signed moves nothing, and one of no concern is taken', async () => {
  const player = await buyer();
  const raw = JSON.stringify({
    id: randomUUID(),
    event_type: 'ON_ORDER_COMPLETED',
    customer: player.customer,
    ...one('x1'),
  });
  const forged = await post(stack, '/payments/webhook/paynow', raw, signPayNow(raw, 'guessed'));
  expect([forged.status, forged.body.code]).toEqual([401, 'WEBHOOK_SIGNATURE_INVALID']);
  expect(await tell('ON_SUBSCRIPTION_CANCELED', player, {})).toEqual([200, false]);
  expect(await player.points()).toBe('0');
});
