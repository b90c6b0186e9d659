// The geometry of charts: scales, ticks and paths in the units of their view box.
export const width = 720;
export const margin = { top: 12, right: 12, bottom: 28, left: 64 };

export interface Scale {
  (value: number): number;
  ticks: readonly number[];
}

/** From a domain to pixels, with about `count` round ticks that it is widened to. */
export function linear(values: readonly number[], from: number, to: number, count = 4): Scale {
  const low = Math.min(0, ...values);
  const high = Math.max(0, ...values);
  const step = roundStep((high - low || 1) / count);
  const first = Math.floor(low / step) * step;
  const last = Math.max(Math.ceil(high / step) * step, first + step);
  const scale = (value: number) => from + ((value - first) / (last - first)) * (to - from);
  const ticks = Array.from(
    { length: Math.round((last - first) / step) + 1 },
    (_, index) => first + index * step,
  );
  return Object.assign(scale, { ticks });
}

/** Time in milliseconds to pixels; the ticks are instants of the domain. */
export function timeScale(values: readonly number[], from: number, to: number, count = 5): Scale {
  const first = Math.min(...values);
  const last = Math.max(...values, first + 1);
  const scale = (value: number) => from + ((value - first) / (last - first)) * (to - from);
  const ticks = Array.from({ length: count }, (_, index) => first + ((last - first) * index) / (count - 1));
  return Object.assign(scale, { ticks });
}

function roundStep(rough: number): number {
  const power = 10 ** Math.floor(Math.log10(rough));
  const digit = rough / power;
  const step = (digit > 5 ? 10 : digit > 2 ? 5 : digit > 1 ? 2 : 1) * power;
  return Math.max(step, 1e-9);
}

export function linePath(points: readonly (readonly [number, number])[], kind: 'line' | 'step'): string {
  return points
    .map(([x, y], index) => {
      if (index === 0) return `M${round(x)} ${round(y)}`;
      return kind === 'step' ? `H${round(x)}V${round(y)}` : `L${round(x)} ${round(y)}`;
    })
    .join('');
}

export const round = (value: number) => Math.round(value * 10) / 10;

const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
/** What an axis says: "1.2M". */
export const compact = (value: number) => short.format(value);
