// `npm start`: builds, synthesizes, boots the embedded stack, creates a demo site and says how to use it.
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { buildIfChanged } from '../scripts/build-if-changed.ts';
import { synthIfChanged } from '../scripts/synth-if-changed.ts';
import { demoPlayer } from './demo-player.ts';
import { demoSite } from './demo-site.ts';
import { checkPort } from './http/port.ts';
import { watchParent } from './parent.ts';
import { removeStackFile, writeStackFile } from './stack-file.ts';
import { type LocalStack, startLocal } from './start.ts';
import { lockDirectory } from './state.ts';

process.env.TZ = 'UTC'; // as in Lambda; a worker cannot set its own

const root = join(import.meta.dirname, '..');
const directory = join(root, '.local');
const assembly = join(directory, 'cdk.out');
const default_port = 3000;

const say = (sentence = '') => process.stdout.write(`${sentence}\n`);

let starting: Promise<LocalStack> | undefined;
const leaving = new AbortController();
let stopping = false;

async function main(): Promise<void> {
  const fresh = process.argv.includes('--fresh');
  const unknown = process.argv.slice(2).find((argument) => argument !== '--fresh');
  if (unknown) throw new Error(`Unknown option ${unknown}: npm start takes --fresh only.`);
  const port = readPort(process.env.PORT);
  const started = performance.now();
  const progress = (sentence: string) =>
    say(`  ${((performance.now() - started) / 1000).toFixed(1).padStart(4)} s  ${sentence} …`);

  // Before anything is built: the bundles and the assembly may be those of a stack that runs.
  const unlock = lockDirectory(directory);
  process.on('exit', () => {
    removeStackFile(directory);
    unlock();
  });
  stopOnSignal();
  await checkPort(port);
  progress('Building the functions');
  await buildIfChanged();
  progress('Synthesizing the CDK app');
  await synthIfChanged('dev', assembly);
  const log = createWriteStream(join(directory, 'functions.ndjson'), { flags: 'a' });
  leaving.signal.throwIfAborted();
  starting = startLocal({
    directory,
    assembly,
    port,
    fresh,
    durable: true,
    progress,
    signal: leaving.signal,
    onDenied: ({ identity, message }) => void process.stderr.write(`${identity}: ${message}\n`),
    onLog: ({ function: name, line }) => {
      log.write(`${line}\n`);
      if (/"level":"(ERROR|CRITICAL)"/.test(line)) process.stderr.write(`${name}: ${line}\n`);
    },
  });
  const stack = await starting;
  void stack.postgres.exited.then(() => stop('Postgres has ended, and the stack ends with it', 1));
  progress('Creating the demo site');
  const admin = await writeStackFile(directory, stack);
  const site = await demoSite(stack.url, admin);
  await demoPlayer(stack.url, stack.issuer);
  if (!stopping) greet(stack, site, (performance.now() - started) / 1000);
}

/** From the first moment: a start that is interrupted, or whose npm is killed, must not go on by itself. */
function stopOnSignal(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void stop(signal));
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined); // nobody reads any more
  watchParent(() => void stop('The command that started this has ended'));
}

/** What a start has begun is stopped in order too, as soon as its present step is done. */
async function stop(why: string, code = 0): Promise<void> {
  if (stopping) return;
  stopping = true;
  if (code === 0) say(`\n${why}: stopping.`);
  else process.stderr.write(`${why}.\n`);
  removeStackFile(directory);
  leaving.abort();
  await starting?.then(
    (stack) => stack.close(),
    () => undefined, // a start that failed has closed what it opened
  );
  process.exit(code);
}

function greet(
  stack: LocalStack,
  site: { id: string; public_id: string; api_key?: string },
  seconds: number,
): void {
  say();
  say(`Revenue Kernel is ready after ${seconds.toFixed(1)} s.`);
  say(`  API            ${stack.url}      (GET ${stack.url}/api/health)`);
  say(`  Console        ${stack.url}/console      sign in as any demo user`);
  say(`  Demo site      ${site.public_id}      id ${site.id}`);
  if (site.api_key) say(`  API key        ${site.api_key}      (shown this once)`);
  say(`  Tracker        ${stack.url}/example      a page that sends with ${stack.url}/tracker.js`);
  say(`  For tools      .local/stack.json      function logs in .local/functions.ndjson`);
  say(
    `  Not emulated   ${[...stack.notEmulated.keys()].map((type) => type.replace('AWS::', '')).join(', ')}`,
  );
  say();
  say('Send an event:');
  say();
  say(`  curl -i ${stack.url}/api/sync -H 'Origin: http://localhost' -H 'Content-Type: application/json' \\`);
  say(
    `    -d '{"s":"${site.public_id}","url":"http://localhost/","ec":"page","ea":"view","i":"first-event"}'`,
  );
  say();
  say('Ctrl-C stops everything; the next start continues; npm start -- --fresh begins anew.');
}

function readPort(text: string | undefined): number {
  if (text === undefined || text === '') return default_port;
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    throw new Error(`PORT is ${text}, but a port is a whole number from 1 to 65535.`);
  return port;
}

await main().catch((error: unknown) => {
  if (stopping) return; // what fails while it stops has been said
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});
