// The commands on a site's plan: how many events a month it may have, what happens beyond, and the unblock of an incident.
import { type Command, decimal, required, text, UsageError } from './command.ts';
import { print, printJson, table } from './output.ts';
import { type Plan, planRows, sitePath } from './site.ts';

const planSet: Command = {
  words: 'plan set',
  usage: '<site> --limit L [--soft|--hard] [--multiplier M] [--tier T] [--policy P]',
  summary: 'set the monthly limit of a site',
  positionals: 1,
  options: {
    limit: { type: 'string', value: 'L', help: 'events a month' },
    soft: { type: 'boolean', help: 'admit events beyond the limit as overage, up to the hard cap' },
    hard: { type: 'boolean', help: 'refuse every event beyond the limit' },
    multiplier: { type: 'string', value: 'M', help: 'hard cap of a soft limit, as a multiple of the limit' },
    tier: { type: 'string', value: 'T', help: 'the name of the plan' },
    policy: { type: 'string', value: 'P', help: 'what is billable: all, or by_kind of event' },
  },
  async run({ args, values, json, api }) {
    required(values, 'limit');
    const plan: Plan = {};
    const limit = decimal(values, 'limit', false);
    const multiplier = decimal(values, 'multiplier', true);
    const tier = text(values, 'tier');
    const policy = text(values, 'policy');
    if (values.soft && values.hard) throw new UsageError('Options --soft and --hard exclude each other.');
    if (limit !== undefined) plan.monthly_limit = limit;
    if (values.soft || values.hard) plan.soft_limit_enabled = values.soft === true;
    if (multiplier !== undefined) plan.hard_cap_multiplier = multiplier;
    if (tier !== undefined) plan.plan_tier = tier;
    if (policy !== undefined) plan.billing_policy = policy;
    const answer = await api().send<{ plan: Plan }>('PUT', `${sitePath(args[0] ?? '')}/plan`, plan);
    if (json) printJson(answer);
    else print(table(planRows(answer.plan)));
    return 0;
  },
};

const UNIT_MS: Record<string, number> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

/** An instant with its zone, or so long from now: +30m, +2h, +3d. */
export function untilOf(value: string, now: number): string {
  const [, count = '', unit = ''] = /^\+(\d{1,5})([mhd])$/.exec(value) ?? [];
  const at = unit ? now + Number(count) * (UNIT_MS[unit] ?? 0) : Date.parse(value);
  const named = unit !== '' || /^\d{4}-\d\d-\d\dT\d\d:\d\d.*(Z|[+-]\d\d:\d\d)$/.test(value);
  if (!named || Number.isNaN(at)) {
    throw new UsageError(
      `Option --until must be an instant such as 2026-03-01T00:00:00Z, or +2h, or +3d, not "${value}".`,
    );
  }
  return new Date(at).toISOString();
}

const planUnblock: Command = {
  words: 'plan unblock',
  usage: '<site> --until T|--end [--limit L] --reason R',
  summary: "raise a site's limit until an instant, when it falls back by itself",
  positionals: 1,
  options: {
    until: {
      type: 'string',
      value: 'T',
      help: 'an instant with its zone, or +30m, +2h, +3d; at most 31 days',
    },
    end: { type: 'boolean', help: 'end a running unblock now' },
    limit: { type: 'string', value: 'L', help: 'the limit while it lasts (default 50000); it is soft' },
    reason: { type: 'string', value: 'R', help: 'why; kept in the audit log' },
  },
  async run({ args, values, json, api }) {
    const until = text(values, 'until');
    const limit = decimal(values, 'limit', false);
    const reason = required(values, 'reason');
    if ((until === undefined) === (values.end !== true))
      throw new UsageError('One of the options --until and --end is needed.');
    const body = {
      until: until === undefined ? null : untilOf(until, Date.now()),
      ...(limit !== undefined && { limit }),
      reason,
    };
    type Unblocked = Plan & { unblock?: { monthly_limit: string; until: string } | null };
    const path = `${sitePath(args[0] ?? '')}/unblock`;
    const answer = await api().send<{ plan: Unblocked }>('PUT', path, body);
    const { unblock } = answer.plan;
    if (json) printJson(answer);
    else
      print(
        table([
          ...planRows(answer.plan),
          ['unblock', unblock ? `${unblock.monthly_limit} until ${unblock.until}` : '-'],
        ]),
      );
    return 0;
  },
};

export const planCommands = [planSet, planUnblock];
