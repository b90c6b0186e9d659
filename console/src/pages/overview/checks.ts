// What the watchtower's checks say, each as a sentence, how grave it is, and where it is explained.
import type { Overview } from '../../api/client.ts';
import type { Tone } from '../../parts/numbers.tsx';
import { formatCount, formatDuration } from '../../words/format.ts';
import { type Key, t } from '../../words/overview.ts';

export type Level = Extract<Tone, 'good' | 'info' | 'warn' | 'bad'>;
export interface Finding {
  id: string;
  level: Level;
  text: string;
  href?: string;
}

/** As `watchtower_checks` writes them; an older kernel may leave one out. */
interface Checks {
  heartbeats: unknown;
  publish_failures_15m?: string;
  outbox?: { waiting: string; failed: string; oldest_s: string };
  reconciliation?: { drift_sites_last1h: number };
  undelivered?: string;
  ledgerless?: string;
  unfrozen?: { count: string; first: string | null };
  seals?: { broken: string; first: string | null };
  exports?: { dead: string };
  ingest?: { last_at: string | null; age_s: string | null };
  money?: {
    wallet_errors: string;
    unknown_payouts: string;
    stuck_payouts: string;
    dead_backfill_items: string;
    payment_events: { waiting: string; held: string; dead: string; oldest_s: string };
    incomplete_runs: string;
  };
}

const levels: Record<Overview['judged'][string]['status'], Level> = {
  ...{ ok: 'good', degraded: 'warn', alarm: 'bad', critical: 'bad', skipped: 'info', unknown: 'warn' },
};

export function checksOf({ checks, judged }: Overview): Finding[] {
  const said: Checks = checks;
  const level = (check: string): Level => levels[judged[check]?.status ?? 'skipped'];
  return [...ofLedger(said, level), ...(said.money ? ofMoney(said.money, level) : [])];
}

type Judge = (check: string) => Level;

function ofLedger({ outbox, ingest, unfrozen, seals, ...said }: Checks, level: Judge): Finding[] {
  const some = counted(level);
  const found: (Finding | undefined)[] = [
    outbox && ofOutbox(outbox, level('outboxAge')),
    outbox && some('outboxFailed', outbox.failed, '/jobs', 'check_outbox_failed'),
    some('undelivered', said.undelivered, '/jobs', 'check_undelivered'),
    some('ledgerless', said.ledgerless, '/jobs', 'check_ledgerless'),
    some('ingestPublishFailuresLast15m', said.publish_failures_15m, '/sites', 'check_publish'),
    some(
      'billingReconciliationDriftLast1h',
      said.reconciliation?.drift_sites_last1h,
      '/sites?sort=-drift',
      'check_drift',
    ),
    unfrozen && ofMonths(level, 'unfrozenMonths', unfrozen.count, unfrozen.first, 'check_unfrozen'),
    seals && ofMonths(level, 'brokenSeals', seals.broken, seals.first, 'check_seals'),
    some('exportsDead', said.exports?.dead, '/dispute', 'check_exports'),
    ingest && ofIngest(ingest, level('sessionsLastHour')),
  ];
  return found.filter((one) => one !== undefined);
}

function ofMoney(money: NonNullable<Checks['money']>, level: Judge): Finding[] {
  const some = counted(level);
  const events = money.payment_events;
  const held = formatCount(events.held);
  const age = formatDuration(Number(events.oldest_s));
  const found: (Finding | undefined)[] = [
    some('payoutsUnknown', money.unknown_payouts, '/finance/withdrawals?state=unknown', 'check_unknown'),
    some('payoutsStuck', money.stuck_payouts, '/finance/withdrawals?state=payout_pending', 'check_stuck'),
    some('walletErrors', money.wallet_errors, '/wallets', 'check_wallets'),
    {
      ...{ id: 'paymentsWaiting', level: level('paymentsWaiting'), href: '/findings' },
      text:
        events.waiting === '0'
          ? t('check_payments_none', { held })
          : t('check_payments', { n: formatCount(events.waiting), age, held }),
    },
    some('paymentsDead', events.dead, '/findings', 'check_payments_dead'),
    some('matchIncomplete', money.incomplete_runs, '/findings', 'check_incomplete'),
    some('backfillDead', money.dead_backfill_items, '/jobs', 'check_backfill'),
  ];
  return found.filter((one) => one !== undefined);
}

function ofOutbox({ waiting, oldest_s }: NonNullable<Checks['outbox']>, level: Level): Finding {
  return {
    ...{ id: 'outboxAge', href: '/sites', level },
    text:
      waiting === '0'
        ? t('check_outbox_none')
        : t('check_outbox', { n: formatCount(waiting), age: formatDuration(Number(oldest_s)) }),
  };
}

/** Quiet is not wrong by itself: people sleep. */
function ofIngest({ age_s }: NonNullable<Checks['ingest']>, level: Level): Finding {
  return {
    ...{ id: 'sessionsLastHour', level: level === 'good' ? 'good' : 'info', href: '/sites' },
    text: age_s === null ? t('check_ingest_none') : t('check_ingest', { age: formatDuration(Number(age_s)) }),
  };
}

type Counted = Extract<
  Key,
  | 'check_outbox_failed'
  | 'check_undelivered'
  | 'check_ledgerless'
  | 'check_publish'
  | 'check_drift'
  | 'check_unfrozen'
  | 'check_exports'
  | 'check_seals'
  | 'check_wallets'
  | 'check_unknown'
  | 'check_stuck'
  | 'check_backfill'
  | 'check_payments_dead'
  | 'check_incomplete'
>;

/** A check that counts, as the watchtower judges the count. */
const counted =
  (level: Judge) =>
  (check: string, count: string | number | undefined, href: string, key: Counted): Finding | undefined =>
    count === undefined
      ? undefined
      : { id: check, href, level: level(check), text: t(key, { n: formatCount(count) }) };

/** Months are counted, and the first one is named: "2026-10 SITE" leads to the page of that invoice. */
function ofMonths(
  level: Judge,
  check: string,
  count: string,
  first: string | null,
  key: 'check_unfrozen' | 'check_seals',
): Finding | undefined {
  if (first === null) return counted(level)(check, count, '/invoices', key);
  const [month = '', site = ''] = first.split(' ');
  return {
    ...{ id: check, level: level(check), href: `/sites/${site}/invoices/${month}` },
    text: t(`${key}_first`, { n: formatCount(count), first }),
  };
}
