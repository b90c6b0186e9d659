// How the tests move money for players: each verb as its door calls it, and what a withdrawal looks like afterwards.
import { randomUUID } from 'node:crypto';
import type pg from 'pg';

export const tenant = 'tenant';
export const reviewer = randomUUID();

// biome-ignore lint/suspicious/noExplicitAny: answers have many shapes
export type Answer = Record<string, any>;
type Finance = 'review' | 'mark_paid' | 'payout' | 'retry' | 'recheck';

export async function ask(client: pg.ClientBase, sql: string, ...values: unknown[]): Promise<Answer> {
  return (await client.query(`select ${sql} answer`, values)).rows[0].answer;
}

/** A player who is verified and approved. */
export async function newPlayer(client: pg.ClientBase, of = tenant): Promise<string> {
  const player = randomUUID();
  await ask(client, 'register_player($1, $2)', player, of);
  for (const change of [{ email_verified: true, sms_verified: true }, { kyc_status: 'approved' }])
    await ask(client, 'change_player($1, $2, $3, $4)', of, reviewer, player, change);
  return player;
}

export const payment = (amount_minor: string, method: string) => ({ amount_minor, currency: 'USD', method });

export async function deposit(
  client: pg.ClientBase,
  player: string,
  amount: string,
  { key = randomUUID() as string, outcome = null as string | null } = {},
): Promise<Answer> {
  const begun = await ask(client, 'begin_deposit($1, $2, $3)', player, key, payment(amount, 'test'));
  if (begun.outcome !== 'done') return begun;
  const { transaction: order, tx_id } = begun;
  const said = await ask(client, 'mockpsp($1, $2, $3, $4)', 'capture_deposit', `tx_${tx_id}`, order, outcome);
  return ask(client, 'settle_deposit($1, $2, $3, $4)', order.tenant_id, tx_id, said.status, said);
}

export const withdraw = (
  client: pg.ClientBase,
  player: string,
  amount: string,
  key: string = randomUUID(),
  method = 'test_bank',
): Promise<Answer> => ask(client, 'request_withdrawal($1, $2, $3)', player, key, payment(amount, method));

export const act = (
  client: pg.ClientBase,
  verb: Finance,
  tx: string,
  body: object = {},
  { key = randomUUID() as string | null, actor = reviewer as string, of = tenant } = {},
): Promise<Answer> =>
  ask(client, 'act_on_withdrawal($1, $2, $3, $4, $5, $6)', of, actor, key, verb, tx, body);

export const approve = (client: pg.ClientBase, tx: string) =>
  act(client, 'review', tx, { action: 'approve', reason: 'checked' });
export const reject = (client: pg.ClientBase, tx: string) =>
  act(client, 'review', tx, { action: 'reject', reason: 'not theirs' });

/** Takes an attempt to the provider and settles what it says; without a call, the provider has not heard of it. */
export async function settle(
  client: pg.ClientBase,
  tx: string,
  attempt: string,
  outcome: string | null = null,
): Promise<Answer> {
  const { order } = await ask(client, 'read_withdrawal($1, $2, $3)', tenant, tx, attempt);
  const said = await ask(client, 'mockpsp($1, $2, $3, $4)', 'payout_withdrawal', order.key, order, outcome);
  const status = said.status === 'PENDING' ? 'UNKNOWN' : said.status;
  return ask(client, 'settle_payout($1, $2, $3, $4)', tenant, attempt, status, said);
}

export async function pay(
  client: pg.ClientBase,
  verb: Finance,
  tx: string,
  outcome: string | null = null,
  body: object = {},
): Promise<Answer> {
  const begun = await act(client, verb, tx, body);
  if (begun.outcome !== 'done') return begun;
  await settle(client, tx, begun.attempt_id, outcome);
  return begun;
}

/** The state of a withdrawal and how often money left for it. */
export async function outcome(client: pg.ClientBase, tx: string): Promise<[state: string, debits: number]> {
  const { rows } = await client.query(
    `select state, (select count(*)::int from transfers t where t.reference = w.id::text and t.kind = 'withdraw_paid') debits from withdrawals w where id = $1`,
    [tx],
  );
  return [rows[0].state, rows[0].debits];
}

/** What the ledger holds of a player: available and held; null without a wallet. */
export async function ledgerOf(client: pg.ClientBase, player: string): Promise<string[] | null> {
  const { rows } = await client.query(
    'select balance_real_available a, balance_real_pending h from wallet_balances where player_id = $1',
    [player],
  );
  return rows[0] ? [rows[0].a, rows[0].h] : null;
}

export async function legacyOf(client: pg.ClientBase, player: string): Promise<string[] | null> {
  const { rows } = await client.query(
    'select available::text, held::text from legacy_balances where player_id = $1',
    [player],
  );
  return rows[0] ? [rows[0].available, rows[0].held] : null;
}

export async function findings(client: pg.ClientBase, player: string): Promise<string[]> {
  const { rows } = await client.query(
    'select finding_type from reconciliation_findings where player_id = $1 order by created_at',
    [player],
  );
  return rows.map(({ finding_type }) => finding_type);
}

export const setFlag = (client: pg.ClientBase, flag: string, value: boolean | null, of = tenant) =>
  ask(client, 'set_flag($1, $2, $3, null, $4)', flag, value, of, 'test');
