// The sentence that answers the page's question, and what needs a person.
import { formatMonth } from '../../words/format.ts';
import { t } from '../../words/overview.ts';
import type { Finding } from './checks.ts';
import { To } from './reach.tsx';

interface VerdictProps {
  problems: Finding[];
  well: string;
  /** The month whose invoices can be proven here. */
  proven?: string;
}

export function Verdict({ problems, well, proven }: VerdictProps) {
  return (
    <section className={`verdict ${problems.length === 0 ? 'verdict-good' : 'verdict-bad'}`} role="status">
      <p className="verdict-answer">
        {problems.length === 0 ? `✓ ${well}` : `✗ ${t('not_well', { n: problems.length })}`}
      </p>
      {problems.length > 0 && (
        <ul>
          {problems.map(({ id, text, href, level }) => (
            <li key={id} className={`verdict-${level}`}>
              {href ? <To href={href}>{text}</To> : text}
            </li>
          ))}
        </ul>
      )}
      {proven && (
        <p className="small">
          <a href="#frozen">{t('prove_last', { month: formatMonth(proven) })}</a>
        </p>
      )}
    </section>
  );
}
