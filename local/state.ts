// What a stack must remember between starts: generated passwords, access keys, the issuer's key; and the lock of its folder.
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface State {
  /** The secret of that name, generated at its first use. */
  secret(name: string): string;
  issuerKey: Record<string, unknown> | undefined;
  save(): void;
}

const private_file = { mode: 0o600 };

export function openState(directory: string): State {
  const file = join(directory, 'state.json');
  const stored = read<{ secrets: Record<string, string>; issuerKey?: Record<string, unknown> }>(file) ?? {
    secrets: {},
  };
  const state: State = {
    issuerKey: stored.issuerKey,
    secret(name) {
      stored.secrets[name] ??= randomBytes(24).toString('hex'); // no dash: it is typed as the value of an option
      return stored.secrets[name];
    },
    save() {
      writeFileSync(file, JSON.stringify({ ...stored, issuerKey: state.issuerKey }, null, 2), private_file);
    },
  };
  return state;
}

/**
 * Takes the folder for this process; the lock of a process that is gone is taken over.
 * @throws Error with one sentence when a stack runs in the folder already, or the folder is another user's.
 */
export function lockDirectory(directory: string): () => void {
  const file = join(directory, 'lock');
  for (let attempt = 0; ; attempt++) {
    try {
      mkdirSync(directory, { recursive: true });
      writeFileSync(file, lockOf(process.pid), { ...private_file, flag: 'wx' });
      return () => {
        if (readFileOr(file, '') === lockOf(process.pid)) rmSync(file, { force: true });
      };
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === 'EACCES' || code === 'EPERM') {
        throw new Error(
          `${directory} belongs to another user: start as that user, or remove it together with dist/.`,
        );
      }
      if (code !== 'EEXIST') throw new Error(`${directory} cannot be written: ${message}`);
      const lock = readFileOr(file, '');
      const holder = Number.parseInt(lock, 10);
      if (attempt > 0 || (holder !== process.pid && lock === lockOf(holder))) {
        throw new Error(
          `A stack runs in ${directory} already (process ${holder}): stop it first, or use another checkout.`,
        );
      }
      rmSync(file, { force: true });
    }
  }
}

export function read<T>(file: string): T | undefined {
  const text = readFileOr(file, '');
  return text === '' ? undefined : (JSON.parse(text) as T);
}

function readFileOr(file: string, missing: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return missing;
  }
}

/** The process and when it began: after a reboot, its number may be another program's. */
function lockOf(pid: number): string {
  return `${pid} ${beginOf(pid) ?? ''}`;
}

/** Nothing when the process has ended. */
function beginOf(pid: number): string | undefined {
  try {
    if (process.platform !== 'linux')
      return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim();
    const [state, ...fields] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
    return state === 'Z' ? undefined : fields[18]; // what was killed may wait for its parent
  } catch {
    return undefined;
  }
}
