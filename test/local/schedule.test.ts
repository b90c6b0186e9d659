// The local scheduler, with a clock that the test moves.
import { describe, expect, it } from 'vitest';
import type { AsyncOptions, InvokeResult } from '../../local/lambda/functions.ts';
import { parseExpression } from '../../local/schedule/expression.ts';
import {
  createSchedules,
  type DeadLetter,
  type FakeClock,
  fakeClock,
  type ScheduleDefinition,
  type Schedules,
} from '../../local/schedule/schedule.ts';

const ARN = 'arn:aws:scheduler:eu-west-1:000000000000:schedule/default/job';
const SCHEDULED_AT = JSON.stringify({ at: '<aws.scheduler.scheduled-time>' });

function start(
  own: Partial<ScheduleDefinition>,
  now: string,
  result: InvokeResult = { ok: true, value: null },
): { clock: FakeClock; schedules: Schedules; calls: unknown[]; letters: DeadLetter[]; settings: unknown[] } {
  const clock = fakeClock(now);
  const calls: unknown[] = [];
  const settings: unknown[] = [];
  const letters: DeadLetter[] = [];
  const definition = {
    name: 'job',
    arn: ARN,
    expression: 'rate(1 hour)',
    functionName: 'f',
    input: SCHEDULED_AT,
  };
  const schedules = createSchedules([{ ...definition, ...own }], {
    clock,
    retries: { retries: 1 },
    functions: {
      invokeAsync: async (_name: string, event: unknown, options?: AsyncOptions) => {
        calls.push(event);
        settings.push(options);
        return result;
      },
    },
    onDeadLetter: (letter) => void letters.push(letter),
  });
  return { clock, schedules, calls, letters, settings };
}

function timesOf(expression: string, timezone: string, from: string, n: number): string[] {
  const next = parseExpression(expression, timezone, new Date(from));
  const found: string[] = [];
  for (let after = new Date(from); found.length < n; ) {
    const due = next(after);
    if (due === undefined) break;
    found.push(due.toISOString().replace('.000Z', 'Z'));
    after = due;
  }
  return found;
}

describe('an expression', () => {
  it.each([
    ['rate(5 minutes)', ['2026-03-10T00:05:00Z', '2026-03-10T00:10:00Z']],
    ['rate(1 day)', ['2026-03-11T00:00:00Z', '2026-03-12T00:00:00Z']],
    ['cron(0 3 * * ? *)', ['2026-03-10T03:00:00Z', '2026-03-11T03:00:00Z']],
    ['cron(5/20 0 * * ? *)', ['2026-03-10T00:05:00Z', '2026-03-10T00:25:00Z']],
    ['cron(0 3 ? * 1 *)', ['2026-03-15T03:00:00Z', '2026-03-22T03:00:00Z']],
    ['cron(0 3 ? * SAT,SUN *)', ['2026-03-14T03:00:00Z', '2026-03-15T03:00:00Z']],
    ['cron(0 3 ? * 2-6 2027)', ['2027-01-01T03:00:00Z', '2027-01-04T03:00:00Z']],
    ['cron(0 3 L * ? *)', ['2026-03-31T03:00:00Z', '2026-04-30T03:00:00Z']],
    ['cron(0 3 15W * ? *)', ['2026-03-16T03:00:00Z', '2026-04-15T03:00:00Z']],
    ['cron(0 3 ? * 6#3 *)', ['2026-03-20T03:00:00Z', '2026-04-17T03:00:00Z']],
    ['cron(0 3 ? * 6L *)', ['2026-03-27T03:00:00Z', '2026-04-24T03:00:00Z']],
    ['cron(0 3 1 1/6 ? *)', ['2026-07-01T03:00:00Z', '2027-01-01T03:00:00Z']],
    ['at(2026-03-10T05:00:00)', ['2026-03-10T05:00:00Z']],
    ['at(2020-01-01T00:00:00)', []],
  ])('%s is due at %j', (expression, times) => {
    expect(timesOf(expression, 'UTC', '2026-03-10T00:00:00Z', 2)).toEqual(times);
  });

  it('follows its time zone through both changes of the clocks', () => {
    const berlin = (from: string): string[] => timesOf('cron(0 3 * * ? *)', 'Europe/Berlin', from, 2);
    expect(berlin('2026-03-28T00:00:00Z')).toEqual(['2026-03-28T02:00:00Z', '2026-03-29T01:00:00Z']);
    expect(berlin('2026-10-24T00:00:00Z')).toEqual(['2026-10-24T01:00:00Z', '2026-10-25T02:00:00Z']);
    expect(timesOf('at(2026-07-01T09:00:00)', 'America/New_York', '2026-03-10T00:00:00Z', 1)).toEqual([
      '2026-07-01T13:00:00Z',
    ]);
  });

  it('whose local time exists twice or not at all runs once that day', () => {
    const berlin = (from: string): string[] => timesOf('cron(30 2 * * ? *)', 'Europe/Berlin', from, 3);
    expect(berlin('2026-03-28T00:00:00Z').map((time) => time.slice(0, 10))).toEqual([
      '2026-03-28',
      '2026-03-29',
      '2026-03-30',
    ]);
    expect(berlin('2026-10-24T00:00:00Z')).toEqual([
      '2026-10-24T00:30:00Z',
      '2026-10-25T00:30:00Z',
      '2026-10-26T01:30:00Z',
    ]);
  });

  it.each([
    ['every(5 minutes)', /neither rate\(\.\.\.\), cron\(\.\.\.\) nor at/],
    ['rate(0 minutes)', /is no rate/],
    ['rate(5 weeks)', /is no rate/],
    ['cron(0 3 * * *)', /has 5 fields, where AWS has six/],
    ['cron(0 3 * * * *)', /needs a \? in exactly one/],
    ['cron(0 3 ? * ? *)', /needs a \? in exactly one/],
    ['cron(99 3 * * ? *)', /is not understood here/],
    ['cron(0 3 L-3 * ? *)', /is not understood here/],
    ['at(tomorrow)', /is no time/],
  ])('%s is refused', (expression, message) => {
    expect(() => parseExpression(expression, 'UTC', new Date())).toThrow(message);
  });

  it('with an unknown time zone is refused with the name of the schedule', () => {
    const own = { expression: 'cron(0 3 * * ? *)', timezone: 'Mars/Olympus' };
    expect(() => start(own, '2026-03-10T00:00:00Z')).toThrow(
      /^The schedule job cannot run: .*not understood here/,
    );
  });
});

describe('a schedule', () => {
  it('calls its function at each due time, with the scheduled time in the input', async () => {
    const { clock, schedules, calls, settings } = start({}, '2026-03-10T00:00:00Z');
    expect(schedules.next('job')).toEqual(new Date('2026-03-10T01:00:00Z'));
    await clock.advanceTo('2026-03-10T00:59:59Z');
    expect(calls).toEqual([]);
    await clock.advanceTo('2026-03-10T03:10:00Z');
    expect(calls).toEqual(['01', '02', '03'].map((hour) => ({ at: `2026-03-10T${hour}:00:00Z` })));
    expect(settings).toEqual(Array(3).fill({ retries: 1 }));
    schedules.stop();
    await clock.advance(7_200_000);
    expect(calls).toHaveLength(3);
  });

  it('replaces every placeholder', async () => {
    const input = JSON.stringify({
      id: '<aws.scheduler.execution-id>',
      attempt: '<aws.scheduler.attempt-number>',
      arn: '<aws.scheduler.schedule-arn>',
    });
    const { clock, calls } = start({ input }, '2026-03-10T00:00:00Z');
    await clock.advance(3_600_000);
    expect(calls).toEqual([{ id: expect.stringMatching(/^[0-9a-f-]{36}$/), attempt: '1', arn: ARN }]);
  });

  it('without an input sends the event of the Scheduler', async () => {
    const clock = fakeClock('2026-03-10T00:00:00Z');
    const calls: unknown[] = [];
    createSchedules([{ name: 'job', arn: ARN, expression: 'rate(1 minute)', functionName: 'f' }], {
      clock,
      functions: { invokeAsync: async (_name, event) => ({ ok: true, value: calls.push(event) }) },
    });
    await clock.advance(60_000);
    expect(calls).toEqual([
      expect.objectContaining({ source: 'aws.scheduler', time: '2026-03-10T00:01:00Z', resources: [ARN] }),
    ]);
  });

  it('that is disabled is never due, but can be triggered', async () => {
    const { clock, schedules, calls } = start({ state: 'DISABLED' }, '2026-03-10T00:00:00Z');
    await clock.advance(86_400_000);
    expect([schedules.next('job'), calls]).toEqual([undefined, []]);
    await schedules.trigger('job', new Date('2026-01-01T00:00:00Z'));
    expect(calls).toEqual([{ at: '2026-01-01T00:00:00Z' }]);
  });

  it('keeps to its start and end', async () => {
    const own = { startDate: '2026-03-10T12:00:00Z', endDate: '2026-03-10T14:30:00Z' };
    const { clock, schedules, calls } = start(own, '2026-03-10T00:00:00Z');
    await clock.advance(86_400_000);
    expect(calls).toEqual([{ at: '2026-03-10T13:00:00Z' }, { at: '2026-03-10T14:00:00Z' }]);
    expect(schedules.next('job')).toBeUndefined();
  });

  it('at a time runs once', async () => {
    const { clock, calls } = start({ expression: 'at(2026-03-10T05:00:00)' }, '2026-03-10T00:00:00Z');
    await clock.advance(30 * 86_400_000);
    expect(calls).toEqual([{ at: '2026-03-10T05:00:00Z' }]);
  });

  it('whose event is refused sends it to the dead letter queue, and one whose function fails does not', async () => {
    const refused = { ok: false, kind: 'rejected', errorType: 'X', errorMessage: 'gone' } as const;
    const own = { deadLetterArn: 'arn:aws:sqs:eu-west-1:000000000000:dlq' };
    const one = start(own, '2026-03-10T00:00:00Z', refused);
    await one.clock.advance(3_600_000);
    await one.schedules.idle();
    expect(one.letters).toEqual([
      { schedule: 'job', arn: own.deadLetterArn, input: '{"at":"2026-03-10T01:00:00Z"}', failure: refused },
    ]);
    const two = start(own, '2026-03-10T00:00:00Z', { ...refused, kind: 'handled' });
    await two.clock.advance(3_600_000);
    await two.schedules.idle();
    expect(two.letters).toEqual([]);
  });

  it('whose input is not JSON is refused at the start', () => {
    expect(() => start({ input: '{at}' }, '2026-03-10T00:00:00Z')).toThrow(
      /^The schedule job cannot run: .*JSON/,
    );
  });
});
