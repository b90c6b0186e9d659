// The command that turns an access log into tracker events and bills each line once, however often it is run.
import { statSync } from 'node:fs';
import { type Call, type Command, Failure, integer, required, text, UsageError } from './command.ts';
import { note, print, printJson, table } from './output.ts';
import { createProgress } from './progress.ts';
import { emptyResult, type ReplayOptions, type ReplayResult, replay } from './replay-run.ts';
import { defaultStateFile, ReplayState } from './replay-state.ts';
import { findSite } from './site.ts';

// Below the contract's 256 KiB, and 1 MiB with an API key.
const MAX_BODY_BYTES = 250_000;
const MAX_BODY_BYTES_WITH_KEY = 1_000_000;

function originOf(value: string): string {
  const url = /^https?:\/\//i.test(value) ? value : `https://${value}`;
  if (!URL.canParse(url)) throw new UsageError(`"${value}" is not an origin such as https://shop.example.`);
  return new URL(url).origin;
}

/**
 * The site's public id and the origin its URLs begin with. With a key and no admin token the site cannot be looked up:
 * it is sent as it was given, and the URLs begin with http://localhost.
 */
async function identify({ values, api, target }: Call): Promise<{ site: string; base: string }> {
  const site = required(values, 'site');
  const named = text(values, 'origin');
  const base = named === undefined ? undefined : originOf(named);
  if (!target().token && (text(values, 'key') !== undefined || base !== undefined)) {
    return { site, base: base ?? 'http://localhost' };
  }
  const found = await findSite(api(), site);
  const first = base ?? found.origins[0];
  if (first === undefined && text(values, 'key') === undefined) {
    throw new Failure(`The site "${site}" has no origin: pass --origin or --key.`);
  }
  return { site: found.public_id, base: first === undefined ? 'http://localhost' : originOf(first) };
}

function logSize(log: string): number {
  try {
    const stat = statSync(log);
    if (stat.isFile()) return stat.size;
  } catch (error) {
    throw new Failure(`The log ${log} cannot be read (${(error as NodeJS.ErrnoException).code}).`);
  }
  throw new Failure(`The log ${log} is not a file.`);
}

async function readOptions(call: Call): Promise<ReplayOptions> {
  const { args, values, target } = call;
  const batch = integer(values, 'batch', 1, 500) ?? 100;
  const concurrency = integer(values, 'concurrency', 1, 64) ?? 4;
  const rate = integer(values, 'rate', 1, 1_000_000);
  const fromLine = integer(values, 'from-line', 1, 1e15) ?? 1;
  const key = text(values, 'key');
  required(values, 'site');
  logSize(args[0] ?? '');
  const { site, base } = await identify(call);
  const headers: Record<string, string> =
    key === undefined ? { origin: base } : { authorization: `Bearer ${key}` };
  const maxBytes = key === undefined ? MAX_BODY_BYTES : MAX_BODY_BYTES_WITH_KEY;
  const { url } = target();
  return { log: args[0] ?? '', url, site, base, headers, batch, maxBytes, concurrency, rate, fromLine };
}

/** Where to begin: the line that was asked for, else where the last run stopped, else the first. */
function beginning(call: Call, options: ReplayOptions, state: ReplayState): void {
  const saved = state.saved();
  if (call.values['from-line'] === undefined && !call.values.restart && saved !== undefined) {
    note(`Resuming at line ${saved} (${state.file}); --restart begins at line 1.`);
    options.fromLine = saved;
  }
  state.start(options.fromLine);
}

function show(result: ReplayResult, json: boolean): void {
  if (json) printJson(result);
  else print(table(Object.entries(result).map(([name, value]) => [name.replace('_', ' '), String(value)])));
}

async function run(call: Call): Promise<number> {
  const options = await readOptions(call);
  const file = text(call.values, 'state') ?? defaultStateFile(options.log, options.url, options.site);
  const state = new ReplayState(file, options.log, options.site);
  beginning(call, options, state);
  const result = emptyResult(options.site, options.fromLine);
  const progress = createProgress(logSize(options.log), call.json, { job: 'replay', unit: 'events sent' });
  const halt = new AbortController();
  const started = performance.now();
  let interrupted = 0;
  const stop = (signal: NodeJS.Signals): void => {
    interrupted = signal === 'SIGINT' ? 130 : 143;
    halt.abort();
  };
  process.once('SIGINT', stop).once('SIGTERM', stop);
  let failure: unknown;
  try {
    await replay(options, result, state, progress, halt);
  } catch (error) {
    failure = error;
  }
  process.off('SIGINT', stop).off('SIGTERM', stop);
  progress.stop();
  result.seconds = Math.round(performance.now() - started) / 1000;
  if (failure === undefined && !interrupted) {
    state.finish();
    show(result, call.json);
    return 0;
  }
  const resume = `Run the same command again to resume at line ${state.nextLine}.`;
  if (interrupted) {
    note(`Interrupted. ${resume}`);
    return interrupted;
  }
  show(result, call.json);
  if (failure instanceof Failure) throw new Failure(`${failure.message} ${resume}`);
  throw failure;
}

const replayCommand: Command = {
  words: 'replay',
  usage:
    '<access-log> --site <public_id|uuid> [--key API_KEY] [--origin O] [--batch 100] [--rate R] ' +
    '[--concurrency 4] [--from-line N] [--state FILE] [--restart]',
  summary: 'turn an access log into events and send them, each line once',
  positionals: 1,
  options: {
    site: { type: 'string', value: 'SITE', help: 'public id or UUID of the site' },
    key: { type: 'string', value: 'API_KEY', help: "send with an API key instead of the site's origin" },
    origin: { type: 'string', value: 'O', help: "origin of the URLs (default: the site's first origin)" },
    batch: { type: 'string', value: 'N', help: 'events a request, 1 to 500 (default 100)' },
    rate: { type: 'string', value: 'R', help: 'events a second at most (default: no bound)' },
    concurrency: { type: 'string', value: 'N', help: 'requests at a time (default 4)' },
    'from-line': { type: 'string', value: 'N', help: 'begin at this line of the log' },
    state: { type: 'string', value: 'FILE', help: 'where to remember how far it came (default: in .local)' },
    restart: { type: 'boolean', help: 'forget how far the last run came' },
  },
  run,
};

export const replayCommands = [replayCommand];
