// A light copy of the checkout, in which `npm start` runs as a user runs it and touches nobody else's stack.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { readFileSync, symlinkSync } from 'node:fs';
import { chmod, cp, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../support/port.ts';

export const ROOT = join(import.meta.dirname, '../..');
const parts = [
  'scripts',
  'infra',
  'shared',
  'functions',
  'migrations',
  'local',
  'cli',
  'tracker',
  'console',
  'docs',
];
const boot_ms = 60_000;

export interface Start {
  process: ChildProcess;
  /** What it printed so far, on both streams. */
  output(): string;
  /** Resolves when the stack is ready. @throws Error with the output when it ended instead. */
  ready(): Promise<void>;
  /** The exit code, or the signal that ended it. */
  ended: Promise<number | NodeJS.Signals | null>;
  /** It and all that it started, as of now. */
  processes(): number[];
}

export interface StackFile {
  url: string;
  pid: number;
  database: { superuser_url: string; name: string };
  secrets: { admin_token: string };
  // biome-ignore lint/suspicious/noExplicitAny: tests read fields of many shapes
  [tool: string]: any;
}

export interface Checkout {
  directory: string;
  port: number;
  /** `npm start`. */
  start(options?: string[], environment?: Record<string, string>): Start;
  /** The same command without npm and its shell, which give their own exit codes to signals. */
  startDirectly(...options: string[]): Start;
  file(name: string): string;
  stackFile(): StackFile;
  sync(...ids: string[]): Promise<{ status: number; statuses: string[] }>;
  remove(): Promise<void>;
}

/** With a package of node_modules left out, when one is named. */
export async function openCheckout(without?: string): Promise<Checkout> {
  const directory = await mkdtemp(join(tmpdir(), 'kernel-checkout-'));
  await chmod(directory, 0o755); // as a checkout is: the user of the database can walk to its files
  for (const part of parts) await cp(join(ROOT, part), join(directory, part), { recursive: true });
  for (const file of ['package.json', 'cdk.json', 'tsconfig.json'])
    await cp(join(ROOT, file), join(directory, file));
  const modules = join(directory, 'node_modules');
  if (without === undefined) symlinkSync(join(ROOT, 'node_modules'), modules);
  else {
    await mkdir(modules);
    for (const name of await readdir(join(ROOT, 'node_modules')))
      if (name !== without) symlinkSync(join(ROOT, 'node_modules', name), join(modules, name));
  }
  const port = await freePort();
  const file = (name: string) => join(directory, '.local', name);
  const stackFile = (): StackFile => JSON.parse(readFileSync(file('stack.json'), 'utf8'));
  const all: Start[] = [];
  const run = (command: string, options: string[], environment: Record<string, string> = {}) => {
    const started = startIn(directory, command, options, { PORT: String(port), ...environment });
    all.push(started);
    return started;
  };
  return {
    directory,
    port,
    file,
    stackFile,
    start: (options = [], environment = {}) =>
      run('npm', ['start', '--silent', ...(options.length > 0 ? ['--', ...options] : [])], environment),
    startDirectly: (...options) =>
      run(process.execPath, ['scripts/node-24.mjs', 'local/main.ts', ...options]),
    async sync(...ids) {
      const one = (i: string) => ({ s: 'demo', url: 'http://localhost/', ec: 'page', ea: 'view', i });
      const response = await fetch(`http://127.0.0.1:${port}/api/sync`, {
        method: 'POST',
        headers: { origin: 'http://localhost', 'content-type': 'application/json' },
        body: JSON.stringify({ events: ids.map(one) }),
      });
      const { results = [] } = (await response.json()) as { results?: { status: string }[] };
      return { status: response.status, statuses: results.map(({ status }) => status) };
    },
    async remove() {
      for (const { process: child, processes } of all) {
        if (child.exitCode !== null || child.signalCode !== null) continue;
        for (const pid of processes()) kill(pid);
      }
      await rm(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
    },
  };
}

function startIn(
  directory: string,
  command: string,
  options: string[],
  environment: Record<string, string>,
): Start {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('npm_'));
  const child = spawn(command, options, {
    cwd: directory,
    env: { ...Object.fromEntries(own), ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true, // a process group of its own, as in a terminal
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk;
    });
  const ended = new Promise<number | NodeJS.Signals | null>((resolve) =>
    child.once('exit', (code, signal) => resolve(code ?? signal)),
  );
  return {
    process: child,
    output: () => output,
    ended,
    async ready() {
      const end = Date.now() + boot_ms;
      while (!output.includes('Ctrl-C stops everything')) {
        if (child.exitCode !== null || child.signalCode !== null || Date.now() > end)
          throw new Error(`npm start did not become ready:\n${output}`);
        await sleep(20);
      }
    },
    processes: () => treeOf(child.pid ?? 0),
  };
}

/** Resolves when none of the processes is left, with those that still are after 20 s. */
export async function gone(processes: number[]): Promise<string[]> {
  const end = Date.now() + 20_000;
  for (;;) {
    const left = table().filter(({ pid, state }) => processes.includes(pid) && !state.startsWith('Z'));
    if (left.length === 0 || Date.now() > end) return left.map(({ pid, command }) => `${pid} ${command}`);
    await sleep(50);
  }
}

function table() {
  const text = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,state=,args='], {
    encoding: 'utf8',
    maxBuffer: 16 * 1024 * 1024,
  });
  return text.split('\n').flatMap((line) => {
    const [, pid, ppid, state = '', command = ''] = /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line) ?? [];
    return pid ? [{ pid: Number(pid), ppid: Number(ppid), state, command }] : [];
  });
}

function treeOf(root: number): number[] {
  const rows = table();
  const found = [root];
  for (const pid of found) found.push(...rows.filter(({ ppid }) => ppid === pid).map((row) => row.pid));
  return found;
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
}
