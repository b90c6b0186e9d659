// Shows on stderr how far a long command is: a bar for a person at a terminal, a plain line now and then for a log file.
import cliProgress from 'cli-progress';
import { note } from './output.ts';

const PLAIN_EVERY_MS = 5_000;

/** What is at work and what it counts, as in "replay: 12 %, 300 events sent". */
export type Words = { job: string; unit: string };

export type Progress = {
  /** How much of the total is behind, and how many things of the named unit that were. */
  update: (done: number, count: number) => void;
  /** A remark that must not tear the bar. */
  remark: (line: string) => void;
  stop: () => void;
};

function plainProgress(total: number, { job, unit }: Words): Progress {
  let last = Date.now();
  return {
    update(done, count) {
      if (Date.now() - last < PLAIN_EVERY_MS) return;
      last = Date.now();
      note(`${job}: ${total === 0 ? 100 : Math.floor((done / total) * 100)} %, ${count} ${unit}`);
    },
    remark: note,
    stop() {},
  };
}

function barProgress(total: number, { unit }: Words): Progress {
  const bar = new cliProgress.SingleBar({
    stream: process.stderr,
    format: `{bar} {percentage} % | {count} ${unit} | {eta_formatted} left`,
    barCompleteChar: '#',
    barIncompleteChar: '-',
    hideCursor: true,
    gracefulExit: false,
  });
  bar.start(total, 0, { count: 0 });
  return {
    update: (done, count) => bar.update(Math.min(done, total), { count }),
    remark(line) {
      process.stderr.write('\r\u001b[K');
      note(line);
    },
    stop: () => bar.stop(),
  };
}

export function createProgress(total: number, json: boolean, words: Words): Progress {
  const person = process.stderr.isTTY === true && !json && !process.env.CI && process.env.TERM !== 'dumb';
  return person ? barProgress(total, words) : plainProgress(total, words);
}
