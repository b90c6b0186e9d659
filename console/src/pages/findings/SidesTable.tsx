// Both sides of a finding next to each other; what differs is marked by a word and a ground.

import { Amount } from '../../parts/numbers.tsx';
import { When } from '../../parts/When.tsx';
import { t } from '../../words/findings.ts';
import { word } from '../../words/money.ts';
import type { Whole } from './kinds.ts';
import { differs, type Fields, notMoved, sidesOf } from './sides.ts';

const names = ['kind', 'amount_minor', 'currency', 'state', 'balance', 'ref', 'at'] as const;
type Name = (typeof names)[number];

export function SidesTable({ finding }: { finding: Whole }) {
  const sides = sidesOf(finding);
  if (!sides) return <p>{t('sides_missing')}</p>;
  const { left, right } = sides;
  const shown = names.filter((name) => left?.[name] !== undefined || right?.[name] !== undefined);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by the keyboard
    <section className="table-scroll" aria-label={t('sides')} tabIndex={0}>
      <table className="sides">
        <caption>{t('sides_caption')}</caption>
        <thead>
          <tr>
            <th scope="col">{t('field')}</th>
            <th scope="col">{t(`side_${sides.left_name}`)}</th>
            <th scope="col">{t('side_ledger')}</th>
          </tr>
        </thead>
        <tbody>
          {shown.map((name) => {
            const marked = differs(name, sides);
            return (
              <tr key={name} className={marked ? 'differs' : undefined}>
                <th scope="row">
                  {t(`field_${name}`)} {marked && <span className="badge tone-bad">≠ {t('differs')}</span>}
                </th>
                <Cell name={name} side={left} />
                <Cell name={name} side={right} />
              </tr>
            );
          })}
        </tbody>
      </table>
    </section>
  );
}

function Cell({ name, side }: { name: Name; side: Fields | undefined }) {
  const value = side?.[name];
  if (value === undefined && name === 'kind' && notMoved(side)) return <td>{t('not_moved')}</td>;
  if (value === undefined) return <td className="muted">{side ? '–' : t('side_none')}</td>;
  return <td>{written(name, value, side?.currency)}</td>;
}

function written(name: Name, value: string, currency: string | undefined) {
  if (name === 'amount_minor' && currency) return <Amount minor={value} currency={currency} />;
  if (name === 'at') return <When at={value} />;
  if (name === 'kind') return word('kind', value);
  if (name === 'state') return word('state', value);
  if (name === 'currency') return value;
  if (name === 'balance') return <span className="number">{value}</span>;
  return <code>{value}</code>;
}
