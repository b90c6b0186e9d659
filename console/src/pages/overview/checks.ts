// What the watchtower's checks say, each as a sentence, how grave it is, and where it is explained.
import type { Overview } from '../../api/client.ts';
import type { Tone } from '../../parts/numbers.tsx';
import { formatCount, formatDuration } from '../../words/format.ts';
import { t } from '../../words/overview.ts';

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

/** The same limits as the watchtower's own. */
const outbox_late_s = 600;
const outbox_lost_s = 1_800;
const payments_late_s = 600;
const quiet_s = 3_600;
const publish_failures_alarm = 5;

export function checksOf({ checks }: Overview): Finding[] {
  const said: Checks = checks;
  return [...ofLedger(said), ...(said.money ? ofMoney(said.money) : [])];
}

function ofLedger({ outbox, ingest, unfrozen, ...said }: Checks): Finding[] {
  const found: (Finding | undefined)[] = [
    outbox && ofOutbox(outbox),
    outbox && some('outbox_failed', outbox.failed, 'bad', '/jobs', 'check_outbox_failed'),
    some('undelivered', said.undelivered, 'bad', '/jobs', 'check_undelivered'),
    some('ledgerless', said.ledgerless, 'bad', '/jobs', 'check_ledgerless'),
    some('publish', said.publish_failures_15m, 'warn', '/sites', 'check_publish', publish_failures_alarm),
    some('drift', said.reconciliation?.drift_sites_last1h, 'warn', '/sites?sort=-drift', 'check_drift'),
    unfrozen &&
      (unfrozen.first
        ? {
            ...{ id: 'unfrozen', level: 'bad', href: unfrozenHref(unfrozen.first) },
            text: t('check_unfrozen_first', { n: formatCount(unfrozen.count), first: unfrozen.first }),
          }
        : some('unfrozen', unfrozen.count, 'bad', '/invoices', 'check_unfrozen')),
    some('exports', said.exports?.dead, 'warn', '/dispute', 'check_exports'),
    ingest && ofIngest(ingest),
  ];
  return found.filter((one) => one !== undefined);
}

function ofMoney(money: NonNullable<Checks['money']>): Finding[] {
  const events = money.payment_events;
  const late = Number(events.oldest_s) > payments_late_s;
  const held = formatCount(events.held);
  const age = formatDuration(Number(events.oldest_s));
  const found: (Finding | undefined)[] = [
    some('unknown', money.unknown_payouts, 'bad', '/finance/withdrawals?state=unknown', 'check_unknown'),
    some('stuck', money.stuck_payouts, 'warn', '/finance/withdrawals?state=payout_pending', 'check_stuck'),
    some('wallets', money.wallet_errors, 'bad', '/wallets', 'check_wallets'),
    {
      ...{ id: 'payments', level: late ? 'bad' : 'good', href: '/findings' },
      text:
        events.waiting === '0'
          ? t('check_payments_none', { held })
          : t('check_payments', { n: formatCount(events.waiting), age, held }),
    },
    some('payments_dead', events.dead, 'bad', '/findings', 'check_payments_dead'),
    some('incomplete', money.incomplete_runs, 'warn', '/findings', 'check_incomplete'),
    some('backfill', money.dead_backfill_items, 'warn', '/jobs', 'check_backfill'),
  ];
  return found.filter((one) => one !== undefined);
}

function ofOutbox({ waiting, oldest_s }: NonNullable<Checks['outbox']>): Finding {
  const oldest = Number(oldest_s);
  return {
    ...{ id: 'outbox', href: '/sites' },
    level: oldest > outbox_lost_s ? 'bad' : oldest > outbox_late_s ? 'warn' : 'good',
    text:
      waiting === '0'
        ? t('check_outbox_none')
        : t('check_outbox', { n: formatCount(waiting), age: formatDuration(oldest) }),
  };
}

/** Quiet is not wrong by itself: people sleep. */
function ofIngest({ age_s }: NonNullable<Checks['ingest']>): Finding {
  const quiet = age_s === null || Number(age_s) > quiet_s;
  return {
    ...{ id: 'ingest', level: quiet ? 'info' : 'good', href: '/sites' },
    text: age_s === null ? t('check_ingest_none') : t('check_ingest', { age: formatDuration(Number(age_s)) }),
  };
}

type Counted = Parameters<typeof t>[0] & (typeof counted)[number];
const counted = [
  ...([
    'check_outbox_failed',
    'check_undelivered',
    'check_ledgerless',
    'check_publish',
    'check_drift',
  ] as const),
  ...(['check_unfrozen', 'check_exports', 'check_wallets', 'check_unknown', 'check_stuck'] as const),
  ...(['check_backfill', 'check_payments_dead', 'check_incomplete'] as const),
];

/** Well at 0, else of this level; above `alarm` it is bad. */
function some(
  id: string,
  count: string | number | undefined,
  level: Level,
  href: string,
  key: Counted,
  alarm = Number.POSITIVE_INFINITY,
): Finding | undefined {
  if (count === undefined) return undefined;
  const n = Number(count);
  return {
    id,
    href,
    level: n === 0 ? 'good' : n > alarm ? 'bad' : level,
    text: t(key, { n: formatCount(count) }),
  };
}

/** "2026-10 SITE" → the invoice that is missing. */
function unfrozenHref(first: string): string {
  const [month = '', site = ''] = first.split(' ');
  return `/sites/${site}/invoices/${month}`;
}
