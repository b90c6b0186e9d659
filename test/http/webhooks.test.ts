// Webhooks over HTTP: what is forged, late or malformed is refused, what is real is taken once, and then has its effect.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fakeClock } from '../../local/schedule/clock.ts';
import { payNowForgeries, payoutRefusals, stripeForgeries } from '../support/hostile-provider-webhooks.ts';
import { forgeries, type Hostile, malformations } from '../support/hostile-webhooks.ts';
import { violations } from '../support/money.ts';
import { type Call, caller, key, openPlayer, type Player } from '../support/money-doors.ts';
import { openStack, type TestStack } from '../support/stack.ts';
import * as hook from '../support/webhooks.ts';

const door = (provider: string) => `/payments/webhook/${provider}`;
const payout_door = '/finance/withdrawals/payout/webhook';
const refused = { status: 401, body: { ok: false, code: 'WEBHOOK_SIGNATURE_INVALID' } };
let stack: TestStack;
let finance: Call;
let platform: Call;
let mock: { now: string; before: string };
let stripe: typeof mock;
let paynow: typeof mock;
beforeAll(async () => {
  stack = await openStack({ clock: fakeClock(new Date()) }); // no schedule lets the mock provider call back
  [finance, platform] = [await caller(stack, ['finance']), await caller(stack, ['platform-admin'])];
  [mock, stripe] = [await hook.rotate(stack, 'mockpsp'), await hook.rotate(stack, 'stripe')];
  paynow = await hook.rotate(stack, 'paynow');
  await flag(true);
  await flag(false, 'loose');
});
afterAll(async () => {
  expect(await violations(stack.database)).toEqual([]);
  await stack.close();
});

const flag = (value: boolean, tenant_id?: string) =>
  stack.admin('PUT', '/flags/webhook_signature_enforced', { value, ...(tenant_id && { tenant_id }) });

// biome-ignore lint/suspicious/noExplicitAny: tests read fields of many shapes
type Row = Record<string, any>;
const rowsOf = async (event_id: string): Promise<Row[]> =>
  (await stack.database.query('select * from provider_events where event_id = $1', [event_id])).rows;
const findingsOf = async (event_id: string): Promise<string[]> => {
  const path = `/payments/reconciliation/findings?provider_event_id=${encodeURIComponent(event_id)}`;
  return (await platform('GET', path)).body.items.map(({ finding_type }: Row) => finding_type);
};
const settled = (player: Player) => expect.poll(async () => (await player.balance())[0], { timeout: 15_000 });

/** A deposit whose provider tells of it by a webhook, and that webhook. */
async function pending(
  tenant = 'default',
  method = 'card',
): Promise<{ player: Player; event: Row; raw: string }> {
  const player = await openPlayer(stack, tenant);
  const body = { amount_minor: '1000', currency: 'USD', method };
  const answer = await player.call('POST', '/player/wallet/deposit', body, key());
  expect(answer.body.transaction).toMatchObject({ state: 'pending_provider' });
  const { id: tx_id, tenant_id, player_id } = answer.body.transaction;
  const event = {
    ...{
      provider_event_id: `ev-${randomUUID()}`,
      event_type: 'deposit_captured',
      tx_id,
      tenant_id,
      player_id,
    },
    ...{ amount_minor: '1000', currency: 'USD', provider_ref: `pi_${tx_id}` },
  };
  return { player, event, raw: JSON.stringify(event) };
}

const send = (raw: string, secret = mock.now, path = door('mockpsp')) =>
  hook.post(stack, path, raw, hook.signMock(raw, secret));
const sendEvent = (event: Row) => send(JSON.stringify(event));

async function refuse(path: string, attempts: Hostile[]): Promise<void> {
  for (const { name, raw, headers, status, code } of attempts) {
    const { status: answered, body } = await hook.post(stack, path, raw, headers);
    expect([name, answered, body.ok, body.code]).toEqual([name, status, false, code]);
  }
}

describe('a webhook of the mock provider, with signatures enforced', () => {
  test('that is forged, late, malformed, compressed or too large is refused, and nothing of it is kept', async () => {
    const { player, event, raw } = await pending();
    const others = {
      'a stranger': 'secret',
      'an older secret': `old-${mock.before}`,
      'an empty secret': '',
      'another provider': stripe.now,
      'another provider’s former secret': paynow.before,
    };
    const attempts = [...forgeries(raw, mock.now, others), ...malformations(raw, mock.now)];
    expect(attempts.length).toBeGreaterThan(55);
    await refuse(door('mockpsp'), attempts);
    for (const name of ['zzz', 'MockPSP', 'adyen', 'mockpsp%00'])
      expect(await send(raw, mock.now, door(name))).toMatchObject({ status: 404 });
    expect((await send(raw, mock.now, door('zzz'))).body.code).toBe('UNSUPPORTED_PROVIDER');
    expect(await rowsOf(event.provider_event_id)).toEqual([]);
    expect(await player.balance()).toEqual(['0', '0', '0']);
    expect(await send(raw)).toMatchObject({ status: 200 });
    await settled(player).toBe('1000');
  });

  test('is taken once, has its effect once, and counts as it came first', async () => {
    const { player, event, raw } = await pending();
    const answers = (await Promise.all(Array.from({ length: 6 }, () => send(raw)))).map(({ body }) => body);
    expect(answers.filter(({ idempotent }) => !idempotent)).toHaveLength(1);
    for (const body of answers) expect(body).toMatchObject({ ok: true, status: 'ok', tx_id: event.tx_id });
    await settled(player).toBe('1000');
    expect(await send(raw)).toMatchObject({ status: 200, body: { idempotent: true } });
    const other = { ...event, amount_minor: '9000' };
    expect(await sendEvent(other)).toMatchObject({ status: 200, body: { idempotent: true } });
    expect(await findingsOf(event.provider_event_id)).toEqual(['payload_conflict']);
    expect(await send(raw, mock.now, `${door('mockpsp')}?account=other`)).toMatchObject({ status: 200 });
    await stack.delivered();
    expect(await player.balance()).toEqual(['1000', '0', '1000']);
    expect((await rowsOf(event.provider_event_id)).map(({ signature }) => signature)).toEqual([
      'valid',
      'valid',
    ]);
  });

  test('has its headers in any letter case, and its bytes in any content type', async () => {
    const { raw } = await pending();
    for (const write of [
      (name: string) => name.toUpperCase(),
      (name: string) => name.replace(/(^|-)(\w)/g, (part) => part.toUpperCase()),
    ]) {
      const headers = Object.entries(hook.signMock(raw, mock.now)).map(([name, value]) => [
        write(name),
        value,
      ]);
      expect(await hook.post(stack, door('mockpsp'), raw, Object.fromEntries(headers))).toMatchObject({
        status: 200,
      });
    }
    const bytes = { ...hook.signMock(raw, mock.now), 'content-type': 'application/octet-stream' };
    expect(await hook.post(stack, door('mockpsp'), raw, bytes)).toMatchObject({ status: 200 });
  });

  test('is valid under both secrets of a rotation', async () => {
    for (const secret of [mock.now, mock.before]) {
      const { player, raw } = await pending();
      expect(await send(raw, secret)).toMatchObject({ status: 200 });
      await settled(player).toBe('1000');
    }
  });

  test('about another tenant, another amount or nobody moves nothing and leaves a finding', async () => {
    const { player, event } = await pending();
    const stranger = await openPlayer(stack, 'elsewhere');
    const told = (change: Row) => ({ ...event, provider_event_id: `ev-${randomUUID()}`, ...change });
    const unknown = [told({ tenant_id: 'elsewhere' }), told({ player_id: randomUUID() })];
    for (const one of unknown) {
      expect(await sendEvent(one)).toMatchObject({ status: 422, body: { code: 'UNKNOWN_PLAYER' } });
      expect(await findingsOf(one.provider_event_id)).toEqual(['unknown_player']);
    }
    const cases: [Row, string][] = [
      [told({ tenant_id: 'elsewhere', player_id: stranger.id }), 'owner_mismatch'],
      [told({ amount_minor: '1001' }), 'amount_mismatch'],
      [told({ currency: 'EUR' }), 'currency_mismatch'],
      [told({ tx_id: randomUUID() }), 'unknown_transaction'],
    ];
    for (const [one, type] of cases) {
      expect(await sendEvent(one)).toMatchObject({ status: 200, body: { idempotent: false } });
      await expect.poll(() => findingsOf(one.provider_event_id), { timeout: 15_000 }).toEqual([type]);
    }
    const idle = told({ event_type: 'account_updated', tenant_id: undefined, tx_id: undefined });
    expect(await sendEvent(idle)).toMatchObject({ status: 200 });
    expect(await rowsOf(idle.provider_event_id)).toMatchObject([{ status: 'ignored' }]);
    expect([await player.balance(), await stranger.balance()]).toEqual([
      ['0', '0', '0'],
      ['0', '0', '0'],
    ]);
  });
});

describe('a webhook of the mock provider, for a tenant without the flag', () => {
  test('is taken unsigned, recorded as such, and of no use against another tenant', async () => {
    const { player, event, raw } = await pending('loose');
    expect(await hook.post(stack, door('mockpsp'), raw)).toMatchObject({ status: 200 });
    await settled(player).toBe('1000');
    const forged = { ...event, provider_event_id: `ev-${randomUUID()}` };
    expect(await send(JSON.stringify(forged), 'x')).toMatchObject({ status: 200 });
    const signatures = [
      ...(await rowsOf(event.provider_event_id)),
      ...(await rowsOf(forged.provider_event_id)),
    ];
    expect(signatures.map(({ signature }) => signature)).toEqual(['none', 'invalid']);
    const { player: victim, event: real } = await pending();
    expect(await hook.post(stack, door('mockpsp'), JSON.stringify(real))).toMatchObject(refused);
    const disguised = { ...real, tenant_id: 'loose', player_id: player.id };
    expect(await hook.post(stack, door('mockpsp'), JSON.stringify(disguised))).toMatchObject({ status: 200 });
    await expect
      .poll(() => findingsOf(real.provider_event_id), { timeout: 15_000 })
      .toEqual(['owner_mismatch']);
    expect(await victim.balance()).toEqual(['0', '0', '0']);
    await flag(true, 'loose');
    expect(await send(JSON.stringify({ ...forged, provider_event_id: 'x' }), 'x')).toMatchObject(refused);
    await flag(false, 'loose');
  });
});

describe('a webhook of Stripe', () => {
  test('is verified by its own library whatever the flag says, and credits the deposit', async () => {
    await platform('PUT', '/admin/payment-methods?tenant_id=loose', { method: 'card', provider: 'stripe' });
    const { player, event } = await pending('loose');
    const { tx_id, tenant_id, player_id } = event;
    const intent = {
      ...{
        id: `pi_${tx_id}`,
        object: 'payment_intent',
        status: 'succeeded',
        amount: 1000,
        amount_received: 1000,
      },
      ...{ currency: 'usd', metadata: { tx_id, tenant_id, player_id } },
    };
    const raw = JSON.stringify({
      ...{ id: `evt_${randomUUID()}`, object: 'event', type: 'payment_intent.succeeded' },
      ...{ created: hook.nowS(), data: { object: intent } },
    });
    await refuse(door('stripe'), stripeForgeries(raw, stripe.now, mock.now));
    for (const secret of [stripe.before, stripe.now])
      expect(await hook.post(stack, door('stripe'), raw, hook.signStripe(raw, secret))).toMatchObject({
        status: 200,
        body: { idempotent: secret === stripe.now, tx_id },
      });
    await settled(player).toBe('1000');
  });
});

describe('a webhook of PayNow', () => {
  test('is verified whatever the flag says, and credits the product once', async () => {
    const player = await openPlayer(stack, 'loose');
    const product = { provider: 'paynow', product_id: 'gold', points: '100', currency: 'USD' };
    await platform('PUT', '/admin/products?tenant_id=loose', product);
    const raw = JSON.stringify({
      ...{
        id: `pn-${randomUUID()}`,
        event_type: 'ON_ORDER_COMPLETED',
        orderId: randomUUID(),
        productId: 'gold',
      },
      ...{ quantity: 2, customer: { id: 'c1', metadata: { uid: player.id } } },
    });
    await refuse(door('paynow'), payNowForgeries(raw, paynow.now));
    for (const secret of [paynow.before, paynow.now])
      expect(await hook.post(stack, door('paynow'), raw, hook.signPayNow(raw, secret))).toMatchObject({
        status: 200,
      });
    await settled(player).toBe('200');
  });
});

describe('the webhook of payouts', () => {
  /** A withdrawal whose provider was asked and has not answered, and what it says at last. */
  async function waiting() {
    const player = await openPlayer(stack);
    await player.deposit('1500');
    const { body } = await player.withdraw('1000');
    const tx: string = body.transaction.tx_id;
    const at = (verb: string) => `/finance/withdrawals/${tx}/${verb}`;
    await finance('POST', at('review'), { action: 'approve', reason: 'checked' });
    await finance('POST', at('payout'), {}, { ...key(), 'x-mock-outcome': 'timeout' });
    const told = { withdraw_tx_id: tx, provider: 'mockpsp', provider_event_id: `po-${tx}`, status: 'paid' };
    const state = async () => (await finance('GET', `/finance/withdrawals/${tx}`)).body.transaction.state;
    return { player, told, state };
  }
  const tell = (told: Row, secret = mock.now, at = hook.nowS()) => {
    const raw = JSON.stringify(told);
    return hook.post(stack, payout_door, raw, hook.signPayout(raw, secret, at));
  };

  test.each([
    ['paid', 'paid', ['500', '0', '500']],
    ['failed', 'payout_failed', ['500', '1000', '1500']],
  ])('that says %s settles the withdrawal, once', async (status, state, balance) => {
    const { player, told, state: stateOf } = await waiting();
    const message = { ...told, status, error_code: status === 'failed' ? 'BANK_CLOSED' : null };
    expect(await tell(message)).toMatchObject({ status: 200, body: { status: 'ok', replay: false } });
    await expect.poll(stateOf, { timeout: 15_000 }).toBe(state);
    expect((await tell(message, mock.before)).body).toMatchObject({ status: 'ok', replay: true });
    expect(await player.balance()).toEqual(balance);
  });

  test('about an unknown withdrawal is an orphan, with a finding', async () => {
    const { told } = await waiting();
    const orphan = { ...told, withdraw_tx_id: randomUUID(), provider_event_id: `po-${randomUUID()}` };
    for (let n = 0; n < 2; n += 1)
      expect(await tell(orphan)).toMatchObject({ status: 200, body: { status: 'ok', orphan: true } });
    expect(await findingsOf(orphan.provider_event_id)).toEqual(['unknown_player']);
  });

  test('that is forged, late or malformed is refused with what is wrong', async () => {
    const { told, state } = await waiting();
    await refuse(payout_door, payoutRefusals(told, mock.now));
    expect(await state()).toBe('unknown');
    expect(await rowsOf(told.provider_event_id)).toEqual([]);
  });
});
