// Shows on stderr how far a replay is: a bar for a person at a terminal, a plain line now and then for a log file.
import cliProgress from 'cli-progress';
import { note } from './output.ts';

const PLAIN_EVERY_MS = 5_000;

export type Progress = {
  /** Bytes of the log that are behind, and events that were answered. */
  update: (bytes: number, sent: number) => void;
  /** A remark that must not tear the bar. */
  remark: (line: string) => void;
  stop: () => void;
};

function plainProgress(total: number): Progress {
  let last = Date.now();
  return {
    update(bytes, sent) {
      if (Date.now() - last < PLAIN_EVERY_MS) return;
      last = Date.now();
      note(`replay: ${total === 0 ? 100 : Math.floor((bytes / total) * 100)} %, ${sent} events sent`);
    },
    remark: note,
    stop() {},
  };
}

function barProgress(total: number): Progress {
  const bar = new cliProgress.SingleBar({
    stream: process.stderr,
    format: '{bar} {percentage} % | {sent} events sent | {eta_formatted} left',
    barCompleteChar: '#',
    barIncompleteChar: '-',
    hideCursor: true,
    gracefulExit: false,
  });
  bar.start(total, 0, { sent: 0 });
  return {
    update: (bytes, sent) => bar.update(Math.min(bytes, total), { sent }),
    remark(line) {
      process.stderr.write('\r\u001b[K');
      note(line);
    },
    stop: () => bar.stop(),
  };
}

export function createProgress(total: number, json: boolean): Progress {
  const person = process.stderr.isTTY === true && !json && !process.env.CI && process.env.TERM !== 'dumb';
  return person ? barProgress(total) : plainProgress(total);
}
