// Recomputes a frozen invoice on this computer from what the stack returns: the invoice's own hash, its counts, its seal.
import { createHash } from 'node:crypto';

type Day = { day: string; rows: string; billable: string; overage: string; hash: string };
export type Proof = {
  site_id: string;
  year_month: string;
  hash_version: number;
  event_count: string;
  overage_count: string;
  snapshot_hash: string;
  commit_sha: string;
  ledger: { event_count: string; overage_count: string; hash: string; days: Day[] };
  seal: { sealed_at: string; row_count: string; ledger_hash: string } | null;
  archive: { object_key: string; purged: boolean } | null;
  hash_ok: boolean;
  ledger_ok: boolean;
  seal_ok: boolean;
  changed_days: string[] | null;
};
export type Check = { check: string; ok: boolean; stated: string; found: string };

const sha256 = (content: string): string => createHash('sha256').update(content, 'utf8').digest('hex');

export function sum(days: Day[], field: 'rows' | 'billable' | 'overage'): string {
  return String(days.reduce((total, day) => total + BigInt(day[field]), 0n));
}

/** The stack's own verdicts are not asked: each check is computed here, of what it states and what it holds. */
export function recompute(proof: Proof): Check[] {
  const { site_id, year_month, event_count, overage_count, commit_sha, snapshot_hash, seal } = proof;
  const { days } = proof.ledger;
  const hash = sha256([site_id, year_month, event_count, overage_count, commit_sha].join('|'));
  const lines = days.map(({ day, rows, billable, overage, hash: ofDay }) =>
    [day, rows, billable, overage, ofDay].join('|'),
  );
  const sealed = sha256(lines.join('\n'));
  const counted = `${sum(days, 'billable')} of which ${sum(days, 'overage')} overage`;
  const invoiced = `${event_count} of which ${overage_count} overage`;
  const rows = sum(days, 'rows');
  return [
    // Version 0 is a row that somebody else wrote: there is no rule by which to recompute it.
    {
      check: 'hash',
      ok: proof.hash_version === 1 && hash === snapshot_hash,
      stated: snapshot_hash,
      found: hash,
    },
    { check: 'ledger', ok: counted === invoiced, stated: invoiced, found: counted },
    {
      check: 'seal',
      ok: seal !== null && seal.ledger_hash === sealed && seal.row_count === rows,
      stated: seal ? seal.ledger_hash : 'no seal: run kernel freeze',
      found: sealed,
    },
  ];
}
