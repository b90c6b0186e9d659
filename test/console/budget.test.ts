// What a first load may weigh, and each page beyond it; and that equal sources give equal bytes.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { buildConsole } from '../../scripts/build-console.ts';

const dist = join(import.meta.dirname, '../../dist/console');
const kb = 1024;
const gzip = (file: string) => gzipSync(readFileSync(join(dist, file)), { level: 9 }).length;
const html = readFileSync(join(dist, 'index.html'), 'utf8');
/** What the document names: loaded before anything is shown. */
const first = [...html.matchAll(/(?:src|href)="\/console\/([^"]+\.(?:js|css))"/g)].map(
  ([, name]) => name ?? '',
);
const sum = (ending: string) =>
  first.filter((name) => name.endsWith(ending)).reduce((total, name) => total + gzip(name), 0);

test('a first load has at most 45 KB of scripts and 10 KB of styles with gzip', () => {
  expect(first.length).toBeGreaterThan(2);
  expect(sum('.js')).toBeLessThanOrEqual(45 * kb);
  expect(sum('.css')).toBeLessThanOrEqual(10 * kb);
});

test('a chunk that is loaded later has at most 30 KB with gzip', () => {
  const later = readdirSync(join(dist, 'assets'))
    .map((name) => `assets/${name}`)
    .filter((name) => !first.includes(name));
  expect(later.length).toBeGreaterThan(15);
  expect(later.filter((name) => gzip(name) > 30 * kb)).toEqual([]);
});

test('the document has no inline script and no inline style', () => {
  expect(html).not.toMatch(/<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=/);
});

test('equal sources give equal bytes, those of the build, wherever they are built', async () => {
  const folders = [1, 2].map(() => mkdtempSync(join(tmpdir(), 'console-build-')));
  const built: Record<string, string>[] = [];
  for (const folder of folders) {
    await buildConsole(folder);
    const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((one) => one.isFile());
    built.push(
      Object.fromEntries(
        files.map(({ parentPath, name }) => [
          join(parentPath, name).slice(folder.length),
          readFileSync(join(parentPath, name), 'base64'),
        ]),
      ),
    );
    rmSync(folder, { recursive: true });
  }
  expect(built[0]).toEqual(built[1]);
  expect(built[0]?.['/index.html']).toBe(Buffer.from(html).toString('base64'));
});
