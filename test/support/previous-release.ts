// The release before this one, taken out of the history and built as it was, without its migrations.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');
const NAMED = join(ROOT, 'test/infra/previous-release.txt');

/** The last tag before this commit, else the commit that the file names; or the sentence that says why there is none. */
export function previousRelease(): { commit: string } | { missing: string } {
  const tag = git('describe', '--tags', '--abbrev=0', '--match', 'v*', 'HEAD^');
  const name = tag ?? readFileSync(NAMED, 'utf8').trim();
  const commit = git('rev-parse', '--verify', '--quiet', `${name}^{commit}`);
  if (commit !== undefined) return { commit };
  return {
    missing: `The previous release ${name} is not in this checkout, which is shallow or has no history: run "git fetch --unshallow --tags".`,
  };
}

/** @returns the cloud assembly of that release, which serves and does not migrate. */
export function buildRelease(commit: string): { checkout: string; assembly: string } {
  const checkout = mkdtempSync(join(tmpdir(), 'kernel-previous-'));
  const archive = execFileSync('git', ['archive', '--format=tar', commit], {
    cwd: ROOT,
    maxBuffer: 256 * 1024 * 1024,
  });
  execFileSync('tar', ['-x', '-C', checkout], { input: archive });
  symlinkSync(join(ROOT, 'node_modules'), join(checkout, 'node_modules'));
  const assembly = join(checkout, 'cdk.out');
  mkdirSync(assembly);
  const run = (script: string, ...given: string[]) =>
    execFileSync(process.execPath, [join(checkout, script), ...given], {
      cwd: checkout,
      env: { ...process.env, COMMIT_SHA: commit, COMMIT_BRANCH: 'previous' },
      stdio: 'pipe',
    });
  run('scripts/build.ts');
  run('scripts/synth.ts', 'dev', assembly);
  for (const file of readdirSync(assembly).filter((name) => name.endsWith('.template.json')))
    dropTrigger(join(assembly, file));
  return { checkout, assembly };
}

/** What has deployed it before is the present release. */
function dropTrigger(path: string): void {
  const template = JSON.parse(readFileSync(path, 'utf8')) as { Resources: Record<string, { Type: string }> };
  const kept = Object.entries(template.Resources).filter(([, { Type }]) => Type !== 'Custom::Trigger');
  writeFileSync(path, JSON.stringify({ ...template, Resources: Object.fromEntries(kept) }));
}

function git(...command: string[]): string | undefined {
  try {
    const answer = execFileSync('git', command, { cwd: ROOT, encoding: 'utf8', stdio: 'pipe' });
    return answer.trim() || undefined;
  } catch {
    return undefined;
  }
}
