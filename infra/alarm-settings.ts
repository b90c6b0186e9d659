// Who is told of what: the addresses, the thresholds of every alarm, and how often each job must show that it lives.
import type { FunctionName } from './config.ts';

/** `page` wakes somebody: money or customers' events are at risk. `ticket` waits for the morning. */
export type Severity = 'page' | 'ticket';

/** How a job shows that it lives. */
export interface Heartbeat {
  /** As often as its schedule. Up to an hour each run is awaited; a rarer one is judged by the watchtower after two of them. */
  readonly everyMinutes: number;
  readonly severity: Severity;
}

/** Every threshold is the last value that is still well. Ratios are shares of one. */
export interface AlarmSettings {
  /** E-mail addresses; each gets a mail with a link that it must follow once. Other receivers subscribe to the topics. */
  readonly page: readonly string[];
  readonly ticket: readonly string[];
  /** Where the runbook lies: a path of the repository, or the URL where people read it. */
  readonly runbook: string;
  /** Accepted share of requests of `ingest` that may fail in a month, and how many times as fast it may be used up. */
  readonly ingest: {
    readonly failedShare: number;
    readonly fastBurn: number;
    readonly slowBurn: number;
    /** Below so many failures in a window no share of few requests wakes anybody. */
    readonly failuresMin: number;
  };
  readonly outboxAgeSeconds: number;
  readonly queueAgeSeconds: number;
  readonly openFindings: number;
  /** Requests in five minutes that an instance judged by itself, without the table of the rate limit. */
  readonly rateLimitFallbacks: number;
  /** The rollback triggers of docs/rollout.md. */
  readonly rollback: {
    /** T1: times the hourly mean of a week, and share of the withdrawals that are asked for. */
    readonly insufficientFunds: { readonly timesBaseline: number; readonly share: number };
    /** T2: share of webhooks. */
    readonly signatureShare: number;
    /** T3: share of withdrawals, and a single difference in minor units. */
    readonly mismatch: { readonly share: number; readonly largestMinor: number };
    /** T1 and T2 need so many, for one of ten is no spike. */
    readonly countMin: number;
  };
  /** In five minutes, over all functions. */
  readonly ledgerFailures: {
    readonly unavailable: number;
    readonly throttled: number;
    readonly timeout: number;
    readonly contention: number;
  };
  /** Share of the longest time that a function may run. */
  readonly durationShare: number;
  readonly capacityPercent: number;
  readonly serverErrorPercent: number;
  /** Of the whole account, in US dollars a month; a ticket at 80 % expected and at 100 % spent. Unset: no budget. */
  readonly monthlyBudgetUsd?: number;
}

export const ALARMS: AlarmSettings = {
  page: [],
  ticket: [],
  runbook: 'docs/operations.md',
  ingest: { failedShare: 0.001, fastBurn: 14.4, slowBurn: 6, failuresMin: 5 },
  outboxAgeSeconds: 900,
  queueAgeSeconds: 900,
  openFindings: 25,
  rateLimitFallbacks: 20,
  rollback: {
    insufficientFunds: { timesBaseline: 2, share: 0.01 },
    signatureShare: 0.01,
    mismatch: { share: 0.001, largestMinor: 10_000 },
    countMin: 5,
  },
  ledgerFailures: { unavailable: 10, throttled: 10, timeout: 3, contention: 20 },
  durationShare: 0.95,
  capacityPercent: 90,
  serverErrorPercent: 2,
};

const DAY = 24 * 60;
export const HEARTBEATS: Partial<Record<FunctionName, Heartbeat>> = {
  sweep: { everyMinutes: 1, severity: 'page' },
  process: { everyMinutes: 1, severity: 'page' },
  recover: { everyMinutes: 5, severity: 'page' },
  backfill: { everyMinutes: 5, severity: 'ticket' },
  reconcile: { everyMinutes: 15, severity: 'page' },
  watchtower: { everyMinutes: 15, severity: 'page' },
  assure: { everyMinutes: DAY, severity: 'page' },
  match: { everyMinutes: DAY, severity: 'page' },
  cleanup: { everyMinutes: DAY, severity: 'ticket' },
  freeze: { everyMinutes: 31 * DAY, severity: 'page' },
};
