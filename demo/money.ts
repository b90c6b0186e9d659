// Twelve players of two tenants: what they paid in, and withdrawals in every state that a call can leave them in.
import { type Answer, type Call, type Caller, type Demo, userOf } from './stack.ts';

export interface Player extends Caller {
  tenant: string;
  currency: string;
  call: Call;
}

export interface Money {
  players: Player[];
  /** Of the tenant: who reviews, and who pays. */
  finance(tenant: string): { maker: Call; checker: Call };
  deposits: number;
  withdrawals: Record<string, number>;
}

const second_tenant = 'northwind';
const players_count = 12;
const of_second_tenant = 4;
/** What the mock provider makes of the deposits of a player, in turn. */
const outcomes = ['success', 'success', 'duplicate', 'success', 'fail', 'out_of_order'];
const deposits_each = 2;

type Ending = 'requested' | 'approved' | 'rejected' | 'canceled' | 'paid' | 'paid by hand' | 'payout_failed';
const endings: Ending[] = [
  ...(['requested', 'approved', 'paid', 'rejected', 'requested', 'paid by hand'] as const),
  ...(['payout_failed', 'canceled', 'requested', 'paid', 'approved', 'requested'] as const),
  ...(['paid', 'payout_failed', 'approved', 'rejected', 'paid', 'paid by hand'] as const),
];

export async function moveMoney(demo: Demo): Promise<Money> {
  const staff: Record<string, { maker: Call; checker: Call }> = {
    default: { maker: demo.as(userOf('finance', 0)), checker: demo.as(userOf('finance', 1)) },
    [second_tenant]: { maker: financeOf(demo, 21), checker: financeOf(demo, 22) },
  };
  const finance = (tenant: string) => staff[tenant] as (typeof staff)[string];
  const players = await Promise.all(
    Array.from({ length: players_count }, (_, n) => register(demo, n, finance)),
  );
  let made = 0;
  const counts: Record<string, number> = {};
  await Promise.all(
    players.map(async (player, n) => {
      for (let k = 0; k < deposits_each + (n % 2); k += 1) {
        await deposit(
          player,
          `demo-deposit-${k}`,
          String(20_000 + 3_700 * n + 900 * k),
          outcomes[(n + k) % 6],
        );
        made += 1;
      }
      for (const [k, ending] of endings.entries()) {
        if (k % players_count !== n) continue;
        await withdrawal(
          player,
          finance(player.tenant),
          `demo-withdrawal-${k}`,
          String(2_400 + 610 * k),
          ending,
        );
        counts[ending] = (counts[ending] ?? 0) + 1;
      }
    }),
  );
  return { players, finance, deposits: made, withdrawals: counts };
}

async function register(demo: Demo, n: number, finance: Money['finance']): Promise<Player> {
  // The first one is the demo user of the embedded issuer, so that a person can sign in as a player with a history.
  const caller = n === 0 ? userOf('player') : { id: demoId(30 + n) };
  const tenant = n < players_count - of_second_tenant ? 'default' : second_tenant;
  const call = demo.as(caller);
  const { maker } = finance(tenant);
  await call('POST', '/api/v1/player/register', { tenant_id: tenant });
  const path = `/api/v1/admin/players/${caller.id}`;
  await maker('POST', `${path}/verification`, { email_verified: true, sms_verified: true });
  await maker('POST', `${path}/kyc`, { decision: 'approved', reason: 'passport and address checked' });
  return { ...caller, tenant, currency: tenant === 'default' ? 'USD' : 'EUR', call };
}

/** A deposit that the mock provider decides as it is asked; its transaction. */
export async function deposit(player: Player, key: string, amount_minor: string, outcome = 'success') {
  const { body } = await player.call(
    ...(['POST', '/api/v1/player/wallet/deposit'] as const),
    { amount_minor, currency: player.currency, method: 'test' },
    { 'idempotency-key': key, 'x-mock-outcome': outcome },
  );
  return body.transaction as { id: string; provider_ref: string | null };
}

/** A withdrawal that a player has asked for; its id. */
export async function request(player: Player, key: string, amount_minor: string): Promise<string> {
  const { body } = await player.call(
    ...(['POST', '/api/v1/player/wallet/withdraw'] as const),
    { amount_minor, currency: player.currency, method: 'test_bank', address: 'NL91 ABNA 0417 1643 00' },
    { 'idempotency-key': key },
  );
  return body.tx_id;
}

const path = (tx: string, verb: string) => `/api/v1/finance/withdrawals/${tx}/${verb}`;

export const approve = (call: Call, tx: string): Promise<Answer> =>
  call('POST', path(tx, 'review'), { action: 'approve', reason: 'checked against the deposits' });

export const payOut = (call: Call, tx: string, outcome: string): Promise<Answer> =>
  call('POST', path(tx, 'payout'), {}, { 'idempotency-key': `demo-${tx}`, 'x-mock-outcome': outcome });

async function withdrawal(
  player: Player,
  { maker, checker }: { maker: Call; checker: Call },
  key: string,
  amount: string,
  ending: Ending,
): Promise<void> {
  const tx = await request(player, key, amount);
  if (ending === 'requested') return;
  if (ending === 'canceled') {
    await player.call('POST', `/api/v1/player/wallet/withdrawals/${tx}/cancel`, {});
  } else if (ending === 'rejected') {
    await maker('POST', path(tx, 'review'), { action: 'reject', reason: 'the account is of another name' });
  } else {
    await approve(maker, tx);
    if (ending === 'paid') await payOut(checker, tx, 'success');
    if (ending === 'payout_failed') await payOut(checker, tx, 'fail');
    if (ending === 'paid by hand')
      await checker('POST', path(tx, 'mark-paid'), { reason: 'paid by the bank, statement 118' });
  }
}

const financeOf = (demo: Demo, number: number): Call =>
  demo.as({ id: demoId(number), groups: [`finance:${second_tenant}`] });

const demoId = (number: number) => `0d000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
