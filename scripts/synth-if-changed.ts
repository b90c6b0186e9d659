// Synthesizes a stage only when something that it is made of has changed since: a start that changes nothing need not wait for it.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hashOf, isStamped } from './source-hash.ts';
import { synth } from './synth.ts';

const root = join(import.meta.dirname, '..');
/** All that the application reads: itself, the bundles and pages it deploys, its libraries and its settings. */
const sources = ['infra', 'shared', 'dist', 'scripts', 'cdk.json', 'package.json', 'package-lock.json'];
const variables = ['COMMIT_SHA', 'GITHUB_SHA', 'COMMIT_BRANCH', 'GITHUB_REF_NAME'];

/** @throws Error as `synth` does; the folder then counts as changed. */
export async function synthIfChanged(stage: string, outdir: string): Promise<void> {
  const stamp = join(outdir, 'sources.sha256');
  const hash = await hashOf(sources, [stage, revision()]);
  if (await isStamped(stamp, hash)) return;
  await rm(outdir, { recursive: true, force: true });
  await synth(stage, outdir);
  await writeFile(stamp, hash);
}

/** The template names the commit that it was made of. */
function revision(): unknown {
  const told = variables.map((name) => process.env[name] ?? '');
  if (!existsSync(join(root, '.git'))) return told;
  try {
    const git = (...words: string[]) =>
      execFileSync('git', words, { cwd: root, encoding: 'utf8', stdio: 'pipe' });
    return [...told, git('rev-parse', 'HEAD'), git('branch', '--show-current')];
  } catch {
    return told; // as infra/config.ts: no git, or no commit yet
  }
}
