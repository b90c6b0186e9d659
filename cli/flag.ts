// The commands on feature flags: what is switched on, and for whom.
import { type Command, integer, text, UsageError } from './command.ts';
import { print, printJson, shown, table } from './output.ts';

type Flag = {
  flag: string;
  value: boolean;
  rollout_percent: number | null;
  overrides: Record<string, boolean>;
};

const header = ['FLAG', 'VALUE', 'PERCENT', 'TENANTS'];
const path = (flag: string) => `/api/admin/flags/${encodeURIComponent(flag)}`;

function row({ flag, value, rollout_percent, overrides }: Flag): string[] {
  const tenants = Object.entries(overrides).map(([tenant, on]) => `${tenant}=${on}`);
  return [flag, String(value), shown(rollout_percent), shown(tenants.join(' '))];
}

const flagSet: Command = {
  words: 'flag set',
  usage: '<flag> true|false|default [--tenant T] [--percent N]',
  summary: 'switch a flag for all, for a share of the subjects, or for one tenant',
  positionals: 2,
  options: {
    tenant: { type: 'string', value: 'T', help: 'for this tenant only; default removes what was set' },
    percent: { type: 'string', value: 'N', help: 'true for so many of a hundred subjects, always the same' },
  },
  async run({ args, values, json, api }) {
    const [flag = '', value = ''] = args;
    const tenant_id = text(values, 'tenant');
    const percent = integer(values, 'percent', 0, 100);
    if (!['true', 'false', 'default'].includes(value) || (value === 'default' && tenant_id === undefined)) {
      throw new UsageError(
        'A flag is set to true or false; default is for a tenant and removes what was set for it.',
      );
    }
    if (tenant_id !== undefined && percent !== undefined) {
      throw new UsageError('Options --tenant and --percent exclude each other.');
    }
    const body = {
      value: value === 'default' ? null : value === 'true',
      ...(tenant_id !== undefined && { tenant_id }),
      ...(percent !== undefined && { percent }),
    };
    const answer = await api().send<{ flag: Flag }>('PUT', path(flag), body);
    if (json) printJson(answer);
    else print(table([row(answer.flag)], header));
    return 0;
  },
};

const flagList: Command = {
  words: 'flag list',
  usage: '',
  summary: 'list the feature flags and what tenants have of their own',
  positionals: 0,
  options: {},
  async run({ json, api }) {
    const answer = await api().get<{ flags: Flag[] }>('/api/admin/flags');
    if (json) printJson(answer);
    else print(table(answer.flags.map(row), header));
    return 0;
  },
};

export const flagCommands = [flagSet, flagList];
