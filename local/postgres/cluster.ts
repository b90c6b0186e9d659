// The files of one Postgres cluster: where they are, who owns them, and their first creation.
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { type Binaries, findBinaries, isOpenToNobody, openFolderFor } from './binaries.ts';

export type Cluster = { home: string; data: string; bin: string; password: string; user: RunAs };
/** The identity of the server process; empty when it is our own. */
export type RunAs = { uid?: number; gid?: number };

const NOBODY = 65534;

export function openCluster(directory: string): Cluster {
  const root = process.getuid?.() === 0;
  const binaries = findBinaries(root);
  const home = homeOf(resolve(directory), root);
  const data = join(home, 'data');
  const user = runAs(data, root);
  const passwordFile = join(home, 'superuser-password');
  if (!existsSync(data)) initialize(binaries, home, data, passwordFile, user);
  checkVersion(data, binaries.major);
  return { home, data, bin: binaries.bin, password: readFileSync(passwordFile, 'utf8').trim(), user };
}

/** Removes the data, wherever they are; the server must have ended or be about to. */
export function removeCluster(directory: string): void {
  const home = homeOf(resolve(directory));
  for (const folder of [home, directory])
    rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
}

/** Postgres refuses to run as root, and the user that stands in must be able to walk to the files. */
export function homeOf(directory: string, root = process.getuid?.() === 0): string {
  const existed = existsSync(directory);
  mkdirSync(directory, { recursive: true, mode: 0o755 });
  if (!root) return directory;
  // The folder itself is ours to open (a temporary folder is made private); the ones above it are not.
  if (existed) chmodSync(directory, statSync(directory).mode | 0o001);
  return isOpenToNobody(directory) ? directory : openFolderFor(directory);
}

function runAs(data: string, root: boolean): RunAs {
  const owner = existsSync(data) ? statSync(data) : undefined;
  if (!root) {
    if (owner && owner.uid !== process.getuid?.()) {
      throw new Error(
        `The Postgres data in ${data} belongs to user ${owner.uid}: start as that user or remove it.`,
      );
    }
    return {};
  }
  // Data of an ordinary user keep their owner, so that this user can start the stack again later.
  if (owner && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  if (owner) giveAway(data);
  return { uid: NOBODY, gid: NOBODY };
}

function giveAway(data: string): void {
  chownSync(data, NOBODY, NOBODY);
  for (const entry of readdirSync(data, { recursive: true, encoding: 'utf8' })) {
    lchownSync(join(data, entry), NOBODY, NOBODY);
  }
}

function initialize(binaries: Binaries, home: string, data: string, passwordFile: string, user: RunAs): void {
  // Under another name until it is complete: a start that was killed half-way leaves nothing that looks usable.
  const partial = `${data}.new`;
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(partial, { mode: 0o700 });
  writeFileSync(passwordFile, `${randomBytes(24).toString('hex')}\n`, { mode: 0o600 });
  if (user.uid !== undefined && user.gid !== undefined) {
    chownSync(partial, user.uid, user.gid);
    chownSync(passwordFile, user.uid, user.gid);
  }
  // The built-in locale sorts the same on every machine and knows the letters of all languages.
  const locale = ['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'];
  const access = [
    '--username=postgres',
    `--pwfile=${passwordFile}`,
    '--auth-local=reject',
    '--auth-host=scram-sha-256',
  ];
  const run = spawnSync(join(binaries.bin, 'initdb'), ['-D', partial, '--no-sync', ...locale, ...access], {
    ...user,
    cwd: home,
    env: { LC_ALL: 'C', PATH: '/usr/bin:/bin', TZ: 'UTC' },
    encoding: 'utf8',
  });
  if (run.status !== 0) {
    throw new Error(`initdb failed in ${home}: ${run.error?.message ?? run.stderr.trim()}`, {
      cause: run.error,
    });
  }
  renameSync(partial, data);
}

function checkVersion(data: string, major: string): void {
  const file = join(data, 'PG_VERSION');
  const found = existsSync(file) ? readFileSync(file, 'utf8').trim() : 'unknown';
  if (found !== major) {
    throw new Error(
      `The data in ${data} are of Postgres ${found}, this is Postgres ${major}: remove or migrate them.`,
    );
  }
}
