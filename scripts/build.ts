// Bundles every function once, the tracker and the console: the same bytes are deployed and run by the embedded stack.
import { cp, readdir, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { build, stop } from 'esbuild';
import { buildConsole } from './build-console.ts';
import { buildHash, buildStamp } from './build-stamp.ts';
import { bundleTracker } from './bundle-tracker.ts';

const root = join(import.meta.dirname, '..');
const outdir = join(root, 'dist');
const shared = new Set(['runtime.ts', 'service-job.ts', 'withdrawal-metrics.ts', 'console-reads.ts']); // parts of functions, not functions

const hash = await buildHash(); // of the sources as they are now, whatever is edited meanwhile
const entries = (await readdir(join(root, 'functions'))).filter(
  (file) => file.endsWith('.ts') && !shared.has(file),
);
await rm(outdir, { recursive: true, force: true });
await build({
  entryPoints: Object.fromEntries(
    entries.map((file) => [`${basename(file, '.ts')}/index`, join(root, 'functions', file)]),
  ),
  outdir,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  minify: true,
  sourcemap: false,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  mainFields: ['module', 'main'],
  alias: { '@aws-sdk/credential-provider-node': join(root, 'scripts/lambda-credentials.ts') },
  banner: { js: "import{createRequire as __cr}from'node:module';const require=__cr(import.meta.url);" },
  logLevel: 'warning',
});
await bundleTracker(join(outdir, 'tracker'));
await stop(); // its service process would live as long as ours
await cp(join(root, 'migrations'), join(outdir, 'migrate', 'migrations'), {
  recursive: true,
  filter: (path) => !path.endsWith('schema.sql'),
});
await buildConsole(join(outdir, 'console'));
await writeFile(buildStamp, hash);
