// The contract of payments as it is kept: each operation of the running stack answers and refuses as docs/openapi.json says.
import { createHmac, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { signMockPsp } from '../../shared/adapters/mockpsp.ts';
import { operations } from '../../shared/contract.ts';
import { type Ask, caller } from '../support/contract-caller.ts';
import { key } from '../support/money-doors.ts';
import {
  captured,
  type Deposit,
  mockpspSecretOf,
  payingPlayer,
  pendingDeposit,
} from '../support/payment-doors.ts';
import { openStack, type TestStack } from '../support/stack.ts';

const unknown_id = '0d000000-0000-4000-8000-0000000000ff';
let stack: TestStack;
let ask: ReturnType<typeof caller>['ask'];
let unseen: ReturnType<typeof caller>['unseen'];
beforeAll(async () => {
  stack = await openStack();
  ({ ask, unseen } = caller(stack));
});
afterAll(() => stack.close());

const finance = (id: string, more: Ask = {}) => ask(id, { as: 'Fay Finance', ...more });
const second = (id: string, more: Ask = {}) => ask(id, { as: 'Finn Finance', ...more });
const admin = (id: string, more: Ask = {}) => ask(id, { as: 'platform-admin', ...more });

/** A webhook of the mock provider about a deposit, signed. */
function say({ id, tenant_id, player_id }: Deposit, more: object = {}) {
  const body = JSON.stringify({
    ...{ provider_event_id: randomUUID(), event_type: 'deposit_captured', tx_id: id, tenant_id, player_id },
    ...{ amount_minor: '100', currency: 'USD', ...more },
  });
  const headers = signMockPsp(body, mockpspSecretOf(stack), Date.now());
  return ask('receiveWebhook', { path: { provider: 'mockpsp' }, body, headers });
}

/** An open finding that names a player, by the wrong amount of a webhook. */
async function finding(): Promise<{ id: string }> {
  const deposit = await pendingDeposit(stack);
  const { body } = await say(deposit, { amount_minor: '90' });
  expect(body).toMatchObject({ status: 'ok', idempotent: false, tx_id: deposit.id });
  for (let n = 0; n < 100; n += 1) {
    const { body: found } = await finance('listFindings', { query: { tx_id: deposit.id } });
    if (found.items.length > 0) return found.items[0];
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('The webhook left no finding.');
}

test('webhooks answer and refuse as the contract says', async () => {
  const deposit = await pendingDeposit(stack);
  expect((await say(deposit)).body.idempotent).toBe(false);
  expect((await say(deposit, { player_id: unknown_id })).body.code).toBe('UNKNOWN_PLAYER');
  expect((await say(deposit, { tx_id: undefined })).body.code).toBe('MISSING_IDS');
  const other = { path: { provider: 'nobody' }, body: {} };
  expect((await ask('receiveWebhook', other)).body.code).toBe('UNSUPPORTED_PROVIDER');
  const unsigned = { path: { provider: 'stripe' }, body: {} };
  expect((await ask('receiveWebhook', unsigned)).body.code).toBe('WEBHOOK_SIGNATURE_INVALID');

  const body = JSON.stringify({
    ...{ withdraw_tx_id: unknown_id, provider: 'mockpsp', provider_event_id: randomUUID(), status: 'paid' },
  });
  const timestamp = String(Math.floor(Date.now() / 1_000));
  const hmac = createHmac('sha256', mockpspSecretOf(stack)).update(`${timestamp}.${body}`).digest('hex');
  const headers = { 'x-webhook-timestamp': timestamp, 'x-webhook-signature': hmac };
  expect((await ask('receivePayoutWebhook', { body, headers })).body.orphan).toBe(true);
  expect((await ask('receivePayoutWebhook', { body })).body.code).toBe('WEBHOOK_SIGNATURE_MISSING');
});

test('findings are listed, read, taken on, corrected and resolved as the contract says', async () => {
  const { id } = await finding();
  const path = { id };
  expect((await finance('readFinding', { path })).body.finding.id).toBe(id);
  expect((await finance('readFinding', { path: { id: unknown_id } })).body.code).toBe('FINDING_NOT_FOUND');
  expect((await finance('listFindings', { query: { severity: 'AWFUL' } })).body.code).toBe('invalid_request');
  expect((await finance('ownFinding', { path, body: { owner: 'Fay' } })).body.finding.owner).toBe('Fay');
  expect((await finance('ownFinding', { path, body: {} })).body.code).toBe('invalid_request');
  expect((await finance('resolveFinding', { path, body: {} })).body.code).toBe('REASON_REQUIRED');

  const large = { delta_minor: '20000', currency: 'USD', reason: 'the provider captured it' };
  const proposed = await finance('correctFinding', { path, body: large, headers: key() });
  expect(proposed.body.correction.state).toBe('proposed');
  expect((await finance('correctFinding', { path, body: large })).body.code).toBe('IDEMPOTENCY_KEY_REQUIRED');
  const correction = { id: proposed.body.correction.id };
  const decision = { action: 'approve', reason: 'checked with the provider' };
  expect((await finance('decideCorrection', { path: correction, body: decision })).body.code).toBe(
    'FOUR_EYES',
  );
  const posted = await second('decideCorrection', { path: correction, body: decision });
  expect(posted.body).toMatchObject({ correction: { state: 'posted' }, finding: { status: 'RESOLVED' } });
  expect((await second('decideCorrection', { path: correction, body: decision })).body.code).toBe(
    'CORRECTION_DECIDED',
  );
  const again = await finance('resolveFinding', { path, body: { reason: 'known' } });
  expect(again.body).toMatchObject({ id, status: 'RESOLVED', changed: false });
});

test('reconciliations are run, queued, listed and read as the contract says', async () => {
  await captured(stack);
  const now = await finance('reconcileProvider', { query: { provider: 'mockpsp' } });
  expect(now.body).toMatchObject({ status: 'ok', run: { status: 'completed', stats: { complete: true } } });
  const nobody = await finance('reconcileProvider', { query: { provider: 'paynow' } });
  expect([nobody.status, nobody.body.code]).toEqual([400, 'UNSUPPORTED_PROVIDER']);
  const window = { window_start: '2026-01-01T00:00:00Z', window_end: '2026-01-02T00:00:00Z' };
  const order = { provider: 'mockpsp', ...window, idempotency_key: 'january' };
  const { run } = (await finance('queueProviderRun', { body: order })).body;
  const replay = await finance('queueProviderRun', { body: order });
  expect([replay.body.run.id, replay.headers.get('idempotency-replayed')]).toEqual([run.id, 'true']);
  const other = { ...order, dry_run: true };
  expect((await finance('queueProviderRun', { body: other })).body.code).toBe('IDEMPOTENCY_CONFLICT');
  const endless = { ...order, window_end: '2027-01-01T00:00:00Z', idempotency_key: 'endless' };
  expect((await finance('queueProviderRun', { body: endless })).body.code).toBe('invalid_request');
  expect((await finance('readProviderRun', { path: { id: run.id } })).body.run.provider).toBe('mockpsp');
  expect((await finance('readProviderRun', { path: { id: unknown_id } })).body.code).toBe('RUN_NOT_FOUND');
  expect((await finance('listProviderRuns')).body.meta.total).toBe(2);
  expect((await finance('listProviderRuns', { query: { limit: '0' } })).body.code).toBe('invalid_request');
});

test('methods, products and ceilings are read and set as the contract says', async () => {
  const method = { method: 'card', provider: 'stripe' };
  expect((await admin('setPaymentMethod', { body: method })).body.provider).toBe('stripe');
  expect((await admin('setPaymentMethod', { body: { ...method, provider: 'x' } })).status).toBe(400);
  expect((await finance('setPaymentMethod', { body: method })).body.code).toBe('forbidden');
  expect((await finance('listPaymentMethods')).body.methods).toContainEqual({ ...method, of_tenant: true });
  const product = { provider: 'paynow', product_id: 'p1', points: '500' };
  expect((await admin('setProduct', { body: product })).body.product.points).toBe('500');
  expect((await finance('setProduct', { body: product })).body.code).toBe('forbidden');
  expect((await finance('listProducts')).body.products).toMatchObject([product]);
  const customer = { provider: 'paynow', customer_id: 'c1', player_id: await payingPlayer(stack) };
  expect((await finance('setProviderCustomer', { body: customer })).body).toMatchObject(customer);
  const stranger = { ...customer, player_id: unknown_id };
  expect((await finance('setProviderCustomer', { body: stranger })).body.code).toBe('PLAYER_NOT_FOUND');
  const ceiling = { units: '50' };
  expect((await admin('setCorrectionCeiling', { body: ceiling })).body.ceiling_units).toBe('50');
  expect((await finance('setCorrectionCeiling', { body: ceiling })).body.code).toBe('forbidden');
  for (const id of ['listPaymentMethods', 'listProducts'])
    expect((await ask(id, { as: 'player' })).body.code).toBe('forbidden');
});

test('a history of a provider is imported once, as the contract says', async () => {
  const order = { id: randomUUID(), event_type: 'ON_ORDER_COMPLETED', orderId: 'o1' };
  const history = { provider: 'paynow', events: [order] };
  const first = await ask('importProviderEvents', { as: 'service', body: history });
  expect(first.body).toMatchObject({ read: 1, created: 1, known: 0 });
  const again = await ask('importProviderEvents', { as: 'service', body: history });
  expect(again.body).toMatchObject({ created: 0, known: 1 });
  const unreadable = { ...history, events: [order, {}] };
  const refused = await ask('importProviderEvents', { as: 'service', body: unreadable });
  expect(refused.body).toMatchObject({
    code: 'INVALID_WEBHOOK',
    error: expect.stringMatching(/^Event 2: /),
  });
  const stranger = await ask('importProviderEvents', { as: 'player', body: history });
  expect(stranger.body.code).toBe('forbidden');
});

test('each operation of payments has been seen to be done and to be refused', () => {
  expect(unseen(operations.filter(({ tag }) => tag === 'payments'))).toEqual([]);
});
