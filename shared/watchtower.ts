// Is the kernel well? Judges what the ledger, the dead-letter queues and a canary event say; the worst check is the verdict.
import { randomUUID } from 'node:crypto';
import { ask } from './ask.ts';
import type { Database } from './ports.ts';

export const levels = ['ok', 'degraded', 'alarm', 'critical'] as const;
export type Level = (typeof levels)[number];

export interface Check {
  /** `skipped` where there is nothing to judge, `unknown` where the source did not answer, which counts as degraded. */
  status: Level | 'skipped' | 'unknown';
  count?: number;
  [detail: string]: unknown;
}

/** What the ledger says of itself; counts as decimal strings. */
export interface LedgerChecks {
  publish_failures_15m: string;
  outbox: { waiting: string; failed: string; oldest_s: string };
  reconciliation: { drift_sites_last1h: number; failed: number; dead: number; stuck: number };
  undelivered: string;
  ledgerless: string;
  unfrozen: { count: string; first: string | null };
  seals: { broken: string; first: string | null };
  exports: { dead: string };
  ingest: { last_at: string | null; age_s: string | null };
  money: {
    open_findings: Record<string, string>;
    wallet_errors: string;
    unknown_payouts: string;
    stuck_payouts: string;
    dead_backfill_items: string;
    payment_events: { waiting: string; held: string; dead: string; oldest_s: string };
    incomplete_runs: string;
  };
  heartbeats: { job: string; last_ok_at: string | null; missed: boolean }[];
}

/** What the rollback triggers are measured against; counts and amounts as decimal strings. */
export interface WithdrawalSignals {
  /** Withdrawals refused for want of funds, as the mean of an hour over a week. */
  insufficient_funds_hourly: string;
  withdrawals_1h: string;
  mismatches_1h: string;
  /** In minor units, whatever the currency. */
  largest_mismatch: string;
}

const publish_failures_critical = 5;
/** Recovery runs every 5 minutes, so a row that is older has been missed by it. */
const outbox_degraded_s = 600;
const outbox_critical_s = 1_800;
/** Every minute `process` takes up what no message has brought. */
const payments_late_s = 600;
const quiet_s = 3_600;
const canary_wait_ms = 8_000;
const canary_poll_ms = 250;
const canary_request_ms = 10_000;

export async function readChecks(database: Database): Promise<LedgerChecks> {
  return (await ask(database, 'watchtower_checks()')) as LedgerChecks;
}

export async function readSignals(database: Database): Promise<WithdrawalSignals> {
  return (await ask(database, 'withdrawal_signals()')) as WithdrawalSignals;
}

/** One check for each thing that can be wrong; the names are those of the runbook's headings. */
export function judge(ledger: LedgerChecks): Record<string, Check> {
  const { outbox, reconciliation, heartbeats } = ledger;
  const missed = heartbeats.filter((heartbeat) => heartbeat.missed).map(({ job }) => job);
  const age = ledger.ingest.age_s;
  const failures = Number(ledger.publish_failures_15m);
  const oldest = Number(outbox.oldest_s);
  return {
    ingestPublishFailuresLast15m: {
      status: failures > publish_failures_critical ? 'critical' : failures > 0 ? 'degraded' : 'ok',
      count: failures,
    },
    outboxAge: {
      status: oldest > outbox_critical_s ? 'critical' : oldest > outbox_degraded_s ? 'degraded' : 'ok',
      count: Number(outbox.waiting),
      oldest_s: oldest,
    },
    outboxFailed: counted(outbox.failed, 'alarm'),
    billingReconciliationDriftLast1h: counted(reconciliation.drift_sites_last1h, 'degraded'),
    reconciliationFailed: counted(reconciliation.failed + reconciliation.stuck, 'degraded'),
    reconciliationDead: counted(reconciliation.dead, 'alarm'),
    undelivered: counted(ledger.undelivered, 'alarm'),
    ledgerless: counted(ledger.ledgerless, 'critical'),
    unfrozenMonths: { ...counted(ledger.unfrozen.count, 'alarm'), first: ledger.unfrozen.first },
    brokenSeals: { ...counted(ledger.seals.broken, 'critical'), first: ledger.seals.first },
    exportsDead: counted(ledger.exports.dead, 'degraded'),
    ...judgeMoney(ledger.money),
    heartbeats: { ...counted(missed.length, 'alarm'), missed },
    sessionsLastHour: {
      status: age === null ? 'skipped' : Number(age) > quiet_s ? 'degraded' : 'ok',
      last_at: ledger.ingest.last_at,
    },
  };
}

function judgeMoney(money: LedgerChecks['money']): Record<string, Check> {
  const findings = Object.entries(money.open_findings);
  const grave = findings.some(([severity]) => severity === 'ERROR' || severity === 'CRITICAL');
  const events = money.payment_events;
  const late = { status: Number(events.oldest_s) > payments_late_s ? ('alarm' as const) : ('ok' as const) };
  const open = findings.reduce((sum, [, count]) => sum + Number(count), 0);
  return {
    moneyFindings: { ...counted(open, grave ? 'alarm' : 'degraded'), severities: money.open_findings },
    walletErrors: counted(money.wallet_errors, 'alarm'),
    payoutsUnknown: counted(money.unknown_payouts, 'alarm'),
    payoutsStuck: counted(money.stuck_payouts, 'degraded'),
    backfillDead: counted(money.dead_backfill_items, 'degraded'),
    paymentsWaiting: { ...late, count: Number(events.waiting), held: events.held, oldest_s: events.oldest_s },
    paymentsDead: counted(events.dead, 'alarm'),
    matchIncomplete: counted(money.incomplete_runs, 'degraded'),
  };
}

export function counted(count: number | string, level: Level): Check {
  return { status: Number(count) > 0 ? level : 'ok', count: Number(count) };
}

/** The verdict of all checks. */
export function verdict(checks: Record<string, Check>): Level {
  const worst = Math.max(
    0,
    ...Object.values(checks).map(({ status }) =>
      status === 'unknown' ? 1 : levels.indexOf(status as Level),
    ),
  );
  return levels[worst] ?? 'critical';
}

/** Sends one event to the synthetic site through the public door and waits for it at the other end. */
export async function sendCanary(database: Database, apiUrl: string): Promise<Check> {
  const started = Date.now();
  try {
    const [site] = await database.query<{ site: string }>('select canary_site() site');
    const response = await fetch(`${apiUrl}/api/sync`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', origin: 'https://canary.invalid' },
      body: JSON.stringify({
        s: site?.site,
        i: `canary-${randomUUID()}`,
        url: 'https://canary.invalid/',
        ec: 'system',
        ea: 'canary',
      }),
      signal: AbortSignal.timeout(canary_request_ms),
    });
    const answer = (await response.json()) as { status?: string; code?: string; ingest_id?: string };
    const accepted_ms = Date.now() - started;
    if (response.status !== 200 || !answer.ingest_id)
      return { status: 'critical', stage: 'ingest', http_status: response.status, code: answer.code };
    for (const end = Date.now() + canary_wait_ms; Date.now() < end; ) {
      const [row] = await database.query<{ arrived: boolean }>('select canary_arrived(:id::uuid) arrived', {
        id: answer.ingest_id,
      });
      if (row?.arrived) return { status: 'ok', accepted_ms, delivered_ms: Date.now() - started };
      await new Promise((resolve) => setTimeout(resolve, canary_poll_ms));
    }
    return { status: 'degraded', stage: 'delivery', ingest_id: answer.ingest_id, accepted_ms };
  } catch (error) {
    return { status: 'critical', stage: 'ingest', error: (error as Error).message };
  }
}
