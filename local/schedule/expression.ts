// Computes when an EventBridge Scheduler expression is due next: rate(...), cron(...) in AWS's six fields, at(...).
import { Cron } from 'croner';

/** The first time after `after`, or undefined when there is none any more. */
export type NextTime = (after: Date) => Date | undefined;

const UNITS: Record<string, number> = { minute: 60_000, hour: 3_600_000, day: 86_400_000 };

/**
 * @param created a rate counts from here; deployed, it counts from the schedule's creation or start date
 * @throws Error with one sentence when the expression is not one of the Scheduler's
 */
export function parseExpression(expression: string, timezone: string, created: Date): NextTime {
  const [, kind, inside = ''] = /^(rate|cron|at)\((.*)\)$/.exec(expression.trim()) ?? [];
  if (kind === 'rate') return rate(inside, expression, created);
  if (kind === 'cron') return cron(inside, expression, timezone);
  if (kind === 'at') return at(inside, expression, timezone);
  throw new Error(`The schedule expression "${expression}" is neither rate(...), cron(...) nor at(...).`);
}

function rate(inside: string, expression: string, created: Date): NextTime {
  const [, value = '', unit = ''] = /^(\d+) (minute|hour|day)s?$/.exec(inside.trim()) ?? [];
  const period = Number(value) * (UNITS[unit] ?? 0);
  if (!(period > 0)) {
    throw new Error(`"${expression}" is no rate: write a positive number and minutes, hours or days.`);
  }
  const start = created.getTime();
  return (after) => {
    const periods = Math.max(1, Math.floor((after.getTime() - start) / period) + 1);
    return new Date(start + periods * period);
  };
}

function at(inside: string, expression: string, timezone: string): NextTime {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$/.test(inside)) {
    throw new Error(`"${expression}" is no time: write at(yyyy-mm-ddThh:mm:ss), without a zone.`);
  }
  return next(() => new Cron(inside, { paused: true, timezone }), expression);
}

const FIELDS = ['minutes', 'hours', 'day-of-month', 'month', 'day-of-week', 'year'];
const LAST = [59, 23, 31, 12, 7, 2199];

function cron(inside: string, expression: string, timezone: string): NextTime {
  const fields = inside.trim().split(/\s+/);
  if (fields.length !== 6) {
    throw new Error(`"${expression}" has ${fields.length} fields, where AWS has six: ${FIELDS.join(', ')}.`);
  }
  if ((fields[2] === '?') === (fields[4] === '?')) {
    throw new Error(`"${expression}" needs a ? in exactly one of day-of-month and day-of-week.`);
  }
  // AWS's "5/10" is "from 5 on, every 10th"; the cron library wants the end of the range written out.
  const converted = fields.map((field, i) =>
    field === '?' ? '*' : field.replace(/(^|,)(\w+)\/(?=\d)/g, `$1$2-${LAST[i]}/`),
  );
  const pattern = ['0', ...converted].join(' ');
  // The alternative numbering of days is AWS's: 1 is Sunday.
  return next(
    () => new Cron(pattern, { paused: true, timezone, mode: '7-part', alternativeWeekdays: true }),
    expression,
  );
}

function next(create: () => Cron, expression: string): NextTime {
  try {
    const job = create();
    job.nextRun(new Date()); // an unknown time zone shows only here
    return (after) => job.nextRun(after) ?? undefined;
  } catch (error) {
    const cause = error instanceof Error ? error.message : String(error);
    throw new Error(
      `The schedule expression "${expression}" is not understood here: ${cause.replace(/\.$/, '')}.`,
    );
  }
}
