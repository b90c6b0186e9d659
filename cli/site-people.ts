// The commands on who may see a site, and on whether its quotas are enforced.
import { type Command, required, text, UsageError } from './command.ts';
import { print, printJson, table } from './output.ts';
import { type Plan, planRows, sitePath } from './site.ts';

const member: Command = {
  words: 'site member',
  usage: '<site> <user-uuid> --role R|--remove',
  summary: 'give a user a role at a site, or take it away',
  positionals: 2,
  options: {
    role: { type: 'string', value: 'R', help: 'admin, operator, analyst or billing' },
    remove: { type: 'boolean', help: 'the user is no longer a member' },
  },
  async run({ args, values, json, api }) {
    const [site = '', user = ''] = args;
    const role = text(values, 'role');
    if ((role === undefined) === (values.remove !== true))
      throw new UsageError('One of the options --role and --remove is needed.');
    const path = `${sitePath(site)}/members/${encodeURIComponent(user)}`;
    const answer = await (role === undefined
      ? api().send('DELETE', path)
      : api().send('PUT', path, { role }));
    if (json) printJson(answer);
    else
      print(
        role === undefined ? `${user} is no longer a member of ${site}.` : `${user} is ${role} of ${site}.`,
      );
    return 0;
  },
};

const enforcement: Command = {
  words: 'site enforcement',
  usage: '<site> on|off --reason R',
  summary: "switch a site's quotas on or off; off, nothing is refused and what exceeds is overage",
  positionals: 2,
  options: { reason: { type: 'string', value: 'R', help: 'why; kept in the audit log' } },
  async run({ args, values, json, api }) {
    const [site = '', state = ''] = args;
    if (state !== 'on' && state !== 'off')
      throw new UsageError(`The state must be on or off, not "${state}".`);
    const body = { enforced: state === 'on', reason: required(values, 'reason') };
    const answer = await api().send<{ plan: Plan }>('PUT', `${sitePath(site)}/enforcement`, body);
    if (json) printJson(answer);
    else print(table([['enforcement', state], ...planRows(answer.plan)]));
    return 0;
  },
};

export const sitePeopleCommands = [member, enforcement];
