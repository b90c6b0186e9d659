// The counters of the kernel as one flat object and as Prometheus text; each lives in the ledger or the counter table, none in a process.
import { ask } from './ask.ts';
import type { Database, OutcomeCounter } from './ports.ts';

interface LedgerMetrics {
  allowed: string;
  overage: string;
  publish_failures: string;
  conflicts: string;
  reconciliation_ok: string;
  reconciliation_failed: string;
  drift_sites_last1h: number;
  outbox_waiting: string;
  outbox_failed: string;
  invoices_frozen: string;
  sites: string;
  jobs: { job: string; runs_ok: string; runs_failed: string; last_ok_at: string | null; missed: boolean }[];
}

/** Outcomes that only ingest sees, by the names under which it counts them. */
export const outcome_names = [
  'duplicate',
  'rejected_quota',
  'rate_limited',
  'conflict',
  'invalid',
  'degraded',
] as const;

export const help: Record<string, string> = {
  billing_ingest_allowed_total: 'Billable events admitted, overage included; from the usage rows.',
  billing_ingest_overage_total: 'Billable events admitted beyond the limit; from the usage rows.',
  billing_ingest_duplicate_total: 'Events answered as duplicates.',
  billing_ingest_rejected_quota_total: 'Events refused by a quota.',
  billing_ingest_rate_limited_total: 'Requests refused by the rate limit.',
  billing_ingest_conflict_total: 'Events whose id came with another payload.',
  billing_ingest_invalid_total: 'Events that were not valid.',
  billing_ingest_degraded_total: 'Events admitted whose message the queue did not take.',
  ingest_publish_failures_total: 'Publishes that failed after the commit.',
  billing_reconciliation_runs_ok_total: 'Runs of reconciliation that ended well.',
  billing_reconciliation_runs_failed_total: 'Runs of reconciliation that failed.',
  billing_reconciliation_drift_sites_last1h: 'Sites that drifted by more than 1 % in the last hour.',
  ingest_outbox_waiting: 'Admitted events not yet delivered.',
  ingest_outbox_failed: 'Admitted events that could not be delivered.',
  invoices_frozen_total: 'Frozen invoices.',
  sites_active: 'Active sites.',
};

export type Metrics = Record<string, number | null>;

/** Every counter; a table that is away leaves null in its own, never a wrong 0. */
export async function readMetrics(database: Database, outcomes: OutcomeCounter) {
  const [ledger, counted] = await Promise.all([
    ask(database, 'kernel_metrics()') as Promise<LedgerMetrics>,
    outcomes.totals().catch(() => null),
  ]);
  const flat: Metrics = {
    billing_ingest_allowed_total: Number(ledger.allowed),
    billing_ingest_overage_total: Number(ledger.overage),
    ...Object.fromEntries(
      outcome_names.map((name) => [`billing_ingest_${name}_total`, counted && Number(counted[name] ?? 0)]),
    ),
    ingest_publish_failures_total: Number(ledger.publish_failures),
    billing_reconciliation_runs_ok_total: Number(ledger.reconciliation_ok),
    billing_reconciliation_runs_failed_total: Number(ledger.reconciliation_failed),
    billing_reconciliation_drift_sites_last1h: ledger.drift_sites_last1h,
    ingest_outbox_waiting: Number(ledger.outbox_waiting),
    ingest_outbox_failed: Number(ledger.outbox_failed),
    invoices_frozen_total: Number(ledger.invoices_frozen),
    sites_active: Number(ledger.sites),
  };
  return { flat, jobs: ledger.jobs };
}

export type KernelMetrics = Awaited<ReturnType<typeof readMetrics>>;

/** The JSON form: the flat names, and the same nested by topic. */
export function metricsJson({ flat, jobs }: KernelMetrics) {
  const part = (prefix: string) =>
    Object.fromEntries(
      Object.entries(flat)
        .filter(([name]) => name.startsWith(prefix))
        .map(([name, value]) => [name.slice(prefix.length).replace(/_total$/, ''), value]),
    );
  return {
    ...flat,
    billing: { ingest: part('billing_ingest_'), reconciliation: part('billing_reconciliation_') },
    jobs,
  };
}

/** The text form of Prometheus, version 0.0.4; what is unknown is left out. */
export function metricsText({ flat, jobs }: KernelMetrics): string {
  const lines = Object.entries(flat).flatMap(([name, value]) =>
    value === null
      ? []
      : [
          `# HELP ${name} ${help[name]}`,
          `# TYPE ${name} ${name.endsWith('_total') ? 'counter' : 'gauge'}`,
          `${name} ${value}`,
        ],
  );
  const perJob = (
    name: string,
    text: string,
    type: string,
    value: (job: KernelMetrics['jobs'][0]) => unknown,
  ) => [
    `# HELP ${name} ${text}`,
    `# TYPE ${name} ${type}`,
    ...jobs.map((job) => `${name}{job="${job.job}"} ${value(job)}`),
  ];
  lines.push(
    ...perJob('kernel_job_runs_ok_total', 'Runs of a job that ended well.', 'counter', (job) => job.runs_ok),
    ...perJob(
      'kernel_job_runs_failed_total',
      'Runs of a job that failed.',
      'counter',
      (job) => job.runs_failed,
    ),
    ...perJob('kernel_job_missed', '1 when the heartbeat of a job is missed.', 'gauge', (job) =>
      job.missed ? 1 : 0,
    ),
  );
  return `${lines.join('\n')}\n`;
}
