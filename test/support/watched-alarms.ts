// The alarms of a synthesized stage as a test asks them: what they watch, and whether they fire at what was emitted.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { WatchedMetric } from './metric-documents.ts';

/** A metric that AWS itself emits, of one resource of the stage. */
export interface AwsMetric {
  namespace: string;
  name: string;
  /** The name of the function, else the logical id of the resource. */
  resource: string;
}

export interface WatchedAlarm {
  name: string;
  /** By the id that the expression gives it, `value` where there is none; those of AWS itself have no metric. */
  metrics: Record<string, { metric: WatchedMetric | null; aws: AwsMetric | null; statistic: string }>;
  /** It fires above this, or below. */
  threshold: number;
  below: boolean;
  /** What silence means. */
  missing: 'breaching' | 'notBreaching' | 'ignore';
  /** What it makes of these values, by the same ids; each is summed or its largest is taken, as the alarm asks. */
  value(values: Record<string, number[]>): number;
  fires(values: Record<string, number[]>): boolean;
}

/** It fires while all of these do. */
export interface CompositeAlarm {
  name: string;
  of: string[];
}

interface Written {
  Namespace: string;
  MetricName: string;
  Dimensions: { Name: string; Value: unknown }[];
}

interface Properties extends Written {
  AlarmName?: string;
  AlarmRule?: unknown;
  FunctionName?: unknown;
  Threshold: number;
  ComparisonOperator: 'GreaterThanThreshold' | 'LessThanThreshold';
  TreatMissingData: WatchedAlarm['missing'];
  Statistic?: string;
  ExtendedStatistic?: string;
  Metrics?: { Id: string; Expression?: string; MetricStat?: { Metric: Written; Stat: string } }[];
}

type Resources = Record<string, { Type: string; Properties: Properties }>;

/** The alarms that watch at least one metric of the functions. */
export function kernelAlarms(assembly: string): WatchedAlarm[] {
  return everyAlarm(assembly).filter(({ metrics }) =>
    Object.values(metrics).some(({ metric }) => metric !== null),
  );
}

/** The alarms on metrics, also those on what AWS itself emits. */
export function everyAlarm(assembly: string): WatchedAlarm[] {
  const resources = readResources(assembly);
  return ofType(resources, 'AWS::CloudWatch::Alarm').map(([, properties]) =>
    readAlarm(properties, resources),
  );
}

export function compositeAlarms(assembly: string): CompositeAlarm[] {
  const resources = readResources(assembly);
  const named = new Map(ofType(resources, 'AWS::CloudWatch::Alarm'));
  return ofType(resources, 'AWS::CloudWatch::CompositeAlarm').map(([, { AlarmName, AlarmRule }]) => {
    const rule = JSON.stringify(AlarmRule);
    if (/ OR | NOT /.test(rule)) throw new Error(`${AlarmName} is not an alarm of all its parts.`);
    const of = [...named].filter(([id]) => rule.includes(`"${id}"`)).map(([, one]) => nameOf(one));
    return { name: nameOf({ AlarmName }), of };
  });
}

function readResources(assembly: string): Resources {
  const files = readdirSync(assembly).filter((name) => name.endsWith('.template.json'));
  return Object.assign(
    {},
    ...files.map((file) => JSON.parse(readFileSync(join(assembly, file), 'utf8')).Resources as Resources),
  );
}

function ofType(resources: Resources, type: string): [id: string, properties: Properties][] {
  return Object.entries(resources).flatMap(([id, { Type, Properties }]) =>
    Type === type && Properties.AlarmName !== undefined ? [[id, Properties]] : [],
  );
}

function nameOf({ AlarmName = '' }: { AlarmName?: string | undefined }): string {
  return AlarmName.replace(/^revenue-kernel-[a-z]+-/, '');
}

function readAlarm(properties: Properties, resources: Resources): WatchedAlarm {
  const { Threshold, ComparisonOperator, TreatMissingData, Metrics } = properties;
  const expression = Metrics?.find(({ Expression }) => Expression)?.Expression ?? 'value';
  const read = (metric: Written, statistic: string) => {
    const metricOfKernel = readMetric(metric);
    return { metric: metricOfKernel, aws: metricOfKernel ? null : readAws(metric, resources), statistic };
  };
  const metrics = Object.fromEntries(
    Metrics
      ? Metrics.flatMap(({ Id, MetricStat }) =>
          MetricStat ? [[Id, read(MetricStat.Metric, MetricStat.Stat)]] : [],
        )
      : [['value', read(properties, properties.Statistic ?? properties.ExtendedStatistic ?? '')]],
  );
  const value = (values: Record<string, number[]>) =>
    reckon(
      expression,
      Object.fromEntries(
        Object.entries(metrics).map(([id, { statistic }]) => [id, aggregate(values[id] ?? [], statistic)]),
      ),
    );
  const below = ComparisonOperator === 'LessThanThreshold';
  const fires = (values: Record<string, number[]>) =>
    below ? value(values) < Threshold : value(values) > Threshold;
  const name = nameOf(properties);
  return { name, metrics, threshold: Threshold, below, missing: TreatMissingData, value, fires };
}

function readMetric({ Namespace, MetricName, Dimensions }: Written): WatchedMetric | null {
  if (!Namespace.startsWith('RevenueKernel/')) return null;
  return {
    namespace: Namespace,
    name: MetricName,
    dimensions: Object.fromEntries(Dimensions.map(({ Name, Value }) => [Name, String(Value)])),
  };
}

/** By its first dimension; the name of what the other stack exports holds the logical id. */
function readAws({ Namespace, MetricName, Dimensions }: Written, resources: Resources): AwsMetric {
  const written = JSON.stringify(Dimensions[0]?.Value);
  const id = Object.keys(resources).find((one) => new RegExp(`["\\w]${one}["\\w]`).test(written)) ?? '';
  const name = resources[id]?.Properties.FunctionName;
  return { namespace: Namespace, name: MetricName, resource: typeof name === 'string' ? name : id };
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
