// Entry of the operator's command: finds the command, runs it, and turns every end into one exit code and one sentence.
import { adjustCommands } from './adjust.ts';
import { createApi } from './api.ts';
import { COMMON, type Command, Failure, readArguments, UsageError, usageLine } from './command.ts';
import { cutoverCommands } from './cutover.ts';
import { demoLogCommands } from './demo-log.ts';
import { exportCommands } from './export.ts';
import { findingCommands } from './finding.ts';
import { flagCommands } from './flag.ts';
import { invoiceCommands } from './invoices.ts';
import { jobCommands } from './job.ts';
import { matchCommands } from './match.ts';
import { moneyJobCommands } from './money-jobs.ts';
import { note, print, table } from './output.ts';
import { paymentCommands } from './payments.ts';
import { planCommands } from './plan.ts';
import { replayCommands } from './replay.ts';
import { settlementCommands } from './settlement.ts';
import { siteCommands } from './site.ts';
import { siteKeyCommands } from './site-key.ts';
import { sitePeopleCommands } from './site-people.ts';
import { smokeCommands } from './smoke.ts';
import { findTarget } from './target.ts';
import { tokenCommands } from './token.ts';
import { usageCommands } from './usage.ts';
import { verifyCommands } from './verify.ts';
import { watchtowerCommands } from './watchtower.ts';

const COMMANDS: Command[] = [
  ...siteCommands,
  ...siteKeyCommands,
  ...sitePeopleCommands,
  ...planCommands,
  ...settlementCommands,
  ...usageCommands,
  ...invoiceCommands,
  ...adjustCommands,
  ...exportCommands,
  ...verifyCommands,
  ...flagCommands,
  ...cutoverCommands,
  ...moneyJobCommands, // before the jobs, of which one is called `backfill` alone
  ...jobCommands,
  ...paymentCommands,
  ...matchCommands,
  ...findingCommands,
  ...watchtowerCommands,
  ...smokeCommands,
  ...tokenCommands,
  ...replayCommands,
  ...demoLogCommands,
];
const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

function overview(commands: Command[]): string {
  return [
    'Usage: kernel <command> [options]',
    '',
    table(commands.map((command) => [`  ${command.words}`, command.summary])),
    '',
    `Every command takes ${Object.keys(COMMON)
      .map((name) => `--${name}`)
      .join(', ')}.`,
    'Exit codes: 0 done, 1 failed, 2 wrong usage, 3 something differs (drift, a changed byte, --strict).',
  ].join('\n');
}

function help(command: Command): string {
  const options = Object.entries({ ...command.options, ...COMMON }).map(([name, option]) => [
    `  --${name}${option.value ? ` ${option.value}` : ''}`,
    option.help,
  ]);
  return `${command.summary}\n\n${usageLine(command)}\n\n${table(options)}`;
}

function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const swap = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

/** The command whose words are closest to what was typed. */
function nearest(words: string[]): Command | undefined {
  const far = (command: Command): number => {
    const count = command.words.split(' ').length;
    return distance(words.slice(0, count).join(' '), command.words);
  };
  return COMMANDS.toSorted((a, b) => far(a) - far(b))[0];
}

function leadingWords(argv: string[]): string[] {
  const end = argv.findIndex((word) => word.startsWith('-'));
  return end < 0 ? argv : argv.slice(0, end);
}

async function execute(command: Command, argv: string[]): Promise<number> {
  const { args, values } = readArguments(command, argv);
  if (values.help) {
    print(help(command));
    return 0;
  }
  if (args.length !== command.positionals) {
    const given =
      args.length > command.positionals
        ? `too many arguments, from "${args[command.positionals]}" on`
        : 'an argument is missing';
    throw new UsageError(`kernel ${command.words}: ${given}.`);
  }
  const target = () => findTarget(values);
  return command.run({ args, values, json: values.json === true, target, api: () => createApi(target()) });
}

async function dispatch(argv: string[]): Promise<number> {
  const words = leadingWords(argv);
  const typed = words.join(' ');
  const command = COMMANDS.find((c) => typed === c.words || typed.startsWith(`${c.words} `));
  if (command) {
    try {
      return await execute(command, argv.slice(command.words.split(' ').length));
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      note(`${error.message}\n${usageLine(command)}`);
      return EXIT_USAGE;
    }
  }
  const group = COMMANDS.filter((c) => typed === '' || c.words.startsWith(`${typed} `));
  const asked = argv.includes('--help') || argv.includes('-h') || typed === 'help';
  if (asked && (group.length > 0 || typed === 'help')) {
    print(overview(group.length > 0 ? group : COMMANDS));
    return 0;
  }
  if (words.length === 0) {
    note(
      argv.length === 0
        ? overview(COMMANDS)
        : `A command must come before "${argv[0]}".\nUsage: kernel <command> [options]`,
    );
    return EXIT_USAGE;
  }
  const close = nearest(words);
  note(`There is no command "${typed}"; kernel --help lists all.${close ? `\n${usageLine(close)}` : ''}`);
  return EXIT_USAGE;
}

// A reader such as head may close the pipe early: that is its right, not an error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : EXIT_FAILED);
});

try {
  process.exitCode = await dispatch(process.argv.slice(2));
} catch (error) {
  const message = error instanceof Error ? error.message : String(error);
  note(error instanceof Failure ? message : `The command failed unexpectedly: ${message}`);
  process.exitCode = EXIT_FAILED;
}
