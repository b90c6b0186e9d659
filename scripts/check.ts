// `npm run check`: exactly what CI runs, each step with its time; the first failure ends it.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const steps: [name: string, command: string, ...args: string[]][] = [
  ['types', 'tsc', '--noEmit'],
  ['types of the tracker', 'tsc', '--noEmit', '-p', 'tracker'],
  ['types of the console', 'tsc', '--noEmit', '-p', 'console'],
  ['lint and format', 'biome', 'check', '.'],
  ['fresh schema dump', process.execPath, 'scripts/dump-schema.ts', '--check'],
  ['fresh openapi.json', process.execPath, 'scripts/openapi.ts', '--check'],
  ['fresh types of the contract', process.execPath, 'scripts/console-contract.ts', '--check'],
  ['bundles', process.execPath, 'scripts/build.ts'], // last of these: the openapi.json is in one of them
  ['tests, import rule, synthesis of all stages, cdk-nag', 'vitest', 'run'],
];

/** Each of some thousand processes and isolates would compile the same files again. */
process.env.NODE_COMPILE_CACHE ??= join(import.meta.dirname, '../node_modules/.cache/node');

for (const [name, command, ...args] of steps) {
  const started = performance.now();
  process.stdout.write(`\n== ${name}\n`);
  const { status } = spawnSync(command, args, { stdio: 'inherit' });
  if (status !== 0) {
    process.stderr.write(`\n"${name}" failed: ${[command, ...args].join(' ')}\n`);
    process.exit(1);
  }
  process.stdout.write(`== ${name}: ${((performance.now() - started) / 1000).toFixed(1)} s\n`);
}
