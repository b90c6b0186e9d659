// Stripe through the doors: deposits, refunds, disputes and payouts of a local Stripe, its webhooks in any order, and its book against ours.
import { PutSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import type Stripe from 'stripe';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { violations } from '../support/money.ts';
import { type Call, caller, key, openPlayer, type Player } from '../support/money-doors.ts';
import { plant } from '../support/reconciliation.ts';
import { sharedStack } from '../support/shared-stack.ts';
import type { TestStack } from '../support/stack.ts';
import { openStripe, type StripeServer } from '../support/stripe-server.ts';
import { post, signStripe } from '../support/webhooks.ts';

const webhook_secret = 'whsec_of_the_test';
let stack: TestStack;
let server: StripeServer;
let finance: Call;
beforeAll(async () => {
  [stack, server] = await Promise.all([sharedStack(), openStripe()]);
  const admin = await caller(stack, ['platform-admin', 'finance']);
  finance = await caller(stack, ['finance']);
  const { ref } = stack.resource('AWS::SecretsManager::Secret', 'Paymentsstripe');
  const secret = { webhook_secret, api_key: server.api_key, api_base: server.url };
  const secrets = new SecretsManagerClient(stack.client);
  await secrets.send(new PutSecretValueCommand({ SecretId: ref, SecretString: JSON.stringify(secret) }));
  for (const method of ['card', 'bank'])
    expect((await admin('PUT', '/admin/payment-methods', { method, provider: 'stripe' })).status).toBe(200);
  const limits = {
    daily_deposit_units: 900_000_000_000_000,
    daily_withdrawal_units: 1_000_000,
    payout_cooldown_s: 0,
  };
  expect((await admin('PUT', '/admin/policy', limits)).status).toBe(200);
  await stack.database.query(`update payment_providers set grace_s = 0 where provider = 'stripe'`);
});
afterAll(async () => {
  expect(await violations(stack.database)).toEqual([]);
  await server.close();
});

/** As Stripe sends it; what was taken has been applied when this resolves. */
async function deliver(event: Stripe.Event) {
  const raw = JSON.stringify(event satisfies Stripe.Event);
  const answer = await post(stack, '/payments/webhook/stripe', raw, signStripe(raw, webhook_secret));
  await stack.delivered();
  return [answer.status, answer.body.idempotent ?? answer.body.code];
}

async function deposited(player: Player, amount_minor = '2000', idempotency = key()) {
  const asked = { amount_minor, method: 'card' };
  const { status, body } = await player.call('POST', '/player/wallet/deposit', asked, idempotency);
  return { status, ...body, id: body.transaction?.id as string };
}

async function funded(amount = '2000'): Promise<{ player: Player; intent: string; tx: string }> {
  const player = await openPlayer(stack);
  const { id: tx } = await deposited(player, amount);
  const { id: intent } = server.book.intentOf(tx);
  expect(await deliver(server.book.capture(intent))).toEqual([200, false]);
  return { player, intent, tx };
}

async function approved(address: string | undefined = 'ba_player'): Promise<{ player: Player; tx: string }> {
  const { player } = await funded();
  const asked = { amount_minor: '1500', method: 'bank', ...(address && { address }) };
  const { body } = await player.call('POST', '/player/wallet/withdraw', asked, key());
  const tx = body.transaction.tx_id;
  await finance('POST', `/finance/withdrawals/${tx}/review`, { action: 'approve', reason: 'checked' });
  return { player, tx };
}

const pay = (tx: string, verb: 'payout' | 'recheck' | 'retry') =>
  finance('POST', `/finance/withdrawals/${tx}/${verb}`, { reason: 'paid by Stripe' }, key());
const payoutOf = (tx: string) => server.book.payoutsOf(tx).at(0)?.id ?? '';
const stateOf = async (tx: string) =>
  (await finance('GET', `/finance/withdrawals/${tx}`)).body.transaction.state as string;
const refOf = ({ data }: Stripe.Event) => (data.object as { id: string }).id;
const reconcile = async () =>
  (await finance('POST', '/payments/reconciliation/run?provider=stripe')).body.run as {
    status: string;
    stats: Record<string, unknown>;
  };
const findings = async (tx: string) =>
  (await finance('GET', `/payments/reconciliation/findings?tx_id=${tx}`)).body.items as Record<
    string,
    string
  >[];

describe('a deposit', () => {
  test('waits with a client secret until Stripe says that it was paid, and is credited once', async () => {
    const player = await openPlayer(stack);
    const idempotency = key();
    const made = await deposited(player, '2000', idempotency);
    const intent = server.book.intentOf(made.id);
    expect(made).toMatchObject({ status: 200, client_secret: intent.client_secret });
    expect(made.transaction).toMatchObject({ state: 'pending_provider', provider: 'stripe' });
    expect(intent).toMatchObject({ amount: 2000, currency: 'usd', metadata: { player_id: player.id } });
    expect((await deposited(player, '2000', idempotency)).client_secret).toBe(intent.client_secret);
    expect(await player.balance()).toEqual(['0', '0', '0']);
    const event = server.book.capture(intent.id);
    expect([await deliver(event), await deliver(event)]).toEqual([
      [200, false],
      [200, true],
    ]);
    expect(await player.balance()).toEqual(['2000', '0', '2000']);
  });

  test('whose card is declined fails, and is credited when another card is taken after all', async () => {
    const player = await openPlayer(stack);
    const { id } = await deposited(player);
    const intent = server.book.intentOf(id);
    await deliver(server.book.decline(intent.id));
    expect((await deposited(player, '1')).status).toBe(200);
    expect(await player.balance()).toEqual(['0', '0', '0']);
    await deliver(server.book.capture(intent.id));
    expect(await player.balance()).toEqual(['2000', '0', '2000']);
  });

  test('above 2^53 fails without Stripe being asked for another amount', async () => {
    const player = await openPlayer(stack);
    const before = server.requests.length;
    const { status, transaction } = await deposited(player, '9007199254740993');
    expect([status, transaction.state, transaction.error_code]).toEqual([200, 'failed', 'AMOUNT_TOO_LARGE']);
    expect(server.requests.length).toBe(before);
  });

  test('that Stripe refuses fails, and one whose reply is lost has one payment intent', async () => {
    const player = await openPlayer(stack);
    server.fail('card_declined');
    expect((await deposited(player)).transaction).toMatchObject({
      state: 'failed',
      error_code: 'card_declined',
    });
    for (const failure of ['rate_limit', 'server_error'] as const) {
      server.fail(failure);
      expect((await deposited(player)).transaction).toMatchObject({ state: 'pending_provider' });
    }
    server.fail('lost_reply');
    const idempotency = key();
    const { id, client_secret } = await deposited(player, '2000', idempotency);
    server.fail(null);
    expect(client_secret).toBeUndefined();
    const again = await deposited(player, '2000', idempotency);
    expect([again.id, again.client_secret]).toEqual([id, server.book.intentOf(id).client_secret]);
  });
});

describe('what comes back', () => {
  test('a refund made by hand in the dashboard is known by its payment, and taken back once however often it is told', async () => {
    const { player, intent } = await funded();
    const refund = server.book.refund(intent, 700);
    expect(await deliver(refund)).toEqual([200, false]);
    expect(await deliver(server.book.noteRefund(refOf(refund)))).toEqual([200, false]);
    expect(await player.balance()).toEqual(['1300', '0', '1300']);
    await deliver(server.book.refund(intent, 300));
    expect(await player.balance()).toEqual(['1000', '0', '1000']);
  });

  test('a dispute takes the money and gives it back when it is won, in whichever order that is told', async () => {
    for (const turned of [false, true]) {
      const { player, intent } = await funded();
      const lost = server.book.dispute(intent, 2000);
      const won = server.book.winDispute(refOf(lost));
      await deliver(turned ? won : lost);
      expect(await player.balance()).toEqual(turned ? ['2000', '0', '2000'] : ['0', '0', '0']);
      await deliver(turned ? lost : won);
      expect(await player.balance()).toEqual(['2000', '0', '2000']);
    }
  });

  test('a refund that overtakes its payment waits for it', async () => {
    const player = await openPlayer(stack);
    const { id } = await deposited(player);
    const intent = server.book.intentOf(id);
    const captured = server.book.capture(intent.id);
    await deliver(server.book.refund(intent.id, 500));
    await deliver(captured);
    expect(await player.balance()).toEqual(['1500', '0', '1500']);
  });
});

describe('a payout', () => {
  test('is settled by the webhook that says so, and is paid to the player', async () => {
    const { player, tx } = await approved();
    expect((await pay(tx, 'payout')).body.transaction.state).toBe('unknown');
    expect(server.book.payoutsOf(tx)).toMatchObject([
      { amount: 1500, currency: 'usd', destination: 'ba_player' },
    ]);
    await deliver(server.book.payOut(payoutOf(tx)));
    expect(await stateOf(tx)).toBe('paid');
    expect(await player.balance()).toEqual(['500', '0', '500']);
  });

  test('without a destination of the player is never made', async () => {
    const { player, tx } = await approved('DE89370400440532013000');
    const { body } = await pay(tx, 'payout');
    expect([body.transaction.state, body.payout_attempt.error_code]).toEqual([
      'payout_failed',
      'PAYOUT_DESTINATION_INVALID',
    ]);
    expect(server.book.payoutsOf(tx)).toEqual([]);
    expect(await player.balance()).toEqual(['500', '1500', '2000']);
  });

  test('that fails at the bank keeps the money held, and a retry pays it', async () => {
    const { player, tx } = await approved();
    await pay(tx, 'payout');
    await deliver(server.book.returnPayout(payoutOf(tx)));
    expect(await stateOf(tx)).toBe('payout_failed');
    expect(await player.balance()).toEqual(['500', '1500', '2000']);
    await pay(tx, 'retry');
    await deliver(server.book.payOut(payoutOf(tx)));
    expect([await stateOf(tx), server.book.payoutsOf(tx).length]).toEqual(['paid', 1]);
    expect(await player.balance()).toEqual(['500', '0', '500']);
  });

  test('that comes back after it was paid leaves a finding and moves nothing', async () => {
    const { player, tx } = await approved();
    await pay(tx, 'payout');
    const id = payoutOf(tx);
    await deliver(server.book.payOut(id));
    await deliver(server.book.returnPayout(id));
    expect(await stateOf(tx)).toBe('paid');
    expect(await player.balance()).toEqual(['500', '0', '500']);
    expect(await findings(tx)).toMatchObject([{ finding_type: 'failed_after_payment', severity: 'ERROR' }]);
  });

  test('whose reply is lost is unknown until a recheck, and left once', async () => {
    const { player, tx } = await approved();
    server.fail('lost_reply');
    expect((await pay(tx, 'payout')).body.transaction.state).toBe('unknown');
    expect((await pay(tx, 'recheck')).body.transaction.state).toBe('unknown');
    server.fail(null);
    expect((await pay(tx, 'recheck')).body.payout_attempt.provider_ref).toBe(payoutOf(tx));
    server.book.payOut(payoutOf(tx)); // its webhook is lost too
    expect((await pay(tx, 'recheck')).body.transaction.state).toBe('paid');
    expect(server.book.payoutsOf(tx)).toHaveLength(1);
    expect(await player.balance()).toEqual(['500', '0', '500']);
  });

  test('asked about again after Stripe forgot its key is found, and not made again', async () => {
    const { tx } = await approved();
    server.fail('lost_reply');
    await pay(tx, 'payout');
    server.fail(null);
    server.forgetKeys();
    await plant(
      stack.database,
      `update payout_attempts set created_at = created_at - interval '2 days', updated_at = updated_at - interval '2 days' where withdraw_tx_id = '${tx}'`,
    );
    const two_days_s = 2 * 86_400;
    for (const payout of server.book.payoutsOf(tx)) payout.created -= two_days_s;
    server.book.payOut(payoutOf(tx));
    await stack.functions.invoke(stack.functionName('process'), {});
    expect([await stateOf(tx), server.book.payoutsOf(tx).length]).toEqual(['paid', 1]);
  });
});

describe('a webhook', () => {
  test('about a payment of another system of the company is taken and changes nothing', async () => {
    const { id } = server.book.make('payment_intents', { amount: 900, currency: 'usd' }) as { id: string };
    expect(await deliver(server.book.capture(id))).toEqual([200, false]);
    const { rows } = await stack.database.query(
      `select status from provider_events where provider = 'stripe' and payload #>> '{data,object,id}' = $1`,
      [id],
    );
    expect(rows).toEqual([{ status: 'ignored' }]);
  });
});

describe('the reconciliation with Stripe', () => {
  test('finds nothing when every webhook has come, and sums to the same on both sides', async () => {
    const { body } = await finance(
      'GET',
      '/payments/reconciliation/findings?provider=stripe&status=OPEN&limit=200',
    );
    const before = body.items.map(({ finding_type }: { finding_type: string }) => finding_type);
    const run = await reconcile();
    expect(run).toMatchObject({ status: 'completed', stats: { complete: true, differences: {}, new: '0' } });
    expect(run.stats.currencies).toMatchObject({ USD: { drift_minor: '0' } });
    expect(before).toEqual(['failed_after_payment']);
  });

  test('finds a payment whose webhook was lost, brings it by the list, and then agrees', async () => {
    const player = await openPlayer(stack);
    const { id } = await deposited(player);
    const event = server.book.capture(server.book.intentOf(id).id);
    event.created -= 10; // a list leaves the present second for the next one
    expect((await reconcile()).stats).toMatchObject({ differences: { missing_in_ledger: '1' }, new: '1' });
    expect(await findings(id)).toMatchObject([{ finding_type: 'missing_in_ledger', status: 'OPEN' }]);
    await stack.functions.invoke(stack.functionName('match'), { catch_up: true });
    await stack.delivered();
    expect(await player.balance()).toEqual(['2000', '0', '2000']);
    expect((await reconcile()).stats).toMatchObject({ differences: {}, resolved: '1' });
    expect(await findings(id)).toMatchObject([{ finding_type: 'missing_in_ledger', status: 'RESOLVED' }]);
  });

  test('of a window that Stripe does not list any more concludes nothing', async () => {
    const ago = (days: number) => new Date(Date.now() - days * 86_400_000).toISOString();
    const window = { provider: 'stripe', window_start: ago(60), window_end: ago(40) };
    const { body } = await finance('POST', '/reconciliation/runs', window);
    await stack.delivered();
    const { run } = (await finance('GET', `/reconciliation/runs/${body.run.id}`)).body;
    expect(run).toMatchObject({ status: 'incomplete', error: { code: 'FEED_INCOMPLETE' } });
  });
});
