// The command that performs the post-deploy smoke and the canary proof against any deployment, on a site made for it.
import { type Call, type Command, Failure } from './command.ts';
import { secretOption } from './cron.ts';
import { note, print, printJson, table } from './output.ts';
import { type CanaryProof, proofBlock, proofSteps } from './smoke-proof.ts';
import { createSmokeSite, type SmokeSite } from './smoke-site.ts';
import { type Step, smokeSteps } from './smoke-steps.ts';
import { findCronSecret } from './target.ts';

type Result = { step: string; ok: boolean; expected: string; found: string; seconds: number };

/** A step that fails does not keep the others from telling what they see. */
async function perform({ step, expected, run }: Step): Promise<Result> {
  const started = performance.now();
  const outcome = await run().then(
    (found) => ({ ok: true, found }),
    (error: unknown) => {
      if (!(error instanceof Error)) throw error;
      return { ok: false, found: error.message };
    },
  );
  const seconds = Math.round((performance.now() - started) / 100) / 10;
  note(`${outcome.ok ? 'ok    ' : 'FAILED'}  ${step}  (${seconds.toFixed(1)} s)`);
  return { step, expected, ...outcome, seconds };
}

function show(site: SmokeSite, results: Result[], block: string): void {
  const rows = results.map(({ step, ok, expected, found }) => [step, ok ? 'ok' : 'FAILED', expected, found]);
  print(`Site ${site.public_id} (${site.id})\n`);
  for (const [step = '', result = '', expected, found] of rows)
    print(
      `${result.padEnd(6)}  ${step}\n${table([
        ['        expected', expected ?? ''],
        ['        found', found ?? ''],
      ])}`,
    );
  print(`\n${block}`);
}

async function run(call: Call): Promise<number> {
  const { url } = call.target();
  findCronSecret(call.values, url); // before a site is made for nothing
  const api = call.api();
  const site = await createSmokeSite(url, api);
  const proof: CanaryProof = {};
  const closing: Step = {
    step: 'put away',
    expected: 'limit 0, API key revoked: the site takes no event any more',
    run: () => site.close().then(() => 'limit 0, key revoked'),
  };
  const results: Result[] = [];
  for (const step of [...smokeSteps(call, site), ...proofSteps(call, api, site, proof), closing])
    results.push(await perform(step));
  const ok = results.every((result) => result.ok);
  const block = proofBlock(proof);
  if (call.json) printJson({ ok, site_id: site.id, public_id: site.public_id, steps: results, proof, block });
  else show(site, results, block);
  if (ok) return 0;
  const failed = results.filter((result) => !result.ok).map(({ step }) => step);
  throw new Failure(`The smoke failed: ${failed.join(', ')}.`);
}

export const smokeCommands: Command[] = [
  {
    words: 'smoke',
    usage: '[--secret SECRET]',
    summary:
      'perform the post-deploy smoke and the canary proof on a throw-away site; exit 1 when a step fails',
    positionals: 0,
    options: secretOption,
    run,
  },
];
