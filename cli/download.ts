// Streams an object into a file, going on where an earlier attempt stopped; and what a file's bytes are.
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, statSync } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Failure } from './command.ts';

const IDLE_MS = 60_000;
const LINE_FEED = 10;

/** The download stopped on the way; what has arrived is kept, and another attempt may go on. */
export class Interrupted extends Error {}

export function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}

/** Hash, size and number of line feeds, in one pass. */
export async function fingerprint(file: string): Promise<{ hash: string; bytes: number; lineFeeds: number }> {
  const hash = createHash('sha256');
  let bytes = 0;
  let lineFeeds = 0;
  for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    bytes += chunk.length;
    for (let at = chunk.indexOf(LINE_FEED); at >= 0; at = chunk.indexOf(LINE_FEED, at + 1)) lineFeeds += 1;
  }
  return { hash: hash.digest('hex'), bytes, lineFeeds };
}

/** Writes a body as it comes; @throws Interrupted when it ends before its time, Failure when the file cannot be written. */
export async function save(
  body: ReadableStream<Uint8Array> | null,
  file: string,
  flags: 'a' | 'w',
  onBytes: (bytes: number) => void = () => undefined,
): Promise<void> {
  const source = body ? Readable.fromWeb(body as Parameters<typeof Readable.fromWeb>[0]) : Readable.from([]);
  const target = createWriteStream(file, { flags });
  let unwritable: NodeJS.ErrnoException | undefined;
  target.on('error', (error: NodeJS.ErrnoException) => {
    if (error.syscall === 'open' || error.syscall === 'write') unwritable = error;
  });
  let bytes = 0;
  let idle = setTimeout(() => undefined, 0);
  const watched = async function* (chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      clearTimeout(idle);
      idle = setTimeout(() => source.destroy(new Error('nothing came for a minute')), IDLE_MS);
      bytes += chunk.length;
      onBytes(bytes);
      yield chunk;
    }
  };
  try {
    await pipeline(source, watched, target);
  } catch (error) {
    if (unwritable) throw new Failure(`The file ${file} cannot be written (${unwritable.code}).`);
    throw new Interrupted((error as Error).message);
  } finally {
    clearTimeout(idle);
  }
}

/** An object from its beginning, or from where the file ends; the link itself is the permission. */
export async function fetchObject(url: string, from = 0): Promise<Response> {
  const headers: Record<string, string> = from > 0 ? { range: `bytes=${from}-` } : {};
  try {
    return await fetch(url, { headers });
  } catch (error) {
    throw new Interrupted((error as { cause?: Error }).cause?.message ?? (error as Error).message);
  }
}

/** Brings the file to the object's size. @returns at which byte it went on. */
export async function download(
  url: string,
  file: string,
  bytes: number,
  onBytes: (bytes: number) => void,
): Promise<number> {
  const have = sizeOf(file);
  const from = have > bytes ? 0 : have;
  if (from === bytes && bytes > 0) return from;
  const response = await fetchObject(url, from);
  const { status, headers, body } = response;
  const goesOn = status === 206 && headers.get('content-range')?.startsWith(`bytes ${from}-`) === true;
  if (!goesOn && status !== 200) {
    await body?.cancel();
    if (status >= 500 || status === 403) throw new Interrupted(`the store answered HTTP ${status}`); // 403: the link has expired
    throw new Failure(`The store refused the export (HTTP ${status}).`);
  }
  const start = goesOn ? from : 0;
  await save(body, file, goesOn ? 'a' : 'w', (more) => onBytes(start + more));
  if (sizeOf(file) < bytes) throw new Interrupted('the connection ended early');
  return start;
}
