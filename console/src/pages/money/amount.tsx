// Amounts that a person types, and differences of amounts by sign and word.
import { exponentOf, formatAmount, toDecimal, toMinor } from '../../words/format.ts';
import { t } from '../../words/money.ts';

export const currencies = ['USD', 'EUR', 'GBP', 'TRY', 'CHF', 'CAD', 'AUD', 'JPY', 'KWD', 'POINTS'] as const;

/** Minor units of what was typed, exactly; undefined when it is no amount above zero. */
export function typedAmount(typed: string, currency: string, exponent?: number | null): string | undefined {
  const minor = toMinor(typed, exponent ?? exponentOf(currency));
  return minor === undefined || minor === '0' ? undefined : minor;
}

/** What to say when nothing was understood. */
export function badAmount(currency: string, exponent?: number | null): string {
  const digits = exponent ?? exponentOf(currency);
  if (digits === 0) return t('bad_amount_whole');
  return t('bad_amount', { digits, example: formatAmount(10n * 10n ** BigInt(digits), currency, digits) });
}

/** A difference of amounts: over, under, or none; with a word, not only a sign. */
export function AmountDrift({ minor, currency }: { minor: string; currency: string }) {
  const drift = BigInt(minor);
  const amount = formatAmount(drift < 0n ? -drift : drift, currency);
  const kind = drift === 0n ? 'none' : drift > 0n ? 'over' : 'under';
  const text = {
    none: t('no_drift', { amount }),
    over: t('over', { amount }),
    under: t('under', { amount }),
  };
  return <span className={`drift drift-${kind}`}>{text[kind]}</span>;
}

export const decimal = (minor: string, currency: string, exponent?: number) =>
  toDecimal(minor, exponent ?? exponentOf(currency));
