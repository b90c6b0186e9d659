// What CloudWatch would have of an embedded stack since a moment: the metrics of its functions, those of AWS as far as they happen here, and which alarms ring at them.
import { GetQueueAttributesCommand } from '@aws-sdk/client-sqs';
import { emitted } from '../support/metric-documents.ts';
import { type AwsMetric, compositeAlarms, everyAlarm, type WatchedAlarm } from '../support/watched-alarms.ts';
import type { Load } from './load.ts';
import type { Rig } from './rig.ts';

/** Where the counting begins. */
export interface Moment {
  logs: number;
  calls: number;
  failed: number;
  invocations: Map<string, number>;
}

export interface Reading {
  alarm: string;
  /** Null for silence, and of an alarm over others. */
  value: number | null;
  threshold: number | null;
  below: boolean;
  rings: boolean;
  /** Whether there was a value at all; without one an alarm rings only where silence does. */
  heard: boolean;
}

export interface CloudWatch {
  now(): Moment;
  read(alarm: string, since: Moment): Promise<Reading>;
  /** Every alarm that rings at what was said since then; those at which only silence rings are left out. */
  ringing(since: Moment): Promise<string[]>;
}

export function openCloudWatch(rig: Rig, load: Load, assembly: string): CloudWatch {
  const alarms = new Map(everyAlarm(assembly).map((alarm) => [alarm.name, alarm]));
  const composites = compositeAlarms(assembly);
  const functions = [...alarms.values()].flatMap(({ metrics }) =>
    Object.values(metrics).flatMap(({ aws }) => (aws?.namespace === 'AWS/Lambda' ? [aws.resource] : [])),
  );
  const valuesOf = async ({ metrics }: WatchedAlarm, since: Moment) =>
    Object.fromEntries(
      await Promise.all(
        Object.entries(metrics).map(async ([id, { metric, aws }]) => {
          if (metric) return [id, emitted(rig.stack, metric, since.logs)] as const;
          return [id, aws ? await happened(rig, load, aws, since) : []] as const;
        }),
      ),
    );
  const readOne = async (alarm: WatchedAlarm, since: Moment): Promise<Reading> => {
    const { name, threshold, below, missing } = alarm;
    const values = await valuesOf(alarm, since);
    const heard = Object.values(values).every((found) => found.length > 0);
    const value = heard ? alarm.value(values) : null;
    const rings = heard ? alarm.fires(values) : missing === 'breaching';
    return { alarm: name, value, threshold, below, rings, heard };
  };
  const read: CloudWatch['read'] = async (name, since) => {
    const alarm = alarms.get(name);
    if (alarm) return readOne(alarm, since);
    const composite = composites.find((one) => one.name === name);
    if (!composite) throw new Error(`The template has no alarm ${name}.`);
    const parts = await Promise.all(composite.of.map((part) => read(part, since)));
    const [rings, heard] = [parts.every((part) => part.rings), parts.every((part) => part.heard)];
    return { alarm: name, value: null, threshold: null, below: false, rings, heard };
  };
  return {
    now: () => ({
      logs: rig.stack.logs.length,
      ...load.answered,
      invocations: new Map(functions.map((name) => [name, rig.invocations(name)])),
    }),
    read,
    async ringing(since) {
      const names = [...composites.map(({ name }) => name), ...alarms.keys()];
      const readings = await Promise.all(names.map((name) => read(name, since)));
      const rung = readings.filter(({ rings, heard }) => rings && heard).map(({ alarm }) => alarm);
      const within = new Set(composites.filter(({ name }) => rung.includes(name)).flatMap(({ of }) => of));
      return rung.filter((name) => !within.has(name));
    },
  };
}

/** A metric of AWS by what really happened; empty for one that nothing here stands for: durations, ages, capacity. */
async function happened(
  rig: Rig,
  load: Load,
  { namespace, name, resource }: AwsMetric,
  since: Moment,
): Promise<number[]> {
  switch (`${namespace} ${name}`) {
    case 'AWS/Lambda Invocations':
      return [rig.invocations(resource) - (since.invocations.get(resource) ?? 0)];
    case 'AWS/Lambda Errors':
      return [failures(rig, resource, since).filter((kind) => kind !== 'throttled').length];
    case 'AWS/Lambda Throttles':
      return [failures(rig, resource, since).filter((kind) => kind === 'throttled').length];
    case 'AWS/ApiGateway 5xx':
      return [load.answered.failed - since.failed];
    case 'AWS/ApiGateway Count':
      return [load.answered.calls - since.calls];
    case 'AWS/SQS ApproximateNumberOfMessagesVisible':
      return [await depth(rig, rig.stack.resource('AWS::SQS::Queue', resource).ref)];
    default:
      return [];
  }
}

/** Invocations that failed; a caller that only waited no longer is none of the function's. */
function failures(rig: Rig, resource: string, since: Moment): unknown[] {
  return rig.stack.logs
    .slice(since.logs)
    .filter(
      ({ message, function_name, errorType }) =>
        message === 'Invoke Error' && function_name === resource && errorType !== 'CallerTimeout',
    )
    .map(({ kind }) => kind)
    .filter((kind) => kind !== 'rejected');
}

async function depth({ queue }: Rig, QueueUrl: string): Promise<number> {
  const asked = new GetQueueAttributesCommand({
    QueueUrl,
    AttributeNames: ['ApproximateNumberOfMessages'],
  });
  return Number((await queue.client.send(asked)).Attributes?.ApproximateNumberOfMessages ?? 0);
}
