// `npm run gate`: the release gate. Runs the tests that show each item of the checklist, then the smoke against a stack of its own.
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { demoUsers } from '../local/issuer.ts';
import { type LocalStack, startLocal } from '../local/start.ts';
import { checklist, filesOf, judge, parts, type Report, type Verdict } from './gate-checklist.ts';
import { synth } from './synth.ts';

const root = join(import.meta.dirname, '..');

/** Runs a program of this checkout to its end. What goes on is told on stderr, so that stdout is the checklist alone. */
async function run(args: string[], { env = process.env, quiet = false } = {}) {
  const child = spawn(process.execPath, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'inherit'] });
  if (!quiet) child.stdout.pipe(process.stderr, { end: false });
  const exited = new Promise<number | null>((done, failed) => child.on('close', done).on('error', failed));
  const [stdout, code] = await Promise.all([text(child.stdout), exited]);
  return { stdout, code };
}

async function testGate(directory: string): Promise<Verdict[]> {
  const output = join(directory, 'report.json');
  const reporters = ['--reporter=dot', '--reporter=json', `--outputFile.json=${output}`];
  await run([join(root, 'node_modules/vitest/vitest.mjs'), 'run', ...reporters, ...filesOf(checklist)]);
  const report = JSON.parse(await readFile(output, 'utf8')) as Report;
  const tests = report.testResults.reduce((sum, { assertionResults }) => sum + assertionResults.length, 0);
  const none = {
    part: 'A' as const,
    claim: 'No test failed',
    ok: report.success && report.numFailedTests === 0 && tests > 0,
    why: `${report.numFailedTests} of ${tests} failed`,
  };
  return [none, ...checklist.map((item) => judge(item, report))];
}

interface Smoke {
  steps: { step: string; ok: boolean; expected: string; found: string }[];
  block: string;
}

/** The operator's own command, against an embedded stack on a free port. */
async function smoke(directory: string): Promise<Smoke> {
  const assembly = join(directory, 'cdk.out');
  await synth('dev', assembly);
  const stack = await startLocal({ directory, assembly });
  try {
    const env = await callerOf(stack);
    const { stdout } = await run([join(root, 'cli/kernel.mjs'), 'smoke', '--json'], { env, quiet: true });
    if (stdout === '') throw new Error('The smoke ended before its first step.');
    return JSON.parse(stdout) as Smoke;
  } finally {
    await stack.close();
    await rm(stack.postgres.home, { recursive: true, force: true });
  }
}

async function callerOf(stack: LocalStack): Promise<NodeJS.ProcessEnv> {
  const admin = demoUsers.find(({ role }) => role === 'platform-admin');
  const secret = stack.resource('AWS::SecretsManager::Secret', 'CronSecret').ref.split(':').at(-1) ?? '';
  return {
    PATH: process.env.PATH,
    KERNEL_URL: stack.url,
    KERNEL_TOKEN: admin && (await stack.issuer.token(admin)),
    KERNEL_CRON_SECRET: stack.state.secret(secret),
  };
}

function show(part: keyof typeof parts, verdicts: { claim: string; ok: boolean; why: string }[]): void {
  process.stdout.write(`\n${part}. ${parts[part]}\n`);
  for (const { claim, ok, why } of verdicts)
    process.stdout.write(`  ${ok ? '✔' : '✘'} ${claim}\n      ${why.replaceAll('\n', '\n      ')}\n`);
}

async function main(): Promise<boolean> {
  const directory = await mkdtemp(join(tmpdir(), 'kernel-gate-'));
  try {
    const built = await run([join(root, 'scripts/build.ts')]);
    if (built.code !== 0) throw new Error('The bundles could not be built.');
    const verdicts = await testGate(directory);
    const { steps, block } = await smoke(directory);
    const smoked = steps.map(({ step, ok, expected, found }) => ({
      claim: `${step}: ${expected}`,
      ok,
      why: found,
    }));
    for (const part of ['A', 'B', 'C'] as const)
      show(
        part,
        verdicts.filter((verdict) => verdict.part === part),
      );
    show('D', smoked);
    process.stdout.write(`\n${block}\n`);
    return [...verdicts, ...smoked].every(({ ok }) => ok);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

try {
  const ok = await main();
  process.stdout.write(ok ? '\nGO: every item holds.\n' : '\nNO GO: an item marked ✘ does not hold.\n');
  process.exitCode = ok ? 0 : 1;
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
