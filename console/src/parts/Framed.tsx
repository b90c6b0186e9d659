// The frame of a chart: caption, drawing, legend, axis, and its figures as a table below.
import { type ReactNode, useId } from 'react';
import { t } from '../words/words.ts';
import { compact, margin, round, type Scale, width } from './chart.ts';

interface Twin {
  head: readonly string[];
  rows: readonly (readonly string[])[];
}

/** What a chart is drawn in; the table says the same in figures. */
export function Framed(props: {
  title: string;
  unit: string;
  height: number;
  legend: readonly string[];
  table: Twin;
  children: ReactNode;
}) {
  const { title, unit, height, legend, table, children } = props;
  const id = useId();
  return (
    <figure className="chart">
      <figcaption>
        {title} <span className="unit">({unit})</span>
      </figcaption>
      <svg viewBox={`0 0 ${width} ${height}`} role="img" aria-labelledby={id}>
        <title id={id}>{`${title} (${unit})`}</title>
        {children}
      </svg>
      {legend.length > 1 && (
        <ul className="legend">
          {legend.map((name, index) => (
            <li key={name} className={`series-${index % 6}`}>
              {name}
            </li>
          ))}
        </ul>
      )}
      <details className="twin">
        <summary>{t('table_twin')}</summary>
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by the keyboard */}
        <section className="table-scroll" aria-label={title} tabIndex={0}>
          <table>
            <thead>
              <tr>
                {table.head.map((cell, index) => (
                  // biome-ignore lint/suspicious/noArrayIndexKey: the columns do not move
                  <th key={index} scope="col" className={index ? 'end' : undefined}>
                    {cell || <span className="hidden">{title}</span>}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {table.rows.map(([first, ...cells]) => (
                <tr key={first}>
                  <th scope="row">{first}</th>
                  {cells.map((cell, index) => (
                    // biome-ignore lint/suspicious/noArrayIndexKey: the columns do not move
                    <td key={index} className="end">
                      {cell}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      </details>
    </figure>
  );
}

export function AxisY({ scale }: { scale: Scale }) {
  return (
    <>
      {scale.ticks.map((tick) => (
        <g key={tick}>
          <line
            className={tick === 0 ? 'grid zero' : 'grid'}
            x1={margin.left}
            x2={width - margin.right}
            y1={round(scale(tick))}
            y2={round(scale(tick))}
          />
          <text className="tick" x={margin.left - 8} y={round(scale(tick)) + 4} textAnchor="end">
            {compact(tick)}
          </text>
        </g>
      ))}
    </>
  );
}

export function Empty({ title }: { title: string }) {
  return (
    <figure className="chart">
      <figcaption>{title}</figcaption>
      <div className="state">{t('chart_empty')}</div>
    </figure>
  );
}
