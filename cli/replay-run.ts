// Drives a replay: a few connections take batches, count what the stack answered, and stop together when one cannot go on.
import { setMaxListeners } from 'node:events';
import { Failure } from './command.ts';
import type { Progress } from './progress.ts';
import { type Batch, readBatches } from './replay-batches.ts';
import { createSender, type EventResult, type Sender } from './replay-send.ts';
import type { ReplayState } from './replay-state.ts';

const NAMED = 20;

export type ReplayOptions = {
  log: string;
  url: string;
  site: string;
  base: string;
  headers: Record<string, string>;
  batch: number;
  maxBytes: number;
  concurrency: number;
  rate: number | undefined;
  fromLine: number;
};

export type ReplayResult = {
  site: string;
  from_line: number;
  lines: number;
  sent: number;
  accepted: number;
  overage: number;
  duplicate: number;
  rejected: number;
  conflict: number;
  invalid: number;
  skipped: number;
  batches: number;
  retries: number;
  seconds: number;
};

export function emptyResult(site: string, from_line: number): ReplayResult {
  const counts = { lines: 0, sent: 0, accepted: 0, overage: 0, duplicate: 0, rejected: 0 };
  const rest = { conflict: 0, invalid: 0, skipped: 0, batches: 0, retries: 0, seconds: 0 };
  return { site, from_line, ...counts, ...rest };
}

/** Adds one answer to the counts; an answer this command does not know is never counted as something else. */
export function count(result: ReplayResult, answer: EventResult): void {
  result.sent += 1;
  if (answer.status === 'queued' || answer.status === 'degraded') result.accepted += 1;
  else if (answer.status === 'overage') {
    result.accepted += 1;
    result.overage += 1;
  } else if (answer.status === 'duplicate') result.duplicate += 1;
  else if (answer.status === 'rejected_quota') result.rejected += 1;
  else if (answer.status === 'conflict') result.conflict += 1;
  else if (answer.status === 'invalid') result.invalid += 1;
  else throw new Failure(`The stack answered an event with the unknown status "${answer.status}".`);
}

/** Names the first lines of a kind on stderr; the rest are only counted. */
function namer(remark: (line: string) => void, more: string): (line: number, reason: string) => void {
  let named = 0;
  return (line, reason) => {
    named += 1;
    if (named <= NAMED) remark(`line ${line}: ${reason}`);
    else if (named === NAMED + 1) remark(more);
  };
}

type Work = {
  result: ReplayResult;
  state: ReplayState;
  progress: Progress;
  send: Sender;
  refused: (line: number, reason: string) => void;
};

async function handle(work: Work, batch: Batch, seen: { bytes: number }): Promise<void> {
  if (batch.events.length > 0) {
    let answers: EventResult[];
    try {
      answers = await work.send(batch.events);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      throw new Failure(`Lines ${batch.first} to ${batch.last} could not be sent: ${error.message}`);
    }
    answers.forEach((answer, i) => {
      count(work.result, answer);
      if (answer.status === 'invalid' || answer.status === 'conflict') {
        const why = [answer.code, answer.error].filter(Boolean).join(', ');
        work.refused(batch.lines[i] ?? 0, `${answer.status}${why ? ` (${why})` : ''}`);
      }
    });
    work.result.batches += 1;
  }
  work.state.acknowledge(batch.first, batch.last);
  seen.bytes += batch.bytes;
  work.progress.update(seen.bytes, work.result.sent);
}

export async function replay(
  options: ReplayOptions,
  result: ReplayResult,
  state: ReplayState,
  progress: Progress,
  halt: AbortController,
): Promise<void> {
  // Every request and every wait listens to the one signal.
  setMaxListeners(0, halt.signal);
  const skipped = namer(progress.remark, 'more lines cannot be parsed; they are counted, not named');
  const refused = namer(progress.remark, 'more events were refused; they are counted, not named');
  const send = createSender({
    ...options,
    signal: halt.signal,
    onRetry(attempt, reason, wait) {
      result.retries += 1;
      progress.remark(`retry ${attempt} in ${(wait / 1000).toFixed(1)} s: ${reason}`);
    },
  });
  const batches = readBatches({
    ...options,
    size: options.batch,
    onLine: () => {
      result.lines += 1;
    },
    onSkip: (line, reason) => {
      result.skipped += 1;
      skipped(line, reason);
    },
  });
  const work: Work = { result, state, progress, send, refused };
  const seen = { bytes: 0 };
  const connection = async (): Promise<void> => {
    for (let next = await batches.next(); !next.done; next = await batches.next()) {
      if (halt.signal.aborted) return;
      await handle(work, next.value, seen);
    }
  };
  let failure: unknown;
  const fail = (error: unknown): void => {
    failure ??= error;
    halt.abort();
  };
  await Promise.all(Array.from({ length: options.concurrency }, () => connection().catch(fail)));
  await batches.return(undefined);
  if (failure !== undefined) throw failure;
}
