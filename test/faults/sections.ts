// The sections of docs/proof.md: each test writes its own as a fragment, and the proof collects them.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Section {
  name: string;
  title: string;
  markdown: string;
}

const folder = join(import.meta.dirname, '../../.local/proof');

/** Whether the run is a proof: tests then run at full size. */
export const proving = process.env.PROOF === '1';

/** The size of a random run of the proof, so that one of them can be run again alone. */
export const ids_of_the_proof = 300;

/** Keeps a section for the proof that is running; without one it does nothing. Sections are sorted by name. */
export function writeSection(name: string, title: string, markdown: string): void {
  if (!proving) return;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${name}.json`), JSON.stringify({ name, title, markdown } satisfies Section));
}

export function clearSections(): void {
  rmSync(folder, { recursive: true, force: true });
}

export function readSections(): Section[] {
  mkdirSync(folder, { recursive: true });
  return readdirSync(folder)
    .filter((file) => file.endsWith('.json'))
    .sort()
    .map((file) => JSON.parse(readFileSync(join(folder, file), 'utf8')) as Section);
}

/** A table in Markdown. */
export function table(head: string[], rows: (string | number)[][]): string {
  const line = (cells: (string | number)[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
