// Writes the cloud assembly of a stage without the CDK command line, which takes twice as long.
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';

const ROOT = join(import.meta.dirname, '..');

/**
 * Synthesizes the stage into the folder, in a process of its own that gives its memory back.
 * @throws Error with what the application printed: an unknown stage, a missing bundle or the findings of the rules.
 */
export async function synth(stage: string, outdir: string): Promise<void> {
  const { context } = JSON.parse(await readFile(join(ROOT, 'cdk.json'), 'utf8')) as { context: object };
  const app = spawn(process.execPath, [join(ROOT, 'infra/app.ts')], {
    cwd: ROOT,
    env: {
      ...process.env,
      CDK_OUTDIR: resolve(outdir),
      CDK_CONTEXT_JSON: JSON.stringify({ ...context, stage }),
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const exited = new Promise<number | null>((done, failed) => app.on('close', done).on('error', failed));
  const [printed, code] = await Promise.all([text(app.stderr), exited]);
  if (code !== 0) throw new Error(printed.trim() || `The synthesis of ${stage} ended with code ${code}.`);
}

if (process.argv[1] === import.meta.filename) {
  const [stage = 'dev', outdir = join(ROOT, 'cdk.out')] = process.argv.slice(2);
  try {
    await synth(stage, outdir);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
