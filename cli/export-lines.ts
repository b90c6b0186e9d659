// Reads an export line by line, whatever its length: what it holds, and where it first differs from another.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { Failure } from './command.ts';

/** No line of an export is nearly as long; a file without lines must not fill the memory. */
const LINE_MAX = 65_536;
const HEADER = 'created_at,idempotency_key,idempotency_version,billing_state,billable';

export type FileCounts = {
  sha256: string;
  bytes: bigint;
  rows: bigint;
  billable: bigint;
  overage: bigint;
  header_ok: boolean;
};
export type Difference = {
  line: number;
  kind: 'changed' | 'missing' | 'added';
  file: string | null;
  export: string | null;
};

/** Lines as the bytes have them: split at line feeds only, each byte a character. */
export async function* linesOf(
  source: AsyncIterable<Uint8Array>,
  onChunk: (chunk: Uint8Array) => void = () => undefined,
): AsyncGenerator<string> {
  let rest = '';
  for await (const chunk of source) {
    onChunk(chunk);
    const lines = (rest + Buffer.from(chunk).toString('latin1')).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > LINE_MAX) throw new Failure('The file is no export: it holds a line without end.');
    yield* lines;
  }
  yield rest;
}

export function openFile(file: string): AsyncIterable<Uint8Array> {
  const stream = createReadStream(file);
  return (async function* () {
    try {
      yield* stream as AsyncIterable<Uint8Array>;
    } catch (error) {
      throw new Failure(`The file ${file} cannot be read (${(error as NodeJS.ErrnoException).code}).`);
    }
  })();
}

/** Hash and counts of a file that claims to be an export; corrections are lines, but no rows of the ledger. */
export async function countFile(file: string): Promise<FileCounts> {
  const hash = createHash('sha256');
  const counts = { bytes: 0n, rows: 0n, billable: 0n, overage: 0n };
  let header: string | undefined;
  const onChunk = (chunk: Uint8Array) => {
    hash.update(chunk);
    counts.bytes += BigInt(chunk.length);
  };
  for await (const line of linesOf(openFile(file), onChunk)) {
    if (header === undefined) {
      header = line;
      continue;
    }
    const [, , , state = '', billable = ''] = line.split(',');
    if (line === '' || state.startsWith('ADJUSTMENT')) continue;
    counts.rows += 1n;
    if (billable !== 'true') continue;
    counts.billable += 1n;
    if (state === 'OVERAGE') counts.overage += 1n;
  }
  return { sha256: hash.digest('hex'), ...counts, header_ok: header === HEADER };
}

/** The first line at which the file is not the export; undefined when all are equal. Looks one line ahead to tell what happened. */
export async function firstDifference(
  file: AsyncGenerator<string>,
  fresh: AsyncGenerator<string>,
): Promise<Difference | undefined> {
  const next = async (lines: AsyncGenerator<string>) => {
    const { value, done } = await lines.next();
    return done ? undefined : value;
  };
  for (let line = 1; ; line += 1) {
    const [mine, theirs] = [await next(file), await next(fresh)];
    if (mine === theirs && mine !== undefined) continue;
    if (mine === undefined && theirs === undefined) return undefined;
    const found = { line, file: mine ?? null, export: theirs ?? null };
    if (mine === undefined || mine === (await next(fresh))) return { ...found, kind: 'missing', file: null };
    if (theirs === undefined || theirs === (await next(file)))
      return { ...found, kind: 'added', export: null };
    return { ...found, kind: 'changed' };
  }
}
