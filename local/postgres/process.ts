// The server process of a Postgres cluster: started under a watchdog that outlives us, and stopped in order.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cluster } from './cluster.ts';

export type Server = { port: number; pid: number; exited: Promise<void>; stop(): Promise<void> };
export type ServerOptions = { port: number | undefined; fsync: boolean; log: (line: string) => void };

/** How long a start waits for the previous server of the same data. */
const PREDECESSOR_MS = 15_000;
const START_MS = 60_000;
const STOP_MS = 10_000;
const POLL_MS = 50;

/**
 * The shell holds the read end of a pipe that only we write to: when we end, however that happens, it reads the end of
 * the file and asks Postgres to shut down. It ends by itself when Postgres does, so that we notice that too.
 */
const WATCHDOG = `exec 3<&0
"$0" "$@" </dev/null 3<&- &
p=$!
(read _ <&3; kill -INT $p) 2>/dev/null &
w=$!
exec 3<&-
trap 'kill -INT $p' INT TERM
while kill -0 $p 2>/dev/null; do wait $p; done
kill $w 2>/dev/null`;

const SETTINGS = [
  'listen_addresses=127.0.0.1',
  'unix_socket_directories=',
  'max_connections=100',
  'shared_buffers=256MB',
  'timezone=UTC',
  'log_timezone=UTC',
  'log_min_messages=warning',
  'log_checkpoints=off',
];

export async function startServer(cluster: Cluster, options: ServerOptions): Promise<Server> {
  const { port } = options;
  const deadline = Date.now() + PREDECESSOR_MS;
  for (;;) {
    await awaitPredecessor(cluster, deadline);
    const attempt = await launch(cluster, port ?? (await freePort()), options);
    if ('pid' in attempt) return attempt;
    // The port was free a moment ago, or children of a killed server still hold the memory: both pass.
    const passing = port === undefined && /could not bind|Address already in use/.test(attempt.failure);
    if (!(passing || /shared memory block|lock file/.test(attempt.failure)) || Date.now() > deadline) {
      throw new Error(`Postgres did not start in ${cluster.data}: ${attempt.failure.trim()}`);
    }
    await sleep(POLL_MS);
  }
}

async function launch(
  cluster: Cluster,
  port: number,
  { fsync, log }: ServerOptions,
): Promise<Server | { failure: string }> {
  const settings = [...SETTINGS, `fsync=${fsync ? 'on' : 'off'}`].flatMap((setting) => ['-c', setting]);
  const program = [join(cluster.bin, 'postgres'), '-D', cluster.data, '-p', `${port}`, ...settings];
  const child = spawn('/bin/sh', ['-c', WATCHDOG, ...program], {
    ...cluster.user,
    cwd: '/tmp',
    env: { LC_ALL: 'C', PATH: '/usr/bin:/bin' },
    stdio: ['pipe', 'ignore', 'pipe'],
    // A terminal sends Ctrl-C to the whole group; the database must outlive those who still talk to it.
    detached: true,
  });
  const exited = new Promise<void>((resolve) => {
    child.once('error', () => resolve()).once('exit', () => resolve());
  });
  const output = await untilReady(child, exited, log);
  if (output !== undefined) {
    child.stdin?.destroy();
    return { failure: output };
  }
  const pid = Number(postmasterPid(cluster.data));
  return { port, pid, exited, stop: () => stop(child, pid, exited) };
}

/** Resolves with nothing when the server takes connections, with what it printed when it will not. */
function untilReady(
  child: ChildProcess,
  exited: Promise<void>,
  log: ServerOptions['log'],
): Promise<string | undefined> {
  return new Promise((resolve) => {
    let output = '';
    let ready = false;
    let partial = '';
    const timer = setTimeout(() => resolve(`not ready after ${START_MS / 1000} s\n${output}`), START_MS);
    const settle = (result: string | undefined) => {
      clearTimeout(timer);
      ready = true;
      resolve(result);
    };
    child.stdin?.on('error', () => {});
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      const lines = (partial + chunk).split('\n');
      partial = lines.pop() ?? '';
      for (const line of lines) log(line);
      if (ready) return;
      output += chunk;
      if (output.includes('ready to accept connections')) settle(undefined);
    });
    child.once('error', (error) => settle(error.message));
    // Whatever it still printed arrives before the pipe closes.
    exited
      .then(() => setImmediate(() => ready || settle(output || 'it ended without a word')))
      .catch(() => {});
  });
}

async function stop(child: ChildProcess, pid: number, exited: Promise<void>): Promise<void> {
  child.stdin?.end();
  const slow = setTimeout(() => signal(pid, 'SIGQUIT'), STOP_MS);
  await exited;
  clearTimeout(slow);
}

/** A server that is still shutting down is waited for; what a dead one left behind is removed. */
async function awaitPredecessor(cluster: Cluster, deadline: number): Promise<void> {
  for (;;) {
    const pid = postmasterPid(cluster.data);
    if (!pid) return;
    if (!isPostgres(pid)) {
      // The number may belong to another program by now, which Postgres itself could not tell.
      rmSync(join(cluster.data, 'postmaster.pid'), { force: true });
      return;
    }
    if (Date.now() > deadline)
      throw new Error(`The data in ${cluster.data} are in use by Postgres process ${pid}.`);
    await sleep(POLL_MS);
  }
}

function postmasterPid(data: string): number | undefined {
  try {
    const pid = Number(readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n')[0]);
    return Number.isInteger(pid) && pid > 1 ? pid : undefined;
  } catch {
    return undefined;
  }
}

function isPostgres(pid: number): boolean {
  try {
    return execFileSync('ps', ['-o', 'args=', '-p', `${pid}`], { encoding: 'utf8' }).includes('postgres');
  } catch (error) {
    // Without `ps` (small containers) any living process counts, which is the safe side.
    return (error as NodeJS.ErrnoException).code === 'ENOENT' && signal(pid, 0);
  }
}

function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, name);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (!address || typeof address === 'string') throw new Error('The system gave no free port.');
  return address.port;
}
