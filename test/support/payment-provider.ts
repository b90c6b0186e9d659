// How the tests stand in for a payment provider: what it tells by webhooks and in lists, and the jobs that work through it.
import { createHash, randomUUID } from 'node:crypto';
import type pg from 'pg';
import type { TestDatabase } from './database.ts';
import { type Answer, ask, deposit, ledgerOf, newPlayer, tenant } from './withdrawals.ts';

export const provider = 'mockpsp';

/** A deposit or withdrawal, as answers show it. */
export interface Payment {
  id: string;
  tenant_id: string;
  player_id: string;
  amount_minor: string;
  currency: string;
}

export interface Told {
  event_id: string;
  kind: string;
  occurred_at: string;
  tx_id?: string;
  tenant_id?: string;
  player_id?: string;
  amount_minor?: string;
  currency?: string;
  ref?: string;
  attempt_key?: string;
  [more: string]: unknown;
}

let seconds = 0;

/** What the provider says of a payment; each event is a second later than the one before it. */
export function told(payment: Payment, kind: string, more: Partial<Told> = {}): Told {
  const { id: tx_id, tenant_id, player_id, amount_minor, currency } = payment;
  seconds += 1;
  return {
    ...{ event_id: `${kind}:${randomUUID()}`, kind, type: kind, payload: {} },
    occurred_at: new Date(Date.UTC(2026, 0, 1, 0, 0, seconds)).toISOString(),
    ...{ tx_id, tenant_id, player_id, amount_minor, currency },
    ...more,
  };
}

export interface Hooked {
  signature?: 'valid' | 'invalid' | 'none';
  of?: string;
  account?: string;
}

/** The doors of the functions, each by its own role. */
export interface Doors {
  root: pg.Client;
  money: pg.Client;
  /** The job that processes, several times beside itself. */
  jobs: pg.Client[];
  /** One webhook; its answer as it is. */
  webhook(events: Told[], how?: Hooked): Promise<Answer>;
  /** Webhooks, one an event, and their ids. */
  hook(...events: Told[]): Promise<string[]>;
  list(events: Told[]): Promise<Answer>;
  /** Applies what is due among these until nothing is left, as the job does. */
  process(ids: string[], job?: pg.Client): Promise<Answer[]>;
  /** Takes an event in and applies it; its row afterwards. */
  take(event: Told): Promise<Answer>;
  /** Whatever waits for its next try is due now. */
  hurry(): Promise<void>;
  row(event_id: string): Promise<Answer>;
}

export async function openDoors(database: TestDatabase, jobs_count = 3): Promise<Doors> {
  const root = database.superuser;
  const [money, web] = [await database.as('kernel_money'), await database.as('kernel_webhook')];
  const jobs = await Promise.all(Array.from({ length: jobs_count }, () => database.as('kernel_jobs')));
  // Whether a commit reaches the disk is the question of other tests.
  for (const client of [root, money, web, ...jobs]) await client.query('set synchronous_commit = off');
  await ask(root, `apply_stage_defaults('dev')`);
  const first = jobs[0] as pg.Client;
  const webhook: Doors['webhook'] = (events, { signature = 'valid', of = provider, account = '' } = {}) => {
    const body = JSON.stringify(events);
    const hash = createHash('sha256').update(body).digest();
    return ask(web, 'receive_webhook($1, $2, $3, $4, $5)', of, account, signature, hash, body);
  };
  const doors: Doors = {
    ...{ root, money, jobs, webhook },
    async hook(...events) {
      const ids: string[] = [];
      for (const event of events) ids.push((await webhook([event])).events[0].id);
      return ids;
    },
    list: (events) => ask(first, `receive_events($1, '', 'list', $2)`, provider, JSON.stringify(events)),
    async process(ids, job = first) {
      const done: Answer[] = [];
      for (;;) {
        const some = (await ask(job, 'process_events($1)', JSON.stringify(ids))) as Answer[];
        if (some.length === 0) return done;
        done.push(...some);
      }
    },
    async take(event) {
      await doors.process(await doors.hook(event));
      return doors.row(event.event_id);
    },
    async hurry() {
      await root.query(
        `update provider_events set next_attempt_at = clock_timestamp() where status = 'failed' or status = 'held' and next_attempt_at is not null`,
      );
    },
    async row(event_id) {
      const { rows } = await root.query('select * from provider_events where event_id = $1', [event_id]);
      return rows[0];
    },
  };
  return doors;
}

/** A deposit that waits for what its provider says. */
export async function pending(
  { money }: Doors,
  player: string,
  amount_minor: string,
  currency = 'USD',
): Promise<Payment> {
  const body = { amount_minor, currency, method: 'card' };
  const begun = await ask(money, 'begin_deposit($1, $2, $3)', player, randomUUID(), body);
  if (begun.outcome !== 'done') throw new Error(begun.sentence);
  return begun.transaction;
}

/** What became of a deposit: its state, and how much of it was taken back. */
export async function depositState({ root }: Doors, { id }: Payment): Promise<[string, string, string]> {
  const text = 'select state, refunded::text, charged_back::text from deposits where id = $1';
  const { rows } = await root.query(text, [id]);
  return [rows[0].state, rows[0].refunded, rows[0].charged_back];
}

/** A deposit of 100 that waits, of a player who has nothing. */
export async function waiting(doors: Doors, of = tenant): Promise<{ player: string; payment: Payment }> {
  const player = await newPlayer(doors.money, of);
  return { player, payment: await pending(doors, player, '100') };
}

export async function captured(doors: Doors): Promise<{ player: string; payment: Payment }> {
  const made = await waiting(doors);
  await doors.take(told(made.payment, 'deposit_captured'));
  return made;
}

/** A withdrawal of 80 by a player who had 100, which nobody has reviewed. */
export async function requested({ money }: Doors): Promise<{ player: string; payment: Payment }> {
  const player = await newPlayer(money);
  await deposit(money, player, '100');
  const body = { amount_minor: '80', currency: 'USD', method: 'bank' };
  const made = await ask(money, 'request_withdrawal($1, $2, $3)', player, randomUUID(), body);
  return { player, payment: made.transaction };
}

export const available = async ({ root }: Doors, player: string) =>
  (await ledgerOf(root, player))?.[0] ?? '0';

/** Types of the findings about an event, each with how often it was opened again. */
export async function findingsAbout({ root }: Doors, event_id: string): Promise<string[]> {
  const { rows } = await root.query(
    `select finding_type || ' ' || reopened_count f from reconciliation_findings where provider_event_id = $1 order by 1`,
    [event_id],
  );
  return rows.map(({ f }) => f);
}

export const dueNow = ({ root }: Doors, event_id: string) =>
  root.query('update provider_events set next_attempt_at = clock_timestamp() where event_id = $1', [
    event_id,
  ]);

/** The schedule's part of the job. */
export const processDue = ({ jobs }: Doors) => ask(jobs[0] as pg.Client, 'process_due_events(200)');
