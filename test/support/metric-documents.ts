// The metrics that the functions of a stack emit: documents in CloudWatch's embedded metric format among their log lines.
import type { TestStack } from './stack.ts';

export interface WatchedMetric {
  namespace: string;
  name: string;
  dimensions: Record<string, string>;
}

interface MetricDocument {
  _aws: {
    CloudWatchMetrics: { Namespace: string; Dimensions: string[][]; Metrics: { Name: string }[] }[];
  };
  [name: string]: unknown;
}

/** Every value that CloudWatch would have of this metric since the log line, by exactly these dimensions. */
export function emitted(stack: Pick<TestStack, 'logs'>, metric: WatchedMetric, since = 0): number[] {
  return stack.logs
    .slice(since)
    .filter((line): line is Record<string, unknown> & MetricDocument => '_aws' in line)
    .filter((document) =>
      document._aws.CloudWatchMetrics.some((directive) => names(directive, document, metric)),
    )
    .flatMap((document) => document[metric.name] as number | number[]);
}

function names(
  { Namespace, Dimensions, Metrics }: MetricDocument['_aws']['CloudWatchMetrics'][0],
  document: MetricDocument,
  { namespace, name, dimensions }: WatchedMetric,
): boolean {
  const wanted = Object.entries(dimensions);
  return (
    Namespace === namespace &&
    Metrics.some(({ Name }) => Name === name) &&
    Dimensions.some(
      (set) =>
        set.length === wanted.length &&
        wanted.every(([key, value]) => set.includes(key) && document[key] === value),
    )
  );
}
