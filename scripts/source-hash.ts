// One hash of all that something is made of, by which a later start knows that nothing has changed.
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');

/**
 * @param sources files and folders of the checkout; one that is not there counts as such.
 * @param beside what else it depends on.
 */
export async function hashOf(sources: readonly string[], beside: readonly unknown[] = []): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify([...beside, process.version]));
  for (const source of sources.filter((name) => existsSync(join(root, name)))) {
    const files = source.includes('.') ? [source] : await filesOf(source);
    for (const file of files) hash.update(`\0${file}\0`).update(await readFile(join(root, file)));
  }
  return hash.digest('hex');
}

/** Whether the stamp says that hash. */
export async function isStamped(stamp: string, hash: string): Promise<boolean> {
  return existsSync(stamp) && (await readFile(stamp, 'utf8')) === hash;
}

async function filesOf(folder: string): Promise<string[]> {
  const entries = await readdir(join(root, folder), { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .sort();
}
