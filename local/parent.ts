// Ends the stack when npm, which started it, was killed: a killed parent cannot pass its signal on.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const look_every_ms = 500;

/** Watches only when npm is the parent; a stack started by hand may outlive its shell. */
export function watchParent(onGone: () => void): void {
  if (!process.env.npm_lifecycle_event) return;
  const parent = process.ppid;
  const shell = /sh$/.test(nameOf(parent)); // npm runs scripts in a shell, which survives npm
  const grandparent = shell ? parentOf(parent) : undefined;
  const timer = setInterval(() => {
    if (process.ppid === parent && (grandparent === undefined || parentOf(parent) === grandparent)) return;
    clearInterval(timer);
    onGone();
  }, look_every_ms);
  timer.unref();
}

function parentOf(pid: number): number | undefined {
  return Number(field(pid, 'ppid', (status) => /^PPid:\s*(\d+)/m.exec(status)?.[1])) || undefined;
}

function nameOf(pid: number): string {
  return field(pid, 'comm', (status) => /^Name:\s*(\S+)/m.exec(status)?.[1]) ?? '';
}

function field(
  pid: number,
  column: string,
  ofStatus: (status: string) => string | undefined,
): string | undefined {
  try {
    if (process.platform === 'linux') return ofStatus(readFileSync(`/proc/${pid}/status`, 'utf8'));
    return execFileSync('ps', ['-o', `${column}=`, '-p', String(pid)], { encoding: 'utf8' }).trim();
  } catch {
    return undefined; // the process is gone
  }
}
