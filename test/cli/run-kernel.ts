// Starts the operator's command as its own process, the way a person or a pipeline does.
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const NODE = fileURLToPath(new URL('../../node_modules/.bin/node', import.meta.url));
const KERNEL = fileURLToPath(new URL('../../cli/kernel.mjs', import.meta.url));

export const SAMPLE = fileURLToPath(new URL('./sample-access.log', import.meta.url));

export type Run = { code: number | null; stdout: string; stderr: string };

export function startKernel(args: string[], env: Record<string, string> = {}): ChildProcess {
  return spawn(NODE, [KERNEL, ...args], {
    env: { PATH: process.env.PATH ?? '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

export function finished(child: ChildProcess): Promise<Run> {
  const run: Run = { code: null, stdout: '', stderr: '' };
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    run.stdout += chunk;
  });
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    run.stderr += chunk;
  });
  return new Promise((resolve) => {
    child.on('close', (code) => resolve({ ...run, code }));
  });
}

export const kernel = (args: string[], env?: Record<string, string>): Promise<Run> =>
  finished(startKernel(args, env));
