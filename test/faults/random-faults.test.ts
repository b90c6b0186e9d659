// Random faults at random seams under random load: when everything is healed, every figure is exact and nothing acknowledged is lost.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RunResult, randomRun } from './random-run.ts';
import { openRig, type Rig } from './rig.ts';
import { ids_of_the_proof, proving, table, writeSection } from './sections.ts';

const size = { ids: Number(process.env.IDS ?? (proving ? ids_of_the_proof : 100)), clients: 6, batch_max: 8 };
const count = Number(process.env.SEEDS ?? (proving ? 20 : 1));
/** SEED replays one of them. */
const seeds = process.env.SEED ? [Number(process.env.SEED)] : Array.from({ length: count }, (_, n) => n + 1);

let rig: Rig;
const results: RunResult[] = [];
beforeAll(async () => {
  rig = await openRig();
});
afterAll(async () => {
  writeRuns();
  await rig?.close();
});

test.each(seeds)(
  `seed %i, one of ${seeds.length} (SEEDS=n for more): exact, and nothing is lost or doubled`,
  async (seed) => {
    const result = await randomRun(rig, seed, size);
    results.push(result);
    if (process.env.SEED) process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
    expect(result.violations).toEqual([]);
    expect(Object.keys(result.fired).length).toBeGreaterThan(5);
  },
  120_000,
);

function writeRuns(): void {
  const sum = (pick: (result: RunResult) => Record<string, number>) => {
    const totals: Record<string, number> = {};
    for (const result of results)
      for (const [name, n] of Object.entries(pick(result))) totals[name] = (totals[name] ?? 0) + n;
    return Object.entries(totals).sort(([a], [b]) => a.localeCompare(b));
  };
  const requests = results.reduce((total, one) => total + one.requests, 0);
  const violations = results.reduce((total, one) => total + one.violations.length, 0);
  writeSection(
    '20-random-faults',
    'Random faults under load',
    `${results.length} of ${seeds.length} seeds, ${requests} requests by ${size.clients} clients, ${size.ids} ids and a third of them again ` +
      `on each of 2 sites with hard limits: **${violations} violations**. Replay one with \`npm run proof -- --seed n\`: ` +
      'the load is the same, and the nth call of a seam has the same fault; how the clients interleave is not replayed.\n\n' +
      `${table(
        ['fault', 'fired'],
        sum(({ fired }) => fired),
      )}\n\n${table(
        ['answer', 'times'],
        sum(({ answers }) => answers),
      )}`,
  );
}
