// Every provider of shared/adapters/providers.ts against one contract.
import { createHmac, randomUUID } from 'node:crypto';
import Stripe from 'stripe';
import { describe, expect, inject, test } from 'vitest';
import { mockPsp, signMockPsp } from '../../shared/adapters/mockpsp.ts';
import { payNow } from '../../shared/adapters/paynow.ts';
import { paymentProviders } from '../../shared/adapters/providers.ts';
import { stripe } from '../../shared/adapters/stripe.ts';
import { mountDataApi } from '../support/data-api.ts';
import { openDatabase } from '../support/database.ts';
import {
  kinds,
  type ProviderAbilities,
  type ProviderRig,
  providerSuite,
  type Told,
} from '../support/provider-suite.ts';
import { eventBase, paymentIntent } from '../support/stripe-objects.ts';
import { openStripe } from '../support/stripe-server.ts';
import { setFlag } from '../support/withdrawals.ts';

const ids = () => ({ tx_id: randomUUID(), tenant_id: 'tenant', player_id: randomUUID() });
const suites: ProviderAbilities[] = [
  { name: 'mockpsp', lacks: [], orders: true, lists: true },
  { name: 'stripe', lacks: [], orders: true, lists: true },
  { name: 'paynow', lacks: kinds, orders: false, lists: false },
];
const open = { mockpsp: openMockPsp, stripe: openStripeRig, paynow: openPayNow };

test('every provider of the kernel is held to the contract', () => {
  const known = paymentProviders({ query: async () => [] }, { get: async () => '{}' }, '{}').all();
  expect(known.map(({ name }) => name)).toEqual(suites.map(({ name }) => name));
});

describe('of Stripe', () => {
  const secret = { webhook_secret: 'whsec_current' };
  const now_s = Math.floor(Date.parse('2026-03-01T12:00:00Z') / 1_000);
  const read = (payload: string, change = (header: string) => header) => {
    const header = Stripe.webhooks.generateTestHeaderString({
      ...{ payload, secret: secret.webhook_secret, timestamp: now_s },
    });
    const headers = { 'stripe-signature': change(header) };
    return stripe(async () => secret).readWebhook(
      { headers, raw: Buffer.from(payload), now_ms: now_s * 1_000 },
      secret,
    );
  };
  const succeeded = (amount: number, metadata: Record<string, string>) => {
    const object = {
      ...paymentIntent(amount, 'usd', metadata),
      status: 'succeeded',
      amount_received: amount,
    } as const;
    return JSON.stringify({
      ...eventBase(),
      type: 'payment_intent.succeeded',
      data: { object },
    } satisfies Stripe.Event);
  };

  test('a payment that another system of the company named is none of ours', () => {
    for (const metadata of [{}, { tx_id: 'order-7' }, { ...ids(), tx_id: '7' }, { tx_id: randomUUID() }])
      expect(read(succeeded(1500, metadata)).events).toMatchObject([{ ignored: true }]);
    expect(read(succeeded(1500, ids())).events).toMatchObject([{ kind: 'deposit_captured' }]);
  });

  test('an amount that a number does not hold is refused, not rounded', () => {
    const event = succeeded(1500, ids()).replaceAll('1500', '9007199254740993');
    expect(() => read(event)).toThrow(expect.objectContaining({ code: 'INVALID_WEBHOOK' }));
  });

  test('a header with two timestamps is not valid, whichever of them is signed', () => {
    const event = succeeded(1500, ids());
    expect(read(event).signature).toBe('valid');
    for (const other of [now_s, now_s - 86_400, now_s + 86_400]) {
      expect(read(event, (header) => `t=${other},${header}`).signature).toBe('invalid');
      expect(read(event, (header) => `${header},t=${other}`).signature).toBe('invalid');
    }
  });

  test('a list that would reach further back than Stripe keeps events says that it is not complete', async () => {
    const ago = (days: number) => new Date(Date.now() - days * 86_400_000).toISOString();
    const { list } = stripe(async () => secret);
    expect(await list?.(ago(31), ago(1), null)).toMatchObject({ events: [], incomplete: expect.any(String) });
  });

  test('a key that Stripe does not take leaves a payout unknown, for it may have been made under another', async () => {
    const server = await openStripe();
    const wrong = { webhook_secret: '', api_key: 'sk_test_wrong', api_base: server.url };
    const order = { ...ids(), key: 'k', amount_minor: '1', currency: 'USD', address: 'ba_1' };
    const provider = stripe(async () => wrong);
    expect(await provider.order?.('payout_withdrawal', order)).toEqual({ status: 'UNKNOWN' });
    expect(await provider.order?.('payout_withdrawal', { ...order, provider_ref: 'po_1' })).toEqual({
      status: 'UNKNOWN',
    });
    const right = stripe(async () => ({ ...wrong, api_key: server.api_key }));
    expect(await right.order?.('payout_withdrawal', { ...order, provider_ref: 'po_1' })).toEqual({
      status: 'UNKNOWN',
    });
    await expect(
      provider.list?.(new Date(Date.now() - 1_000).toISOString(), new Date().toISOString(), null),
    ).rejects.toThrow('did not list');
    await server.close();
  });
});

for (const abilities of suites) providerSuite(abilities, open[abilities.name as keyof typeof open]);

async function openMockPsp(): Promise<ProviderRig> {
  const database = await openDatabase();
  await setFlag(database.superuser, 'allow_test_payment_methods', true);
  const url = new URL(database.url);
  const api = await mountDataApi(Number(url.port), inject('masterPassword'));
  const provider = mockPsp(api.database(url.pathname.slice(1)));
  const types = kinds.map((kind) => [kind, kind === 'refund' ? 'deposit_refunded' : kind] as const);
  const tell = (event_type: string): Told => {
    const means = { ...ids(), amount_minor: '1500', currency: 'USD', provider_ref: 'mockpsp:1' };
    const event_id = `${event_type}:${randomUUID()}`;
    return {
      body: JSON.stringify({ provider_event_id: event_id, event_type, ...means, note: 'Zoë — ☂' }),
      means: { event_id, ...means },
    };
  };
  const count = async (sql: string, values: unknown[]) =>
    Number((await database.superuser.query(sql, values)).rows[0].count);
  return {
    provider,
    told: Object.fromEntries(types.map(([kind, type]) => [kind, tell(type)])),
    goods: {},
    unknown: JSON.stringify({ provider_event_id: 'x', event_type: 'statement_ready' }),
    sign: signMockPsp,
    orders: {
      outcome: { paid: {}, declined: { outcome: 'fail' }, lost: { outcome: 'lost' } },
      meet: () => undefined, // each order says itself how it ends
      decide: () => undefined,
      payments: (key) =>
        count(`select count(*) from psp_events where psp_idem_key = $1 and status = 'PAID'`, [key]),
    },
    async happen(events) {
      await database.superuser.query(
        `select mockpsp(case n % 3 when 0 then 'payout_withdrawal' when 1 then 'refund_deposit' else 'capture_deposit' end, 'happen:' || n,
                jsonb_build_object('tx_id', gen_random_uuid(), 'tenant_id', 'tenant', 'player_id', gen_random_uuid(), 'amount_minor', n::text, 'currency', 'USD'), 'success')
           from generate_series(1, $1::integer) n`,
        [events],
      );
      const { rows } = await database.superuser.query(
        `select mockpsp_event(e)::text as body from psp_events e where status <> 'PENDING'`,
      );
      return rows.map(({ body }) => body);
    },
    async close() {
      await api.close();
      await database.close();
    },
  };
}

async function openStripeRig(): Promise<ProviderRig> {
  const server = await openStripe();
  const { book } = server;
  const secret = { webhook_secret: '', api_key: server.api_key, api_base: server.url };
  const metadata = { ...ids(), attempt_key: 'tx_1:a' };
  const { attempt_key, ...named } = metadata;
  const moved = { amount_minor: '1500', currency: 'USD' };
  const intent = () =>
    (book.make('payment_intents', { amount: 1500, currency: 'usd', metadata }) as { id: string }).id;
  const payout = () =>
    (book.make('payouts', { amount: 1500, currency: 'usd', metadata }) as { id: string }).id;
  const tell = (event: Stripe.Event, means: object): Told => {
    const occurred_at = new Date(event.created * 1_000).toISOString();
    return {
      body: JSON.stringify(event),
      means: { event_id: event.id, type: event.type, occurred_at, ...moved, ...means },
    };
  };
  const [paid, sent, back] = [intent(), payout(), payout()];
  const disputed = book.dispute(paid, 1500);
  const refunded = book.refund(paid, 1500);
  const refOf = ({ data }: Stripe.Event) => (data.object as { id: string }).id;
  const mine = { ...named, provider_ref: paid };
  const disputing = { ref: refOf(disputed), provider_ref: paid };
  return {
    provider: stripe(async () => secret, 300),
    told: {
      deposit_authorized: tell(book.authorize(paid), mine),
      deposit_failed: tell(book.decline(paid), mine),
      deposit_captured: tell(book.capture(paid), mine),
      withdraw_paid: tell(book.payOut(sent), { ...named, provider_ref: sent, attempt_key }),
      withdraw_failed: tell(book.returnPayout(back), { ...named, provider_ref: back, attempt_key }),
      refund: tell(refunded, { ref: refOf(refunded), provider_ref: paid }),
      chargeback: tell(disputed, disputing),
      chargeback_won: tell(book.winDispute(refOf(disputed)), disputing),
    },
    goods: {},
    unknown: JSON.stringify({
      ...eventBase(),
      type: 'balance.available',
      data: { object: { object: 'balance' } },
    }),
    sign: (payload, key, now) =>
      key === ''
        ? {
            'stripe-signature': `t=${Math.floor(now / 1_000)},v1=${createHmac('sha256', '').update(payload).digest('hex')}`,
          }
        : {
            'stripe-signature': Stripe.webhooks.generateTestHeaderString({
              payload,
              secret: key,
              timestamp: Math.floor(now / 1_000),
            }),
          },
    orders: {
      outcome: {
        paid: { address: 'ba_test' },
        declined: { address: 'ba_test' },
        lost: { address: 'ba_test' },
      },
      meet: (outcome) =>
        server.fail(
          {
            paid: null,
            declined: 'invalid_request' as const,
            lost: 'lost_reply' as const,
            silent: 'timeout' as const,
          }[outcome],
        ),
      decide: () => {
        for (const { id, status } of book.payouts()) if (status === 'pending') book.payOut(id);
      },
      payments: async (key) => book.payouts().filter((one) => one.metadata?.attempt_key === key).length,
    },
    async happen(events) {
      for (let n = 0; n < events; n += 2) {
        book.capture(
          (
            book.make('payment_intents', {
              amount: n + 1,
              currency: 'eur',
              metadata: { ...metadata, ...ids() },
            }) as { id: string }
          ).id,
        );
        book.capture((book.make('payment_intents', { amount: n + 1, currency: 'eur' }) as { id: string }).id); // another system's
      }
      return book.events.map((event) => JSON.stringify(event));
    },
    close: () => server.close(),
  };
}

async function openPayNow(): Promise<ProviderRig> {
  const tell = (event_type: string): Told => {
    const [id, uid] = [randomUUID(), randomUUID()];
    const customer = { id: `cus_${id}`, metadata: { uid } };
    const body = {
      id,
      event_type,
      customer,
      created_at: '2026-03-01T11:59:00Z',
      orderId: '1',
      productId: 'gold',
    };
    const means = { event_id: id, type: event_type, player_id: uid, customer_id: customer.id };
    return { body: JSON.stringify(body), means: { ...means, occurred_at: body.created_at, payload: body } };
  };
  const goods = [
    'ON_ORDER_COMPLETED',
    'ON_DELIVERY_ITEM_ADDED',
    'ON_SUBSCRIPTION_RENEWED',
    'ON_REFUND',
    'ON_CHARGEBACK',
  ];
  return {
    provider: payNow(),
    told: {},
    goods: Object.fromEntries(goods.map((type) => [type, tell(type)])),
    unknown: JSON.stringify({ id: 'x', event: 'ON_SUBSCRIPTION_CANCELED' }),
    sign(body, secret, now) {
      const signature = createHmac('sha256', secret).update(`${now}.`).update(body).digest('base64');
      return { 'paynow-timestamp': String(now), 'paynow-signature': signature };
    },
    close: async () => undefined,
  };
}
