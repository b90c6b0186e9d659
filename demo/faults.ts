// Damage, each as a real accident leaves it, and on which page of the console it shows.
import { monthName, monthStart } from './history.ts';
import { approve, deposit, type Money, type Player, payOut, request } from './money.ts';
import type { Site } from './sites.ts';
import { type Demo, userOf } from './stack.ts';

export interface Fault {
  name:
    | 'drift'
    | 'stuck job'
    | 'missing webhook'
    | 'amount mismatch'
    | 'unknown payout'
    | 'stuck payout'
    | 'changed byte';
  /** What was planted. */
  what: string;
  /** The page of the console that names it. */
  where: string;
  /** Site or transaction. */
  id: string;
  /** Month or day, where it has one. */
  at?: string;
}

const drift = 12;
const dead_attempts = 8;

/** Deposits and payouts that went wrong at the provider; before the run that finds them. */
export async function plantMoneyFaults(demo: Demo, money: Money): Promise<Fault[]> {
  const [, first, second, third] = money.players as [Player, Player, Player, Player];
  return [
    await missingWebhook(demo, first),
    await amountMismatch(second),
    await unknownPayout(demo, money, third),
    await stuckPayout(demo, money, first),
  ];
}

/** Captured five days ago, and neither a webhook nor the catch-up, which looks back three days, has said so. */
async function missingWebhook(demo: Demo, player: Player): Promise<Fault> {
  const { id } = await deposit(player, 'demo-lost', '12500', 'lost');
  await demo.behindGuards(async () => {
    const then = `clock_timestamp() - interval '5 days'`;
    await demo.database.query(`update psp_events set occurred_at = ${then} where tx_id = $1`, [id]);
    await demo.database.query(
      `update deposits set created_at = ${then}, updated_at = ${then} where id = $1`,
      [id],
    );
  });
  return {
    ...{ name: 'missing webhook', id, where: 'Findings' },
    what: `The provider captured the deposit ${id} of 125.00 USD five days ago, and its webhook never came: missing_in_ledger.`,
  };
}

async function amountMismatch(player: Player): Promise<Fault> {
  const { id } = await deposit(player, 'demo-partial', '8000', 'partial');
  return {
    ...{ name: 'amount mismatch', id, where: 'Findings' },
    what: `The provider captured 40.00 of the 80.00 USD of the deposit ${id}: amount_mismatch.`,
  };
}

/** Asked three hours ago; however often it is asked again, the provider has not decided. */
async function unknownPayout(demo: Demo, money: Money, player: Player): Promise<Fault> {
  const { maker, checker } = money.finance(player.tenant);
  const tx = await request(player, 'demo-unknown', '7300');
  await approve(maker, tx);
  await payOut(checker, tx, 'timeout');
  const undecided = `update psp_events set decides_at = clock_timestamp() + interval '90 days' where tx_id = $1`;
  await demo.database.query(undecided, [tx]);
  await backdate(demo, tx, '3 hours');
  return {
    ...{ name: 'unknown payout', id: tx, where: 'Withdrawals, state unknown' },
    what: `The provider has not said whether it paid the withdrawal ${tx} of 73.00 USD.`,
  };
}

/** The function died between writing the attempt down and asking the provider, so long ago that nobody asks by itself any more. */
async function stuckPayout(demo: Demo, money: Money, player: Player): Promise<Fault> {
  const { maker } = money.finance(player.tenant);
  const tx = await request(player, 'demo-stuck', '5600');
  await approve(maker, tx);
  const first_step = `select act_on_withdrawal($1, $2, 'demo-stuck', 'payout', $3, '{}')`;
  await demo.database.query(first_step, [player.tenant, userOf('finance', 1).id, tx]);
  await backdate(demo, tx, '31 days');
  return {
    ...{ name: 'stuck payout', id: tx, where: 'Withdrawals, state payout_pending' },
    what: `The payout of the withdrawal ${tx} of 56.00 USD was begun a month ago and never ended.`,
  };
}

async function backdate(demo: Demo, tx: string, ago: string): Promise<void> {
  const then = `created_at = clock_timestamp() - $2::interval, updated_at = clock_timestamp() - $2::interval`;
  await demo.behindGuards(async () => {
    await demo.database.query(`update withdrawals set ${then} where id = $1`, [tx, ago]);
    await demo.database.query(`update payout_attempts set ${then} where withdraw_tx_id = $1`, [tx, ago]);
  });
}

/** The job that would mend the drift is dead, or it would be gone within a quarter of an hour. */
export async function plantDrift(demo: Demo, site: Site, now: Date): Promise<Fault[]> {
  const month = monthName(now);
  await demo.database.query('begin');
  const { rows } = await demo.database.query(
    `update billing_reconciliation_jobs set status = 'PROCESSING', attempt_count = $3, locked_at = clock_timestamp(), lease_until = clock_timestamp() + interval '2 minutes'
      where site_id = $1 and year_month = $2 returning id`,
    [site.id, month, dead_attempts],
  );
  if (!rows[0]) throw new Error(`There is no reconciliation job of ${site.public_id} in ${month}.`);
  const why = 'The fast counter did not answer within 2000 ms.';
  await demo.database.query('select finish_reconciliation($1, $2, $3, null, null)', [
    rows[0].id,
    dead_attempts,
    why,
  ]);
  await demo.database.query(
    'update site_usage_monthly set event_count = event_count - $3 where site_id = $1 and year_month = $2',
    [site.id, month, drift],
  );
  await demo.database.query('commit');
  const [id, at] = [site.id, month];
  return [
    {
      ...{ name: 'drift', id, at, where: 'Overview, and the site’s page' },
      what: `The usage row of ${site.name} is ${drift} events below the ledger in ${month}: somebody put an older copy back.`,
    },
    {
      ...{ name: 'stuck job', id, at, where: 'Overview, and Jobs' },
      what: `The reconciliation job of ${site.name} in ${month} is DEAD after ${dead_attempts} attempts, so nothing mends its drift.`,
    },
  ];
}

/** One bit of one row of a sealed month. */
export async function tamper(demo: Demo, public_id: string, now: Date): Promise<Fault> {
  const month = monthName(monthStart(now, -1));
  let changed: { site_id: string; name: string; day: string } | undefined;
  await demo.behindGuards(async () => {
    const { rows } = await demo.database.query(
      `with rows_ as (select l.site_id, l.id, s.name, row_number() over (order by l.id) nth, count(*) over () total
                        from ingest_idempotency l join sites s on s.id = l.site_id where s.public_id = $1 and l.year_month = $2)
       update ingest_idempotency l set payload_hash = set_byte(l.payload_hash, 7, get_byte(l.payload_hash, 7) # 1)
         from rows_ r where l.site_id = r.site_id and l.id = r.id and r.nth = r.total / 2
       returning l.site_id, r.name, left(utc_text(l.created_at), 10) as day`,
      [public_id, month],
    );
    changed = rows[0];
  });
  if (!changed) throw new Error(`The site ${public_id} has no events in ${month}.`);
  return {
    ...{ name: 'changed byte', id: changed.site_id, at: changed.day, where: `Invoices, Prove of ${month}` },
    what: `One byte of one ledger row of ${changed.name} of ${changed.day} was changed after its month was sealed.`,
  };
}

/** Whether the sealed month was changed already. */
export async function isTampered(demo: Demo, public_id: string, now: Date): Promise<boolean> {
  const month = monthName(monthStart(now, -1));
  const admin = demo.as(userOf('platform-admin'));
  const { body } = await admin('GET', `/api/sites/${public_id}/invoices/${month}`);
  return body.proof.seal_ok === false;
}
