// `npm run demo`: fills the running embedded stack with three months of sites, traffic and money, and plants faults for the console to find.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Fault } from '../demo/faults.ts';
import { fillDemo } from '../demo/fill.ts';
import type { DemoStack } from '../demo/stack.ts';

const usage = `npm run demo -- [--events N] [--tamper]

Fills the running stack with sites, plans, three months of traffic, wallets, withdrawals and a provider's history,
and plants faults that the console must find. A second run adds nothing.

  --events N   events of the first site in its last frozen month (default 6000)
  --tamper     changes a byte of a sealed month, too; it cannot be undone
  --help       this`;
const events_max = 1_000_000;
const directory = join(import.meta.dirname, '../.local');
const started = performance.now();

const print = (line = '') => process.stdout.write(`${line}\n`);
const seconds = () => ((performance.now() - started) / 1000).toFixed(1).padStart(5);

interface Arguments {
  events?: number | undefined;
  tamper: boolean;
  help: boolean;
}

function readArguments(argv: string[]): Arguments {
  const options = {
    events: { type: 'string' },
    tamper: { type: 'boolean' },
    help: { type: 'boolean' },
  } as const;
  const { tokens } = parseArgs({ args: argv, options, strict: false, tokens: true });
  for (const token of tokens) {
    if (token.kind === 'option' && token.name in options) continue;
    const said = token.kind === 'option' ? token.rawName : token.kind === 'positional' ? token.value : '--';
    throw new Error(`Unknown option ${said}: npm run demo takes --events N, --tamper and --help.`);
  }
  const { values } = parseArgs({ args: argv, options });
  const events = values.events === undefined ? undefined : Number(values.events);
  if (events !== undefined && !(Number.isInteger(events) && events >= 1 && events <= events_max))
    throw new Error(`--events is ${values.events}, but must be a whole number from 1 to ${events_max}.`);
  return { events, tamper: values.tamper === true, help: values.help === true };
}

/** As the kernel command finds it: the file that the running stack keeps. */
function runningStack(): DemoStack {
  const none = 'No local stack runs (.local/stack.json): start one with npm start.';
  const stack = read(join(directory, 'stack.json'));
  const state = read(join(directory, 'state.json'));
  if (!stack || !state || !isAlive(stack.pid)) throw new Error(none);
  return {
    ...{ url: stack.url, database_url: stack.database.superuser_url },
    cron_secret: stack.secrets.cron_secret,
    issuer: { url: stack.issuer.url, key: state.issuerKey },
  };
}

// biome-ignore lint/suspicious/noExplicitAny: the stack's own files
function read(file: string): any {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function report(faults: Fault[], url: string): void {
  if (faults.length === 0) return;
  print();
  print('Planted, and where the console names it:');
  for (const [n, { what, where }] of faults.entries()) print(`  ${n + 1}. ${what}\n     → ${where}`);
  print();
  print(`Begin at ${url}/console`);
}

try {
  const { help, ...options } = readArguments(process.argv.slice(2));
  if (help) print(usage);
  else {
    const stack = runningStack();
    report(await fillDemo(stack, options, (sentence) => print(`${seconds()} s  ${sentence}.`)), stack.url);
  }
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
