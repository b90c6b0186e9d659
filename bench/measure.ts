// How a bench measures: rounds of every variant in turn on one machine, the median, and ratios within the run.
import { mkdirSync, writeFileSync } from 'node:fs';
import { arch, cpus, platform, totalmem } from 'node:os';
import { join } from 'node:path';

export interface Variant {
  name: string;
  /** Works for about the given time; returns how many units were done. */
  run(ms: number): Promise<number>;
  /** The variant that this one is compared with. */
  against?: string;
  /** The ratio to reach, at least. */
  target?: number;
}

export interface Measured {
  name: string;
  per_second: number;
  ratio: number | undefined;
  target: number | undefined;
}

const rounds = Number(process.env.ROUNDS ?? 5);
const slice_ms = Number(process.env.SLICE_MS ?? 2_000);

/** Runs each variant in turn, several rounds, so that a busy neighbour slows all alike. */
export async function measure(variants: Variant[]): Promise<Measured[]> {
  const rates = new Map<string, number[]>(variants.map(({ name }) => [name, []]));
  for (const variant of variants) await variant.run(300); // warm up
  for (let round = 0; round < rounds; round++) {
    for (const variant of variants) {
      const started = performance.now();
      const done = await variant.run(slice_ms);
      rates.get(variant.name)?.push(done / ((performance.now() - started) / 1000));
    }
    process.stderr.write(`round ${round + 1} of ${rounds}\n`);
  }
  return variants.map(({ name, against, target }) => {
    const own = rates.get(name) ?? [];
    const other = against === undefined ? undefined : rates.get(against);
    return {
      name,
      per_second: median(own),
      ratio: other && median(own.map((rate, i) => rate / (other[i] ?? rate))),
      target,
    };
  });
}

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** The value below which the share of the values lies. */
export function percentile(values: number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export function table(head: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

/** Prints the report and keeps it in bench/results, with date and machine. */
export function report(name: string, question: string, body: string): void {
  const date = new Date().toISOString().slice(0, 10);
  const cpu = cpus()[0]?.model.trim() || arch();
  const machine = `${cpus().length} × ${cpu}, ${Math.round(totalmem() / 2 ** 30)} GiB, ${platform()}, Node ${process.versions.node}`;
  const text = `# ${name}\n\n${question}\n\n${body}\n\n${date}, ${machine}, \`npm run bench -- ${name}\`.\n`;
  const folder = join(import.meta.dirname, 'results');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${name}.md`), text);
  process.stdout.write(`\n${text}`);
}
