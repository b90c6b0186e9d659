// Numbers, amounts and instants as the chosen language and time zone write them; exact, for nothing passes through a float.
import { languageTag, settings } from '../shell/settings.ts';

/** Intl takes decimal strings exactly, which its types narrow to literals. */
type Decimal = Intl.StringNumericLiteral;

/** A count as the contract gives it: "1000" → "1,000". */
export function formatCount(value: string | number | bigint): string {
  return new Intl.NumberFormat(languageTag()).format(value as Decimal);
}

/** How many digits the currency has after its point, where the contract does not say. */
export function exponentOf(currency: string): number {
  try {
    const { maximumFractionDigits } = new Intl.NumberFormat('en', {
      style: 'currency',
      currency,
    }).resolvedOptions();
    return maximumFractionDigits ?? 2;
  } catch {
    return 0; // a currency of our own, such as POINTS
  }
}

/** Minor units as a decimal string: ("84000", 2) → "840.00". */
export function toDecimal(minor: string | bigint, exponent: number): string {
  const value = BigInt(minor);
  const digits = (value < 0n ? -value : value).toString().padStart(exponent + 1, '0');
  const cut = digits.length - exponent;
  return `${value < 0n ? '-' : ''}${digits.slice(0, cut)}${exponent ? `.${digits.slice(cut)}` : ''}`;
}

/** What a person typed as minor units: ("840.5", 2) → "84050"; undefined when it is no such amount. */
export function toMinor(typed: string, exponent: number): string | undefined {
  const match = /^(\d{1,15})(?:[.,](\d*))?$/.exec(typed.trim());
  if (!match || (match[2] ?? '').length > exponent) return undefined;
  return BigInt(`${match[1]}${(match[2] ?? '').padEnd(exponent, '0')}`).toString();
}

/** "840.00 EUR": the code, never a symbol that two currencies share. */
export function formatAmount(
  minor: string | bigint,
  currency: string,
  exponent = exponentOf(currency),
): string {
  const number = new Intl.NumberFormat(languageTag(), {
    minimumFractionDigits: exponent,
    maximumFractionDigits: exponent,
  }).format(toDecimal(minor, exponent) as Decimal);
  return `${number} ${currency}`;
}

export type Instant = string | number;

function millis(at: Instant): number {
  return typeof at === 'number' ? at : Date.parse(at);
}

const zoneOf = () => (settings.get().zone === 'utc' ? 'UTC' : undefined);

/** "21 Nov 2026, 14:02 UTC" */
export function formatInstant(at: Instant): string {
  return new Intl.DateTimeFormat(languageTag(), {
    ...{ year: 'numeric', month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit' },
    hour12: false,
    timeZoneName: 'short',
    ...(zoneOf() && { timeZone: 'UTC' }),
  }).format(millis(at));
}

/** "14:02:11 UTC" */
export function formatTime(at: Instant, seconds = true): string {
  return new Intl.DateTimeFormat(languageTag(), {
    ...{ hour: '2-digit', minute: '2-digit', ...(seconds && { second: '2-digit' }) },
    hour12: false,
    timeZoneName: 'short',
    ...(zoneOf() && { timeZone: 'UTC' }),
  }).format(millis(at));
}

/** The day of an instant or of "2026-11-21", which is a day in UTC. */
export function formatDay(at: Instant): string {
  const day = typeof at === 'string' && /^\d{4}-\d\d-\d\d$/.test(at);
  return new Intl.DateTimeFormat(languageTag(), {
    ...{ year: 'numeric', month: 'short', day: 'numeric' },
    ...((day || zoneOf()) && { timeZone: 'UTC' }),
  }).format(millis(at));
}

/** "November 2026" of "2026-11". */
export function formatMonth(month: string): string {
  return new Intl.DateTimeFormat(languageTag(), { year: 'numeric', month: 'long', timeZone: 'UTC' }).format(
    Date.parse(`${month}-01`),
  );
}

const steps: readonly [Intl.RelativeTimeFormatUnit, number][] = [
  ['year', 31_536_000],
  ['month', 2_592_000],
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
  ['second', 1],
];

/** "2 hours ago" */
export function formatRelative(at: Instant, now_ms = Date.now()): string {
  const seconds = Math.round((millis(at) - now_ms) / 1000);
  const [unit, size] = steps.find(([, length]) => Math.abs(seconds) >= length) ?? ['second', 1];
  return new Intl.RelativeTimeFormat(languageTag(), { numeric: 'auto' }).format(
    Math.trunc(seconds / size),
    unit,
  );
}

/** "3 h" of seconds, for ages and waits. */
export function formatDuration(seconds: number): string {
  const [unit, size] = steps.slice(2).find(([, length]) => seconds >= length) ?? ['second', 1];
  return new Intl.NumberFormat(languageTag(), { style: 'unit', unit, unitDisplay: 'short' }).format(
    Math.floor(seconds / size),
  );
}

/** "71 %" of the fraction 0.71. */
export function formatPercent(fraction: number, digits = 0): string {
  return new Intl.NumberFormat(languageTag(), { style: 'percent', maximumFractionDigits: digits }).format(
    fraction,
  );
}
