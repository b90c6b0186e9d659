// What `npm pack` in tracker/ runs first: its bundles and their types, in the folder that the package ships.
import { execFileSync } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { stop } from 'esbuild';
import { bundleTracker } from './bundle-tracker.ts';

const root = join(import.meta.dirname, '..');

/** Fills the folder. */
export async function packTracker(outdir: string): Promise<void> {
  await rm(outdir, { recursive: true, force: true });
  await bundleTracker(outdir);
  await stop();
  const compiler = join(root, 'node_modules/.bin/tsc');
  execFileSync(compiler, ['-p', join(root, 'tracker/tsconfig.types.json'), '--outDir', outdir], {
    stdio: 'inherit',
  });
}

if (process.argv[1] === import.meta.filename) await packTracker(join(root, 'tracker/dist'));
