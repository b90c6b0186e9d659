// The command that asks whether the kernel is well, check by check.
import { type Command, Failure } from './command.ts';
import { secretOption, start } from './cron.ts';
import { print, printJson, shown, table } from './output.ts';

type Check = { status: string } & Record<string, unknown>;

const EXIT_DEGRADED = 3;

/** What a check says beside its status, in words. */
function details({ status: _, ...rest }: Check): string {
  return Object.entries(rest)
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => `${name}=${typeof value === 'object' ? JSON.stringify(value) : shown(value)}`)
    .join(' ');
}

const watchtower: Command = {
  words: 'watchtower',
  usage: '[--strict]',
  summary: 'ask whether the kernel is well; exit 1 on alarm or critical',
  positionals: 0,
  options: {
    ...secretOption,
    strict: {
      type: 'boolean',
      help: 'exit 3 when degraded, which else exits 0 (alarm and critical: always 1)',
    },
  },
  async run(call) {
    const answer = await start(call, 'watchtower');
    const checks = answer.checks as Record<string, Check> | undefined;
    if (!checks) throw new Failure('The stack answered without checks: it is not of this release.');
    if (call.json) printJson(answer);
    else {
      const rows = Object.entries(checks).map(([name, check]) => [name, check.status, details(check)]);
      print(`${answer.code}\n`);
      print(table(rows, ['CHECK', 'STATUS', 'DETAILS']));
    }
    if (!answer.ok) return 1;
    return call.values.strict && answer.status !== 'ok' ? EXIT_DEGRADED : 0;
  },
};

export const watchtowerCommands = [watchtower];
