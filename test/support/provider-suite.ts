// The contract of a payment provider: what each that the kernel speaks with must do, the same tests for every one.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type {
  EventKind,
  PaymentOrder,
  PaymentProvider,
  PaymentResult,
  ProviderEvent,
  ProviderPage,
} from '../../shared/ports.ts';

export const kinds: readonly EventKind[] = [
  ...([
    'deposit_authorized',
    'deposit_captured',
    'deposit_failed',
    'withdraw_paid',
    'withdraw_failed',
  ] as const),
  ...(['refund', 'chargeback', 'chargeback_won'] as const),
];

/** A webhook as the provider words it, and what the kernel reads in it. */
export interface Told {
  body: string;
  means: Partial<ProviderEvent>;
}

export interface ProviderRig {
  provider: PaymentProvider;
  /** A webhook of each kind that the provider has; without a kind, by its type. */
  told: Partial<Record<EventKind, Told>>;
  /** Of kinds that only the ledger can tell, by their types: a shop's orders. */
  goods: Record<string, Told>;
  /** A body of a type that the kernel does not know. */
  unknown: string;
  sign(body: string, secret: string, now_ms: number): Record<string, string>;
  /** For providers that are asked. */
  orders?: {
    outcome: Record<'paid' | 'declined' | 'lost', Partial<PaymentOrder>>;
    /** Has what follows answered as named. */
    meet(outcome: 'paid' | 'declined' | 'lost' | 'silent'): void;
    /** What was made in the end is paid out. */
    decide(): void;
    /** How often the provider really paid under a key. */
    payments(key: string): Promise<number>;
  };
  /** For providers that list: makes so many events and returns the bodies of their webhooks. */
  happen?(count: number): Promise<string[]>;
  close(): Promise<void>;
}

export interface ProviderAbilities {
  name: string;
  lacks: readonly EventKind[];
  orders: boolean;
  lists: boolean;
}

const secrets = { current: 'whsec_current', previous: 'whsec_previous', other: 'whsec_other' };
const now_ms = Date.parse('2026-03-01T12:00:00.000Z');

export function providerSuite(abilities: ProviderAbilities, open: () => Promise<ProviderRig>): void {
  describe(`the payment provider ${abilities.name}`, () => {
    let rig: ProviderRig;
    beforeAll(async () => {
      rig = await open();
    });
    afterAll(() => rig?.close());

    test('is known by its name, and its port says what it can do', () => {
      expect(rig.provider.name).toBe(abilities.name);
      expect(rig.provider.order !== undefined).toBe(abilities.orders);
      expect(rig.provider.list !== undefined).toBe(abilities.lists);
      expect(Object.keys(rig.told).sort()).toEqual(
        kinds.filter((kind) => !abilities.lacks.includes(kind)).sort(),
      );
    });

    describe('its webhooks', () => readsWebhooks(() => rig));
    if (abilities.orders) describe('its orders', () => takesOrders(() => rig));
    if (abilities.lists) describe('its list', () => listsEvents(() => rig));
  });
}

const all = ({ told, goods }: ProviderRig): Told[] => [...Object.values(told), ...Object.values(goods)];

interface Delivery {
  secret?: string;
  sent_ms?: number;
  raw?: Buffer;
  headers?: Record<string, string>;
  previous?: string;
}

function read({ provider, sign }: ProviderRig, body: string, how: Delivery = {}) {
  const { secret = secrets.current, sent_ms = now_ms, raw = Buffer.from(body), previous } = how;
  const headers = how.headers ?? sign(body, secret, sent_ms);
  const valid = { webhook_secret: secrets.current, ...(previous && { previous_webhook_secret: previous }) };
  return provider.readWebhook({ headers, raw, now_ms }, valid);
}

/** Invalid, or refused as what is no event at all. */
function taken(rig: ProviderRig, body: string, how: Delivery): boolean {
  try {
    return read(rig, body, how).signature === 'valid';
  } catch (error) {
    expect(['INVALID_WEBHOOK', 'MISSING_IDS']).toContain((error as { code?: string }).code);
    return false;
  }
}

function readsWebhooks(rigOf: () => ProviderRig): void {
  test('each means what it says', () => {
    for (const [kind, { body, means }] of Object.entries(rigOf().told)) {
      const { signature, events } = read(rigOf(), body);
      expect([kind, signature, events.length]).toEqual([kind, 'valid', 1]);
      expect(events[0]).toMatchObject({ kind, ...means });
    }
    for (const [type, { body, means }] of Object.entries(rigOf().goods)) {
      const { signature, events } = read(rigOf(), body);
      expect([type, signature, events.length]).toEqual([type, 'valid', 1]);
      expect(events[0]).toMatchObject({ type, ...means });
      expect(events[0]?.ignored).toBeUndefined();
    }
  });

  test('with any one byte changed, none is valid', () => {
    for (const { body } of all(rigOf())) {
      const headers = rigOf().sign(body, secrets.current, now_ms);
      const bytes = Buffer.from(body);
      for (let at = 0; at < bytes.length; at += 1) {
        const raw = Buffer.from(bytes);
        raw[at] = (raw[at] as number) ^ (1 << (at % 8));
        if (taken(rigOf(), body, { headers, raw })) expect.fail(`byte ${at} of ${body}`);
      }
      for (const raw of [Buffer.from(`${body} `), Buffer.from(`\uFEFF${body}`), bytes.subarray(1)])
        expect(taken(rigOf(), body, { headers, raw })).toBe(false);
    }
  });

  test('with any one character of a signature changed, none is valid', () => {
    const [{ body }] = all(rigOf()) as [Told];
    const headers = rigOf().sign(body, secrets.current, now_ms);
    for (const [name, value] of Object.entries(headers))
      for (let at = 0; at < value.length; at += 1) {
        const other = value[at] === 'A' ? 'B' : 'A';
        const changed = { ...headers, [name]: value.slice(0, at) + other + value.slice(at + 1) };
        if (taken(rigOf(), body, { headers: changed })) expect.fail(`${name} at ${at}`);
      }
  });

  test('one that is older or younger than 300 s is not valid, and one at the bound is', () => {
    const [{ body }] = all(rigOf()) as [Told];
    const at = (offset_ms: number) => taken(rigOf(), body, { sent_ms: now_ms + offset_ms });
    expect([at(-300_000), at(300_000)]).toEqual([true, true]);
    expect([at(-301_000), at(301_000), at(-86_400_000), at(86_400_000)]).toEqual(Array(4).fill(false));
  });

  test('one of another secret is not valid, while one of the previous secret is as long as that is kept', () => {
    const [{ body }] = all(rigOf()) as [Told];
    expect(taken(rigOf(), body, { secret: secrets.other })).toBe(false);
    expect(taken(rigOf(), body, { secret: secrets.previous })).toBe(false);
    expect(taken(rigOf(), body, { secret: secrets.previous, previous: secrets.previous })).toBe(true);
    expect(taken(rigOf(), body, { previous: secrets.previous })).toBe(true);
    expect(taken(rigOf(), body, { secret: '', previous: '' })).toBe(false);
  });

  test('one without a signature says so', () => {
    const [{ body }] = all(rigOf()) as [Told];
    expect(read(rigOf(), body, { headers: {} }).signature).toBe('none');
  });

  test('a type that is not known is taken and ignored', () => {
    const { signature, events } = read(rigOf(), rigOf().unknown);
    expect(signature).toBe('valid');
    expect(events).toMatchObject([{ ignored: true }]);
    expect(events[0]).not.toHaveProperty('kind');
  });

  test('a signed body that is no event is refused with one sentence', () => {
    for (const body of ['null', '[]', '"event"', '{}', '{', '{"id":1,"type":2}'])
      expect(() => read(rigOf(), body)).toThrow(expect.objectContaining({ code: 'INVALID_WEBHOOK' }));
  });
}

function takesOrders(rigOf: () => ProviderRig): void {
  const order = (more: Partial<PaymentOrder> = {}): PaymentOrder => {
    const tx_id = randomUUID();
    const ids = { tx_id, tenant_id: 'tenant', player_id: randomUUID(), key: `tx_${tx_id}:1` };
    return { ...ids, amount_minor: '1500', currency: 'USD', ...more };
  };
  const ask = async (one: PaymentOrder): Promise<PaymentResult> =>
    (await rigOf().provider.order?.('payout_withdrawal', one)) as PaymentResult;
  const world = () => rigOf().orders as NonNullable<ProviderRig['orders']>;
  /** As the kernel asks again: it knows since when. */
  const again = (one: PaymentOrder) =>
    ask({ ...one, asked_at: new Date(Date.now() - 120_000).toISOString(), outcome: undefined });

  test('two under one key pay once, however many ask at once', async () => {
    world().meet('paid');
    const one = order(world().outcome.paid);
    const said = await Promise.all([ask(one), ask(one), ask(one)]);
    expect(await world().payments(one.key)).toBe(1);
    expect(new Set(said.map(({ provider_ref }) => provider_ref)).size).toBe(1);
    world().decide();
    expect(await again(one)).toMatchObject({ status: 'PAID', provider_ref: said[0]?.provider_ref });
    expect(await world().payments(one.key)).toBe(1);
  });

  test.each(['lost', 'silent'] as const)(
    'one whose reply is %s is unknown, found by asking again, and paid once',
    async (how) => {
      const one = order(world().outcome.lost);
      world().meet(how);
      expect(await ask(one)).toMatchObject({ status: 'UNKNOWN' });
      expect(await world().payments(one.key)).toBe(1);
      world().meet('paid');
      world().decide();
      expect(await again(one)).toMatchObject({ status: 'PAID' });
      expect(await world().payments(one.key)).toBe(1);
    },
  );

  test('one that is declined has failed, and says why where the provider does', async () => {
    world().meet('declined');
    const one = order(world().outcome.declined);
    expect(await ask(one)).toMatchObject({ status: 'FAILED' });
    expect(await world().payments(one.key)).toBe(0);
    world().meet('paid');
  });
}

function listsEvents(rigOf: () => ProviderRig): void {
  test('tells in pages the same events as its webhooks, and none outside the window', async () => {
    const from = new Date(Date.now() - 60_000).toISOString();
    const bodies = await (rigOf().happen as NonNullable<ProviderRig['happen']>)(510);
    const byWebhook = bodies
      .flatMap((body) => read(rigOf(), body).events)
      .filter(({ ignored }) => !ignored)
      .map(essence);
    const to = new Date(Date.now() + 60_000).toISOString();
    const { listed, pages } = await listed_all(rigOf().provider, from, to);
    expect(pages).toBeGreaterThan(1);
    expect(new Set(listed)).toEqual(new Set(byWebhook));
    expect(listed).toHaveLength(new Set(listed).size);
    expect(
      (await listed_all(rigOf().provider, to, new Date(Date.now() + 120_000).toISOString())).listed,
    ).toEqual([]);
  });
}

/** An event without what differs by the way that it came. */
const essence = ({ payload: _, ...event }: ProviderEvent) => JSON.stringify(event, Object.keys(event).sort());

async function listed_all(provider: PaymentProvider, from: string, to: string) {
  const listed: string[] = [];
  let pages = 0;
  for (let after: string | null = null; pages === 0 || after !== null; pages += 1) {
    const page: ProviderPage | undefined = await provider.list?.(from, to, after);
    expect(page?.incomplete).toBeUndefined();
    listed.push(...(page?.events ?? []).map(essence));
    after = page?.next ?? null;
  }
  return { listed, pages };
}
