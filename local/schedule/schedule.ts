// Calls functions at the times that the schedules of the template name, as EventBridge Scheduler does.
//
// Not reproduced: flexible time windows (always at the exact time), runs that were missed while the process was not there or
// asleep, deletion after completion, and targets that are not a Lambda function. A rate begins one period after the start.
import { randomUUID } from 'node:crypto';
import type { AsyncOptions, Functions, InvokeFailure, InvokeResult } from '../lambda/functions.ts';
import { type Clock, systemClock } from './clock.ts';
import { type NextTime, parseExpression } from './expression.ts';

export type { Clock, FakeClock } from './clock.ts';
export { fakeClock, systemClock } from './clock.ts';

export interface ScheduleDefinition {
  name: string;
  arn: string;
  /** `ScheduleExpression` */
  expression: string;
  /** `ScheduleExpressionTimezone`, UTC unless told. */
  timezone?: string;
  /** `State`, ENABLED unless told. */
  state?: string;
  startDate?: string;
  endDate?: string;
  functionName: string;
  /** `Target.Input`: JSON, with `<aws.scheduler.…>` placeholders. */
  input?: string;
  /** `Target.DeadLetterConfig.Arn` */
  deadLetterArn?: string;
}

export interface DeadLetter {
  schedule: string;
  /** The queue of `DeadLetterConfig`, when the schedule has one. */
  arn: string | undefined;
  input: string;
  failure: InvokeFailure;
}

export interface SchedulesOptions {
  functions: Pick<Functions, 'invokeAsync'>;
  clock?: Clock;
  /** Retries of the asynchronous call: Lambda's, as the Scheduler is done once Lambda has accepted the event. */
  retries?: AsyncOptions;
  /** An event that Lambda refused: an unknown function or a too large input. It is not retried: it would be refused again. */
  onDeadLetter?: (letter: DeadLetter) => void | Promise<void>;
}

export interface Schedules {
  /** When the schedule is due; undefined when it is disabled or over. */
  next(name: string): Date | undefined;
  /** Runs a schedule now, enabled or not, with the scheduled time given or now. */
  trigger(name: string, scheduledTime?: Date): Promise<InvokeResult>;
  /** Resolves when no call that a schedule made is running. */
  idle(): Promise<void>;
  stop(): void;
}

interface Entry {
  definition: ScheduleDefinition;
  nextTime: NextTime;
  due: Date | undefined;
  cancel: () => void;
}

/** @throws Error with one sentence that names the schedule whose expression, zone or input is not understood. */
export function createSchedules(definitions: ScheduleDefinition[], options: SchedulesOptions): Schedules {
  const clock = options.clock ?? systemClock;
  const running = new Set<Promise<InvokeResult>>();
  const created = clock.now();
  const entries = new Map(definitions.map((one) => [one.name, createEntry(one, created)]));

  const run = (entry: Entry, scheduledTime: Date): Promise<InvokeResult> => {
    const call = invoke(entry.definition, scheduledTime, options);
    running.add(call);
    void call.finally(() => running.delete(call));
    return call;
  };
  const arm = (entry: Entry, after: Date): void => {
    entry.due = nextWithin(entry, after);
    const { due } = entry;
    if (due === undefined) return;
    entry.cancel = clock.setTimer(due, () => {
      void run(entry, due);
      const now = clock.now();
      // After a sleep of the machine the times that passed are left out, not made up one after another.
      arm(entry, now > due ? now : due);
    });
  };
  for (const entry of entries.values()) if (isEnabled(entry.definition)) arm(entry, created);

  const named = (name: string): Entry => {
    const entry = entries.get(name);
    if (entry === undefined) throw new Error(`There is no schedule ${name}.`);
    return entry;
  };
  return {
    next: (name) => named(name).due,
    trigger: (name, scheduledTime = clock.now()) => run(named(name), scheduledTime),
    async idle() {
      while (running.size > 0) await Promise.all(running);
    },
    stop() {
      for (const entry of entries.values()) {
        entry.cancel();
        entry.due = undefined;
      }
    },
  };
}

function createEntry(definition: ScheduleDefinition, created: Date): Entry {
  const { name, expression, timezone = 'UTC', startDate } = definition;
  try {
    const begin = startDate === undefined ? created : new Date(startDate);
    const nextTime = parseExpression(expression, timezone, begin);
    JSON.parse(fill(definition, created, 'check'));
    return { definition, nextTime, due: undefined, cancel: () => undefined };
  } catch (error) {
    throw new Error(`The schedule ${name} cannot run: ${error instanceof Error ? error.message : error}`);
  }
}

function isEnabled({ state = 'ENABLED' }: ScheduleDefinition): boolean {
  return state === 'ENABLED';
}

function nextWithin({ definition, nextTime }: Entry, after: Date): Date | undefined {
  const { startDate, endDate } = definition;
  const begin =
    startDate === undefined ? after : new Date(Math.max(after.getTime(), Date.parse(startDate) - 1));
  const due = nextTime(begin);
  return due !== undefined && endDate !== undefined && due.getTime() > Date.parse(endDate) ? undefined : due;
}

async function invoke(
  definition: ScheduleDefinition,
  scheduledTime: Date,
  options: SchedulesOptions,
): Promise<InvokeResult> {
  const input = fill(definition, scheduledTime, randomUUID());
  const { functionName, name, deadLetterArn } = definition;
  const result = await options.functions.invokeAsync(functionName, JSON.parse(input), options.retries);
  if (!result.ok && result.kind === 'rejected') {
    await options.onDeadLetter?.({ schedule: name, arn: deadLetterArn, input, failure: result });
  }
  return result;
}

function fill(definition: ScheduleDefinition, scheduledTime: Date, executionId: string): string {
  const time = `${scheduledTime.toISOString().slice(0, 19)}Z`;
  const { arn, input = defaultInput(arn) } = definition;
  return input
    .replaceAll('<aws.scheduler.scheduled-time>', time)
    .replaceAll('<aws.scheduler.execution-id>', executionId)
    .replaceAll('<aws.scheduler.attempt-number>', '1') // the first attempt is accepted, or none is
    .replaceAll('<aws.scheduler.schedule-arn>', arn);
}

/** What a schedule without `Input` sends. */
function defaultInput(arn: string): string {
  const [, , , region, account] = arn.split(':');
  return JSON.stringify({
    version: '0',
    id: '<aws.scheduler.execution-id>',
    'detail-type': 'Scheduled Event',
    source: 'aws.scheduler',
    account,
    time: '<aws.scheduler.scheduled-time>',
    region,
    resources: [arn],
    detail: '{}',
  });
}
