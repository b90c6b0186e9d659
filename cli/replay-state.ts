// Remembers how far a replay came, so that the next run goes on there; the file is gone once a run has finished.
import { createHash } from 'node:crypto';
import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, resolve } from 'node:path';
import { Failure } from './command.ts';
import { LOCAL_DIRECTORY } from './target.ts';

const hash = (content: string | Buffer): string =>
  createHash('sha256').update(content).digest('hex').slice(0, 16);

/** One file for each log, stack and site, beside the state of the local stack. */
export function defaultStateFile(log: string, url: string, site: string): string {
  return `${LOCAL_DIRECTORY}replay-${hash(JSON.stringify([resolve(log), url, site]))}.json`;
}

/** Tells a rotated log from a grown one. */
function firstLine(log: string): string {
  const head = Buffer.alloc(16_384);
  const file = openSync(log, 'r');
  try {
    const [line = ''] = head.toString('latin1', 0, readSync(file, head)).split('\n', 1);
    return hash(line);
  } finally {
    closeSync(file);
  }
}

export class ReplayState {
  readonly file: string;
  readonly #identity: { log: string; site: string; first_line: string };
  #next = 1;
  #waiting = new Map<number, number>();

  constructor(file: string, log: string, site: string) {
    this.file = file;
    this.#identity = { log: resolve(log), site, first_line: firstLine(log) };
  }

  /** The line to go on at, when the file tells of this log and this site; undefined otherwise. */
  saved(): number | undefined {
    try {
      const state = JSON.parse(readFileSync(this.file, 'utf8')) as Record<string, unknown>;
      const same = Object.entries(this.#identity).every(([name, value]) => state[name] === value);
      const next = state.next_line;
      return same && Number.isSafeInteger(next) && (next as number) > 1 ? (next as number) : undefined;
    } catch {
      return undefined;
    }
  }

  start(line: number): void {
    this.#next = line;
  }

  get nextLine(): number {
    return this.#next;
  }

  /** Batches are answered in any order; only an unbroken run of them moves the mark. */
  acknowledge(first: number, last: number): void {
    this.#waiting.set(first, last);
    const before = this.#next;
    for (let end = this.#waiting.get(this.#next); end !== undefined; end = this.#waiting.get(this.#next)) {
      this.#waiting.delete(this.#next);
      this.#next = end + 1;
    }
    if (this.#next !== before) this.#write();
  }

  #write(): void {
    const next = `${this.file}.${process.pid}.tmp`;
    try {
      mkdirSync(dirname(this.file), { recursive: true });
      writeFileSync(next, `${JSON.stringify({ ...this.#identity, next_line: this.#next })}\n`);
      renameSync(next, this.file);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      throw new Failure(`The state file ${this.file} cannot be written (${code}): pass another by --state.`);
    }
  }

  finish(): void {
    rmSync(this.file, { force: true });
  }
}
