// Bundles the tracker: the module and the script tag's file for browsers, the module for Node, and what a page needs to pin the file.
import { createHash } from 'node:crypto';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { type BuildOptions, build } from 'esbuild';
import { version } from '../tracker/wire.ts';

const source = join(import.meta.dirname, '../tracker');

const shared: BuildOptions = {
  bundle: true,
  minify: true,
  sourcemap: false,
  tsconfigRaw: {}, // no "use strict" in front of the script: it is one of 2,048 bytes
  logLevel: 'warning',
};

/** Writes tracker.js, browser.mjs, server.mjs, tracker.json and the example page. */
export async function bundleTracker(outdir: string): Promise<void> {
  const browser: BuildOptions = { ...shared, platform: 'browser', target: 'es2022' };
  const from = (entry: string) => join(source, entry);
  await Promise.all([
    build({
      ...browser,
      entryPoints: [from('browser.ts')],
      format: 'esm',
      outfile: join(outdir, 'browser.mjs'),
    }),
    build({
      ...browser,
      entryPoints: [from('script.ts')],
      format: 'iife',
      outfile: join(outdir, 'tracker.js'),
    }),
    build({
      ...shared,
      entryPoints: [from('server.ts')],
      platform: 'node',
      target: 'node20',
      format: 'esm',
      outfile: join(outdir, 'server.mjs'),
    }),
  ]);
  const script = await readFile(join(outdir, 'tracker.js'));
  const about = {
    version,
    integrity: `sha384-${createHash('sha384').update(script).digest('base64')}`,
    bytes: script.length,
    gzip_bytes: gzipSync(script, { level: 9 }).length,
  };
  await writeFile(join(outdir, 'tracker.json'), `${JSON.stringify(about)}\n`);
  await copyFile(from('example.html'), join(outdir, 'example.html'));
}
