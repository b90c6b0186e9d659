// The command on a site's plan: how many events a month it may have, and what happens beyond.
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

export const planCommands = [planSet];
