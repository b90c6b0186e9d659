// `npm run proof`: every fault test at full size, and what they found in docs/proof.md; with --seed n one random run again, with --only one test.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { clearSections, ids_of_the_proof, readSections } from './sections.ts';

const root = join(import.meta.dirname, '../..');
const page = join(root, 'docs/proof.md');

const { values } = parseArgs({ options: { seed: { type: 'string' }, only: { type: 'string' } } });
if (values.seed !== undefined && !/^\d{1,9}$/.test(values.seed)) {
  process.stderr.write('--seed takes a whole number, for example npm run proof -- --seed 7.\n');
  process.exit(2);
}
process.exitCode = run();

function run(): number {
  const { seed, only } = values;
  if (seed !== undefined)
    return runTests(['random-faults.test.ts'], { SEED: seed, IDS: String(ids_of_the_proof) });
  return only === undefined ? prove() : runTests([`test/faults/${only}.test.ts`], { PROOF: '1' });
}

function prove(): number {
  clearSections();
  const started = new Date();
  const status = runTests(testsWithSections(), { PROOF: '1' });
  writeFileSync(page, proof(started, status));
  process.stdout.write(`\nWritten: ${page}\n`);
  return status;
}

/** Every test file that writes a section, and the other ones of this folder. */
function testsWithSections(): string[] {
  return readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.test.ts'))
    .map((file) => `test/${file}`)
    .filter(
      (file) =>
        file.startsWith('test/faults/') || readFileSync(join(root, file), 'utf8').includes('writeSection('),
    );
}

function runTests(names: string[], environment: Record<string, string>): number {
  const build = spawnSync(process.execPath, ['scripts/build.ts'], { cwd: root, stdio: 'inherit' });
  if (build.status !== 0) return build.status ?? 1;
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  const { status } = spawnSync(process.execPath, [vitest, 'run', ...names], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...environment },
  });
  return status ?? 1;
}

function proof(started: Date, status: number): string {
  const sections = readSections();
  const minutes = ((Date.now() - started.getTime()) / 60_000).toFixed(1);
  const memory = (totalmem() / 1024 ** 3).toFixed(1);
  return `${[
    '# Proof',
    'What the fault tests found at full size, written by the command below. The quick sizes run in `npm test`.',
    [
      `- Command: \`npm run proof\`, ${started.toISOString().slice(0, 16).replace('T', ' ')} UTC, ${minutes} minutes`,
      `- Result: ${status === 0 ? 'every test passed' : '**a test failed**'}`,
      `- Machine: ${cpus().length} CPUs, ${memory} GiB, ${process.platform} ${process.arch}, Node ${process.versions.node}`,
    ].join('\n'),
    ...sections.map(({ title, markdown }) => `## ${title}\n\n${markdown}`),
  ].join('\n\n')}\n`;
}
