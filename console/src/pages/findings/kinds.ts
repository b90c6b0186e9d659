// What findings are called and how loud they are; the types that the kernel writes.
import type { Answer } from '../../api/client.ts';
import type { Tone } from '../../parts/numbers.tsx';

export type Row = Answer<'GET /api/v1/payments/reconciliation/findings'>['items'][number];
export type Whole = Answer<'GET /api/v1/payments/reconciliation/findings/{id}'>['finding'];
export type Run = Answer<'GET /api/v1/reconciliation/runs'>['items'][number];

export const tones: Record<Row['severity'], Tone> = {
  INFO: 'info',
  WARN: 'warn',
  MEDIUM: 'warn',
  HIGH: 'bad',
  ERROR: 'bad',
  CRITICAL: 'bad',
};
export const severities = Object.keys(tones) as Row['severity'][];
export const types = [
  ...(['missing_in_ledger', 'missing_in_psp', 'amount_mismatch', 'currency_mismatch'] as const),
  ...(['status_mismatch', 'duplicate', 'unknown_transaction', 'owner_mismatch'] as const),
  ...(['provider_mismatch', 'reversal_uncovered', 'negative_balance', 'event_dead'] as const),
  ...(['duplicate_payout', 'paid_after_rejection', 'ledger_balance_mismatch', 'wallet_missing'] as const),
  ...(['LEDGER_MISSING_WITHDRAW_PAID', 'LEDGER_DUPLICATE_WITHDRAW_PAID'] as const),
  ...(['LEDGER_PRESENT_BUT_TX_NOT_PAID', 'PAYOUT_ATTEMPT_MISSING_FOR_PAID'] as const),
  ...(['PAYOUT_ATTEMPT_DUPLICATE_PROVIDER_EVENT', 'LEDGER_MISSING_DEPOSIT_CAPTURED'] as const),
];
/** Those that the kernel knows; a tenant's own methods may name more. */
export const providers = ['mockpsp', 'stripe', 'paynow', 'wallet_ledger'] as const;

export interface Totals {
  currency: string;
  provider_minor: string;
  ledger_minor: string;
  drift_minor: string;
}
interface Stats {
  listed?: string;
  differences?: Record<string, string>;
  new?: string;
  reopened?: string;
  resolved?: string;
  currencies?: Record<string, Omit<Totals, 'currency'>>;
  found?: readonly Difference[] | null;
}
export interface Difference {
  finding_type: string;
  severity: Row['severity'];
  tx_id?: string;
  provider_event_id?: string;
  provider?: Record<string, unknown>;
  ledger?: Record<string, unknown>;
}
/** The contract leaves the counts of a run open. */
export const statsOf = ({ stats }: Run) => stats as Stats;
export const totalsOf = (run: Run): Totals[] =>
  Object.entries(statsOf(run).currencies ?? {}).map(([currency, sums]) => ({ currency, ...sums }));
export const differencesOf = (run: Run): bigint =>
  Object.values(statsOf(run).differences ?? {}).reduce((sum, n) => sum + BigInt(n), 0n);
