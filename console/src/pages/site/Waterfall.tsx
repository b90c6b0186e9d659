// From what was received to what is billed: each term with its rows, or why it has none.
import type { ReactNode } from 'react';
import { Link } from 'wouter';
import type { Answer } from '../../api/client.ts';
import { Count, Drift } from '../../parts/numbers.tsx';
import { Section } from '../../parts/Page.tsx';
import { formatCount, formatMonth } from '../../words/format.ts';
import { t } from '../../words/sites.ts';

export type SiteUsage = Answer<'GET /api/sites/{ref}/usage'>;
interface Term {
  sign: '' | '−' | '=' | '+';
  label: string;
  /** Undefined: the counters did not answer. */
  value: bigint | undefined;
  /** Where its bar begins. */
  from: bigint;
  why: ReactNode;
  href?: string;
  kind?: 'counted' | 'ledger' | 'bad';
  sum?: true;
  shown?: ReactNode;
}

/** The rows of a verdict on the page of events. */
export function rowsHref(site: string, verdict: string, month: string): string {
  return `/events?${new URLSearchParams({ site, verdict, month })}`;
}

export function Waterfall({ site, usage }: { site: string; usage: SiteUsage }) {
  const { outcomes, year_month } = usage;
  const terms = termsOf(site, usage);
  const received = terms[0]?.value ?? 0n;
  return (
    <Section title={t('waterfall')}>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by the keyboard */}
      <section className="table-scroll" aria-label={t('waterfall')} tabIndex={0}>
        <table className="waterfall">
          <caption>{t('waterfall_caption', { month: formatMonth(year_month) })}</caption>
          <thead className="hidden">
            <tr>
              <th scope="col" colSpan={2}>
                {t('term')}
              </th>
              <th scope="col">{t('events')}</th>
              <th scope="col">{t('share')}</th>
            </tr>
          </thead>
          <tbody>
            {terms.map((term) => (
              <TermRow key={term.label} term={term} received={received} />
            ))}
          </tbody>
        </table>
      </section>
      {outcomes === null && <p role="alert">{t('outcomes_away')}</p>}
      {isSome(outcomes?.rate_limited) && (
        <p className="muted">{t('not_an_event', { n: formatCount(outcomes?.rate_limited ?? '0') })}</p>
      )}
      {isSome(outcomes?.degraded) && (
        <p className="muted">{t('degraded', { n: formatCount(outcomes?.degraded ?? '0') })}</p>
      )}
    </Section>
  );
}

function termsOf(site: string, { ledger, usage_row, outcomes, drift, year_month }: SiteUsage): Term[] {
  const of = (name: string) => (outcomes === null ? undefined : BigInt(outcomes[name] ?? '0'));
  const counted = BigInt(usage_row?.event_count ?? '0');
  const billable = BigInt(ledger.billable);
  const refused = BigInt(ledger.rejected);
  const unbilled = BigInt(ledger.rows) - billable - refused;
  const tries = of('rejected_quota') ?? 0n;
  const rows = (verdict: string) => rowsHref(site, verdict, year_month);
  const lost: Omit<Term, 'sign' | 'from'>[] = [
    { label: t('duplicate'), value: of('duplicate'), why: t('duplicate_why') },
    { label: t('invalid'), value: of('invalid'), why: t('invalid_why') },
    { label: t('conflict'), value: of('conflict'), why: t('conflict_why'), href: rows('conflict') },
    {
      ...{ label: t('quota_refused'), value: refused, href: rows('rejected_quota') },
      why: `${t('quota_why')}${tries > refused ? ` ${t('quota_tries', { n: formatCount(tries) })}` : ''}`,
    },
    { label: t('unbilled'), value: unbilled, why: t('unbilled_why'), href: rows('unbilled') },
  ];
  const known = outcomes !== null;
  const received = lost.reduce((sum, { value }) => sum + (value ?? 0n), counted);
  let left = received;
  const falls = lost.map((term): Term => {
    left -= term.value ?? 0n;
    return { ...term, sign: '−', from: left };
  });
  const explain = <Drift value={drift} />;
  return [
    {
      ...{ sign: '', label: t('received'), value: known ? received : undefined, from: 0n },
      why: t('received_why'),
    },
    ...falls,
    {
      ...{ sign: '=', label: t('counted'), value: counted, from: 0n, why: t('counted_why'), kind: 'counted' },
      sum: true,
    },
    {
      ...{ sign: '=', label: t('in_ledger'), value: billable, from: 0n, why: t('in_ledger_why') },
      ...{ kind: 'ledger', href: rows('counted') },
    },
    {
      ...{ sign: '+', label: t('unexplained'), value: BigInt(drift), why: t('unexplained_why'), kind: 'bad' },
      ...{ shown: explain, from: counted < billable ? counted : billable },
    },
  ];
}

const said = { '−': 'minus', '=': 'equals', '+': 'plus' } as const;

function TermRow({ term, received }: { term: Term; received: bigint }) {
  const { sign, label, value, from, why, href, kind, sum, shown } = term;
  return (
    <tr className={sum && 'sum'}>
      <td className="sign">
        <span aria-hidden="true">{sign}</span>
        {sign && <span className="hidden">{t(said[sign])}</span>}
      </td>
      <th scope="row">
        {href && value !== 0n ? <Link href={href}>{label}</Link> : label}
        <div className="muted small why">{why}</div>
      </th>
      <td className="end">
        {value === undefined ? (
          <span className="muted">? {t('not_known')}</span>
        ) : (
          (shown ?? <Count value={value} />)
        )}
      </td>
      <td className="fall">
        {value !== undefined && (
          <Fall from={from} size={value < 0n ? -value : value} whole={received} kind={kind} />
        )}
      </td>
    </tr>
  );
}

interface FallProps {
  from: bigint;
  size: bigint;
  whole: bigint;
  kind: Term['kind'];
}

function Fall({ from, size, whole, kind }: FallProps) {
  if (whole === 0n || size === 0n) return <div className="fall-track" />;
  const percent = (part: bigint) => `${Math.min(100, Number((part * 10_000n) / whole) / 100)}%`;
  return (
    <div className="fall-track">
      <div
        className={`fall-bar${kind ? ` fall-${kind}` : ''}`}
        style={{ marginInlineStart: percent(from), width: percent(size) }}
      />
    </div>
  );
}

const isSome = (value: string | undefined) => value !== undefined && value !== '0';
