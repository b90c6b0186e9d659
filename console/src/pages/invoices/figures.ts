// Small figures of invoices: months beside a month, signed counts, and what a month came to with its corrections.
import type { Answer } from '../../api/client.ts';
import { languageTag } from '../../shell/settings.ts';

type Invoice = Answer<'GET /api/sites/{ref}/invoices'>['invoices'][number];

export function invoicePath(ref: string, month: string): string {
  return `/sites/${encodeURIComponent(ref)}/invoices/${month}`;
}

/** So many months after a month, "2026-11" by -1 is "2026-10". */
export function monthAfter(month: string, by: number): string {
  const [year = 0, number = 1] = month.split('-').map(Number);
  return new Date(Date.UTC(year, number - 1 + by, 1)).toISOString().slice(0, 7);
}

/** The open month, in UTC. */
export function openMonth(): string {
  return new Date().toISOString().slice(0, 7);
}

export function corrected({ event_count, corrected_by }: Invoice): bigint {
  return corrected_by.reduce((sum, { event_delta }) => sum + BigInt(event_delta), BigInt(event_count));
}

/** "+12", "−3" */
export function signed(delta: string): string {
  return new Intl.NumberFormat(languageTag(), { signDisplay: 'exceptZero' }).format(
    delta as Intl.StringNumericLiteral,
  );
}
