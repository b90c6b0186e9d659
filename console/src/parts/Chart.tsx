// Charts as SVG: lines and steps over time, bars, stacked bars, sparklines; each has its figures as a table below.
import { useId } from 'react';
import { useSettings } from '../shell/settings.ts';
import { formatCount, formatDay, formatInstant, formatTime } from '../words/format.ts';
import { t } from '../words/words.ts';
import { linear, linePath, margin, round, type Scale, timeScale, width } from './chart.ts';
import { AxisY, Empty, Framed } from './Framed.tsx';

/** Figures as the contract gives them; only the geometry rounds them. */
type Figure = string | number | bigint;
type Format = (value: Figure) => string;

interface ChartProps {
  title: string;
  unit: string;
  height?: number;
  /** How the table writes a figure; as a count unless said. */
  format?: Format;
}
export interface Series {
  name: string;
  /** In order of time; `at` in milliseconds or as an instant. */
  points: readonly { at: number | string; value: Figure }[];
  kind?: 'line' | 'step';
}
/** A time that is shaded: a backfill, an outage, a closed period. */
export interface Band {
  from: number | string;
  to: number | string;
  label: string;
}

const ms = (at: number | string) => (typeof at === 'number' ? at : Date.parse(at));
const day_ms = 86_400_000;

/** `<LineChart title="Drift" unit="events" series={[{ name: 'all sites', kind: 'step', points }]} bands={[…]} />` */
export function LineChart({
  title,
  unit,
  height = 220,
  format = formatCount,
  series,
  bands = [],
}: ChartProps & { series: readonly Series[]; bands?: readonly Band[] }) {
  useSettings();
  const times = series.flatMap(({ points }) => points.map(({ at }) => ms(at)));
  if (times.length === 0) return <Empty title={title} />;
  const x = timeScale(times, margin.left, width - margin.right);
  const y = linear(
    series.flatMap(({ points }) => points.map(({ value }) => Number(value))),
    height - margin.bottom,
    margin.top,
  );
  const name =
    Math.max(...times) - Math.min(...times) > 2 * day_ms ? formatDay : (at: number) => formatTime(at, false);
  const rows = [...new Set(times)].sort((a, b) => a - b);
  return (
    <Framed
      title={title}
      unit={unit}
      height={height}
      legend={series.map((one) => one.name)}
      table={{
        head: [t('chart_time'), ...series.map((one) => one.name)],
        rows: rows.map((at) => [
          formatInstant(at),
          ...series.map(({ points }) => written(points.find((point) => ms(point.at) === at)?.value, format)),
        ]),
      }}
    >
      {bands.map((band) => (
        <rect
          key={`${band.from}${band.label}`}
          className="band"
          x={round(x(ms(band.from)))}
          y={margin.top}
          width={Math.max(1, round(x(ms(band.to)) - x(ms(band.from))))}
          height={height - margin.top - margin.bottom}
        >
          <title>{band.label}</title>
        </rect>
      ))}
      <AxisY scale={y} />
      {x.ticks.map((tick, index) => (
        <text
          key={tick}
          className="tick"
          x={round(x(tick))}
          y={height - 8}
          textAnchor={anchor(index, x.ticks.length)}
        >
          {name(tick)}
        </text>
      ))}
      {series.map(({ name: label, points, kind = 'line' }, index) => (
        <path
          key={label}
          className={`line series-${index % 6}`}
          d={linePath(
            points.map(({ at, value }) => [x(ms(at)), y(Number(value))] as const),
            kind,
          )}
        />
      ))}
    </Framed>
  );
}

export interface Bar {
  label: string;
  value: Figure;
  /** Hatched: something is wrong with it; `note` says what. */
  marked?: boolean;
  note?: string;
}

/** `<BarChart title="Events by day" unit="events" bars={[{ label: '1 Nov', value: '120' }]} />` */
export function BarChart({ bars, ...chart }: ChartProps & { bars: readonly Bar[] }) {
  const columns = bars.map(({ label, value, marked, note }) => ({
    label: note ? `${label} (${note})` : label,
    values: [value],
    ...(marked && { marked }),
  }));
  return <StackedBars {...chart} series={[chart.unit]} columns={columns} />;
}

export interface StackedProps extends ChartProps {
  /** The names of the parts, in order from the bottom. */
  series: readonly string[];
  columns: readonly { label: string; values: readonly Figure[]; marked?: boolean }[];
}

export function StackedBars({
  title,
  unit,
  height = 220,
  format = formatCount,
  series,
  columns,
}: StackedProps) {
  useSettings();
  const pattern = useId();
  if (columns.length === 0) return <Empty title={title} />;
  const sums = columns.flatMap(({ values }) => [
    values.reduce<number>((sum, value) => sum + Math.max(0, Number(value)), 0),
    values.reduce<number>((sum, value) => sum + Math.min(0, Number(value)), 0),
  ]);
  const y = linear(sums, height - margin.bottom, margin.top);
  const slot = (width - margin.left - margin.right) / columns.length;
  const every = Math.ceil(columns.length / 8);
  return (
    <Framed
      title={title}
      unit={unit}
      height={height}
      legend={series.length > 1 ? series : []}
      table={{
        head: ['', ...series],
        rows: columns.map(({ label, values }) => [label, ...values.map((value) => written(value, format))]),
      }}
    >
      <pattern id={pattern} width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
        <rect className="hatch-ground" width="6" height="6" />
        <rect className="hatch" width="3" height="6" />
      </pattern>
      <AxisY scale={y} />
      {columns.map(({ label, values, marked }, index) => (
        <g key={label}>
          <title>{`${label}: ${values.map((value) => format(value)).join(' + ')} ${unit}`}</title>
          {stack(values, y).map(({ top, size }, part) => (
            <rect
              key={series[part]}
              className={marked ? 'bar' : `bar series-${part % 6}`}
              {...(marked && { fill: `url(#${pattern})` })}
              x={round(margin.left + index * slot + slot * 0.1)}
              y={round(top)}
              width={round(slot * 0.8)}
              height={round(size)}
            />
          ))}
          {index % every === 0 && (
            <text
              className="tick"
              x={round(margin.left + (index + 0.5) * slot)}
              y={height - 8}
              textAnchor="middle"
            >
              {label}
            </text>
          )}
        </g>
      ))}
    </Framed>
  );
}

function stack(values: readonly Figure[], y: Scale): { top: number; size: number }[] {
  let above = 0;
  let below = 0;
  return values.map((figure) => {
    const value = Number(figure);
    const from = value < 0 ? below : above;
    if (value < 0) below += value;
    else above += value;
    const ends = [y(from), y(from + value)];
    return { top: Math.min(...ends), size: Math.abs(y(from) - y(from + value)) };
  });
}

/** A small line in a cell; `title` says what it shows, the cell beside it the last value. */
export function Sparkline({ title, values }: { title: string; values: readonly Figure[] }) {
  if (values.length < 2) return <span className="muted">–</span>;
  const numbers = values.map(Number);
  const y = linear(numbers, 22, 2);
  const path = linePath(
    numbers.map((value, index) => [(index / (numbers.length - 1)) * 96 + 2, y(value)] as const),
    'line',
  );
  const text = `${title}: ${values.map((value) => formatCount(value)).join(', ')}`;
  return (
    <svg className="sparkline" viewBox="0 0 100 24" role="img" aria-label={text}>
      <title>{text}</title>
      <path className="line series-0" d={path} />
    </svg>
  );
}

const anchor = (index: number, count: number) =>
  index === 0 ? 'start' : index === count - 1 ? 'end' : 'middle';
const written = (value: Figure | undefined, format: Format) => (value === undefined ? '–' : format(value));
