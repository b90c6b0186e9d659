// Reads an access log line by line into batches of events; only the batches in flight are ever in memory.
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { parseAccessLine } from './access-log.ts';
import { Failure } from './command.ts';
import { eventJson } from './replay-event.ts';

/** Every line from `first` to `last` is either an event of this batch or skipped; `bytes` is their size in the log. */
export type Batch = { first: number; last: number; lines: number[]; events: string[]; bytes: number };

export type BatchSource = {
  log: string;
  site: string;
  /** The origin that turns the log's paths into URLs. */
  base: string;
  fromLine: number;
  size: number;
  maxBytes: number;
  onLine: () => void;
  onSkip: (line: number, reason: string) => void;
};

export async function* readBatches(source: BatchSource): AsyncGenerator<Batch> {
  // Latin-1 keeps every byte of the line, so that an id never depends on how broken UTF-8 is decoded.
  const input = createReadStream(source.log, { encoding: 'latin1' });
  const reader = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
  let broken: Error | undefined;
  // The reader does not hand on an error of its input; a log that ends so must not pass for one that is complete.
  input.once('error', (error) => {
    broken = error;
    reader.close();
  });
  let batch: Batch = { first: 1, last: 0, lines: [], events: [], bytes: 0 };
  let bodyBytes = 0;
  let number = 0;
  const cut = (): Batch => {
    const full = batch;
    batch = { first: full.last + 1, last: full.last, lines: [], events: [], bytes: 0 };
    bodyBytes = 0;
    return full;
  };
  try {
    for await (const encoded of reader) {
      number += 1;
      if (number < source.fromLine) {
        batch.bytes += encoded.length + 1;
        batch.first = number + 1;
        batch.last = number;
        continue;
      }
      source.onLine();
      const raw = Buffer.from(encoded, 'latin1');
      const parsed = parseAccessLine(raw.toString('utf8'));
      if ('reason' in parsed) source.onSkip(number, parsed.reason);
      else {
        const event = eventJson(source.site, source.base, number, raw, parsed.line);
        const eventBytes = Buffer.byteLength(event) + 1;
        if (batch.events.length > 0 && bodyBytes + eventBytes > source.maxBytes) yield cut();
        batch.events.push(event);
        batch.lines.push(number);
        bodyBytes += eventBytes;
      }
      batch.last = number;
      batch.bytes += raw.length + 1;
      if (batch.events.length >= source.size) yield cut();
    }
    if (broken) throw new Failure(`The log ${source.log} cannot be read on (${broken.message}).`);
    if (batch.last >= batch.first) yield cut();
  } finally {
    reader.close();
    input.destroy();
  }
}
