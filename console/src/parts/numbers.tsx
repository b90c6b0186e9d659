// Counts, amounts, drift, figures with their unit and source, and progress.
import type { ReactNode } from 'react';
import { Link } from 'wouter';
import { formatAmount, formatCount, formatPercent, type Instant } from '../words/format.ts';
import { t } from '../words/words.ts';
import { AsOf } from './When.tsx';

type Whole = string | number | bigint;

/** A count with its unit; null is "–". */
export function Count({ value, unit }: { value: Whole | null | undefined; unit?: string }) {
  if (value === null || value === undefined) return <span className="muted">–</span>;
  return (
    <span className="number">
      {formatCount(value)}
      {unit && <span className="unit"> {unit}</span>}
    </span>
  );
}

/** Minor units as the contract gives them; the exponent is the currency's own unless said. */
export function Amount(props: {
  minor: string | bigint | null | undefined;
  currency: string;
  exponent?: number | null | undefined;
}) {
  const { minor, currency, exponent } = props;
  if (minor === null || minor === undefined) return <span className="muted">–</span>;
  return <span className="number">{formatAmount(minor, currency, exponent ?? undefined)}</span>;
}

/** A difference by sign, word and colour: "▲ 12 over", "▼ 3 under", "= no drift"; undefined is unknown. */
export function Drift({ value, unit }: { value: Whole | null | undefined; unit?: string }) {
  if (value === null || value === undefined)
    return <span className="drift drift-unknown">? {t('drift_unknown')}</span>;
  const drift = BigInt(value);
  if (drift === 0n) return <span className="drift drift-none">= {t('drift_none')}</span>;
  const n = `${formatCount(drift < 0n ? -drift : drift)}${unit ? ` ${unit}` : ''}`;
  return drift > 0n ? (
    <span className="drift drift-over">▲ {t('drift_over', { n })}</span>
  ) : (
    <span className="drift drift-under">▼ {t('drift_under', { n })}</span>
  );
}

export interface StatProps {
  label: string;
  /** A Count, Amount, Drift or text; undefined while it loads. */
  value: ReactNode;
  unit?: string;
  as_of?: Instant | undefined;
  /** Where the figure comes from: a path of the console. */
  href?: string;
  /** Colours the edge; the value or the note must say the same in words. */
  tone?: Tone;
  note?: ReactNode;
}
export type Tone = 'plain' | 'good' | 'warn' | 'bad' | 'info';

/** A figure: label, value, unit, as-of time and a link to its source. */
export function Stat({ label, value, unit, as_of, href, tone = 'plain', note }: StatProps) {
  return (
    <div className={`stat tone-${tone}`}>
      <div className="stat-label">{href ? <Link href={href}>{label}</Link> : label}</div>
      <div className="stat-value">
        {value === undefined ? <span className="skeleton">…</span> : value}
        {unit && value !== undefined && <span className="unit"> {unit}</span>}
      </div>
      {note && <div className="stat-note">{note}</div>}
      {as_of !== undefined && <AsOf at={as_of} />}
    </div>
  );
}

export function Stats({ children }: { children: ReactNode }) {
  return <div className="stats">{children}</div>;
}

/** A state in a word; the tone only repeats it. */
export function Badge({ tone = 'plain', children }: { tone?: Tone; children: ReactNode }) {
  return <span className={`badge tone-${tone}`}>{children}</span>;
}

/** Done of total, or done so far where the total is not known. */
export function Progress({ label, done, total }: { label: string; done: Whole; total?: Whole | null }) {
  const whole = total === undefined || total === null ? undefined : Number(total);
  const text =
    total === undefined || total === null
      ? t('progress_unknown', { done: formatCount(done) })
      : t('progress', { done: formatCount(done), total: formatCount(total) });
  return (
    <div className="progress">
      <progress
        aria-label={label}
        max={whole || 1}
        {...(whole !== undefined && { value: whole ? Number(done) : 1 })}
      />
      <span className="number">
        {text}
        {whole ? ` · ${formatPercent(Number(done) / whole)}` : ''}
      </span>
    </div>
  );
}
