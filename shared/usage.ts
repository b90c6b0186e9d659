// The usage verb: a batch of one site's events becomes ledger rows, or is refused, in one call of the ledger.
import type { KeyedEvent } from './idempotency.ts';
import type { Database } from './ports.ts';
import type { TrackerReport } from './tracker-report.ts';

export type Outcome = 'accepted' | 'overage' | 'duplicate' | 'conflict' | 'rejected_quota';

/** What the ledger decided; the figures hold after the batch. */
export interface Decision {
  used: bigint;
  quota: bigint;
  remaining: bigint;
  /** UTC month of the decision, YYYY-MM. */
  month: string;
  /** Seconds to the month's end, by the ledger's clock. */
  retry_after_s: number;
  /** Highest ledger id admitted; null when none was. */
  as_of: bigint | null;
  admitted: bigint;
  /** One for each event, in the order given. */
  results: { outcome: Outcome; ingest_id: string | null }[];
}

export interface RequestContext {
  request_id: string;
  client_ip: string | null;
  user_agent: string | null;
}

interface DecisionRow {
  used: string;
  quota: string;
  remaining: string;
  month: string;
  as_of: string | null;
  admitted: string;
  retry_after_s: string;
  results: string;
}

/**
 * Commits the events; repeatable, since each has its key.
 * @param report of a tracker, which is counted with them.
 * @throws KernelError `site_not_found`, or `ledger_unavailable` when nothing is known of the outcome.
 */
export async function ingest(
  database: Database,
  site: string,
  batch: string,
  events: KeyedEvent[],
  context: RequestContext,
  report?: TrackerReport,
): Promise<Decision> {
  const counted = report?.sdk != null; // in the same statement, and so in the same commit and under the same lock
  const [row] = await database.query<DecisionRow>(
    `select used, quota, remaining, month, as_of, admitted, retry_after_s, results::text
       from ingest(:site::uuid, :batch::uuid, :events::jsonb, :request_id, :client_ip, :user_agent) decided
       ${counted ? ', lateral count_tracker_batch(:site::uuid, decided.month, :report::jsonb)' : ''}`,
    {
      ...{ site, batch, events: JSON.stringify(events), ...context },
      ...(counted && { report: JSON.stringify(report) }),
    },
  );
  if (!row) throw new Error('ingest returned no row.');
  const results = JSON.parse(row.results) as [Outcome, string | null][];
  return {
    used: BigInt(row.used),
    quota: BigInt(row.quota),
    remaining: BigInt(row.remaining),
    month: row.month,
    retry_after_s: Number(row.retry_after_s),
    as_of: row.as_of === null ? null : BigInt(row.as_of),
    admitted: BigInt(row.admitted),
    results: results.map(([outcome, ingest_id]) => ({ outcome, ingest_id })),
  };
}
