// The alarms of a synthesized stage as a test asks them: what they watch, and whether they fire at what was emitted.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { WatchedMetric } from './metric-documents.ts';

export interface WatchedAlarm {
  name: string;
  /** By the id that the expression gives it, `value` where there is none; those of AWS itself have no metric. */
  metrics: Record<string, { metric: WatchedMetric | null; statistic: string }>;
  /** Whether it fires at these values, by the same ids; each is summed or its largest is taken, as the alarm asks. */
  fires(values: Record<string, number[]>): boolean;
}

interface Written {
  Namespace: string;
  MetricName: string;
  Dimensions: { Name: string; Value: string }[];
}

interface Properties extends Written {
  AlarmName?: string;
  Threshold: number;
  ComparisonOperator: 'GreaterThanThreshold' | 'LessThanThreshold';
  Statistic?: string;
  Metrics?: { Id: string; Expression?: string; MetricStat?: { Metric: Written; Stat: string } }[];
}

/** The alarms that watch at least one metric of the functions. */
export function kernelAlarms(assembly: string): WatchedAlarm[] {
  const file = readdirSync(assembly).find((name) => name.endsWith('Kernel.template.json')) ?? '';
  const { Resources } = JSON.parse(readFileSync(join(assembly, file), 'utf8')) as {
    Resources: Record<string, { Type: string; Properties: Properties }>;
  };
  return Object.values(Resources)
    .filter(({ Type }) => Type === 'AWS::CloudWatch::Alarm')
    .map(({ Properties }) => readAlarm(Properties))
    .filter(({ metrics }) => Object.values(metrics).some(({ metric }) => metric !== null));
}

function readAlarm(properties: Properties): WatchedAlarm {
  const { AlarmName = '', Threshold, ComparisonOperator, Metrics } = properties;
  const expression = Metrics?.find(({ Expression }) => Expression)?.Expression ?? 'value';
  const metrics = Object.fromEntries(
    Metrics
      ? Metrics.flatMap(({ Id, MetricStat }) =>
          MetricStat ? [[Id, { metric: readMetric(MetricStat.Metric), statistic: MetricStat.Stat }]] : [],
        )
      : [['value', { metric: readMetric(properties), statistic: properties.Statistic ?? '' }]],
  );
  return {
    name: AlarmName.replace(/^revenue-kernel-[a-z]+-/, ''),
    metrics,
    fires(values) {
      const aggregated = Object.fromEntries(
        Object.entries(metrics).map(([id, { statistic }]) => [id, aggregate(values[id] ?? [], statistic)]),
      );
      const result = reckon(expression, aggregated);
      return ComparisonOperator === 'GreaterThanThreshold' ? result > Threshold : result < Threshold;
    },
  };
}

function readMetric({ Namespace, MetricName, Dimensions }: Written): WatchedMetric | null {
  if (!Namespace.startsWith('RevenueKernel/')) return null;
  return {
    namespace: Namespace,
    name: MetricName,
    dimensions: Object.fromEntries(Dimensions.map(({ Name, Value }) => [Name, Value])),
  };
}

function aggregate(values: number[], statistic: string): number {
  if (statistic === 'Sum') return values.reduce((sum, value) => sum + value, 0);
  if (statistic === 'Maximum') return Math.max(...values);
  throw new Error(`No alarm of the functions asks for ${statistic}.`);
}

/** The part of CloudWatch's metric mathematics that the alarms use. */
function reckon(expression: string, values: Record<string, number>): number {
  const script = expression
    .replaceAll(' AND ', ' && ')
    .replace(/\bIF\(/g, 'choose(')
    .replace(/FILL\((\w+), REPEAT\)/g, '$1');
  const choose = (condition: boolean, yes: number, no: number) => (condition ? yes : no);
  return new Function('choose', ...Object.keys(values), `return Number(${script});`)(
    choose,
    ...Object.values(values),
  );
}
