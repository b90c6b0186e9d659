// Holds a recounted month against its seal and its invoice: what was promised, what was found, and which day differs.
import type { InvoiceProof } from '../api/contract.gen.ts';
import { type Day, hashOfDays, type Recounted, sha256, sumOf } from './recount.ts';

/** Of the proof only what was written at the freeze; the kernel's own verdict is not read. */
export type Promised = Pick<
  InvoiceProof,
  'site_id' | 'year_month' | 'event_count' | 'overage_count' | 'snapshot_hash' | 'commit_sha' | 'seal'
> & { archive: Pick<NonNullable<InvoiceProof['archive']>, 'purged'> | null };

export type What = 'events' | 'overage' | 'rows' | 'ledger_hash' | 'seal_hash' | 'invoice_hash';
export interface Check {
  what: What;
  expected: string;
  found: string;
  ok: boolean;
}
/** Undefined where that side has no such day. */
export interface ComparedDay {
  day: string;
  sealed: Day | undefined;
  found: Day | undefined;
  same: boolean;
}
export interface Verdict {
  proved: boolean;
  /** `archive`: the rows have left the ledger, so the days of the seal were recounted and the archive stands for the rows. */
  by: 'rows' | 'archive';
  /** False for a month that was frozen before months were sealed: its rows cannot be held against anything. */
  sealed: boolean;
  rows: string;
  ledger_hash: string;
  checks: Check[];
  days: ComparedDay[];
}

/** @param recounted what the lines of the month say; not needed where they have left the ledger. */
export async function judge(promised: Promised, recounted: Recounted | undefined): Promise<Verdict> {
  const { seal } = promised;
  const purged = promised.archive?.purged ?? false;
  const found = purged || !recounted ? await sumOf(seal?.days ?? []) : recounted;
  const checks = [
    check('events', promised.event_count, found.billable),
    check('overage', promised.overage_count, found.overage),
    check('invoice_hash', promised.snapshot_hash, await invoiceHash(promised)),
    ...(seal
      ? [
          check('rows', seal.row_count, found.rows),
          check('seal_hash', seal.ledger_hash, await hashOfDays(seal.days)),
          check('ledger_hash', seal.ledger_hash, found.ledger_hash),
        ]
      : []),
  ];
  const days = compareDays(seal?.days ?? [], found.days);
  return {
    proved: seal !== null && checks.every(({ ok }) => ok) && days.every(({ same }) => same),
    ...{ by: purged ? 'archive' : 'rows', sealed: seal !== null },
    ...{ rows: found.rows, ledger_hash: found.ledger_hash, checks, days },
  };
}

/** hash_version 1; a foreign row without a commit has no such hash. */
export async function invoiceHash(invoice: Promised): Promise<string> {
  const { site_id, year_month, event_count, overage_count, commit_sha } = invoice;
  if (commit_sha === null) return '';
  return sha256([site_id, year_month, event_count, overage_count, commit_sha].join('|'));
}

/** Every day that either side has. */
export function compareDays(sealed: readonly Day[], found: readonly Day[]): ComparedDay[] {
  const before = new Map(sealed.map((day) => [day.day, day]));
  const now = new Map(found.map((day) => [day.day, day]));
  return [...new Set([...before.keys(), ...now.keys()])].sort().map((day) => {
    const [was, is] = [before.get(day), now.get(day)];
    return { day, sealed: was, found: is, same: was !== undefined && is !== undefined && equal(was, is) };
  });
}

function equal(a: Day, b: Day): boolean {
  return a.rows === b.rows && a.billable === b.billable && a.overage === b.overage && a.hash === b.hash;
}

function check(what: What, expected: string, found: string): Check {
  return { what, expected, found, ok: expected === found };
}
