// Proves a frozen month in this browser: fetches its lines page by page and has a worker recount them meanwhile.
import type { InvoiceProof } from '../api/client.ts';
import { call } from '../api/client.ts';
import { judge, type Verdict } from './judge.ts';
import type { Recounted } from './recount.ts';
import type { Answered, Asked } from './worker.ts';
import worker_url from './worker.ts?worker&url';

export interface Proving {
  /** Rejects with `AbortError` once it is cancelled. */
  verdict: Promise<Verdict>;
  cancel: () => void;
}

export function prove(ref: string, proof: InvoiceProof, onRows: (rows: number) => void): Proving {
  const stop = new AbortController();
  return { verdict: run(ref, proof, onRows, stop.signal), cancel: () => stop.abort() };
}

async function run(
  ref: string,
  proof: InvoiceProof,
  onRows: (rows: number) => void,
  signal: AbortSignal,
): Promise<Verdict> {
  if (proof.archive?.purged) return judge(proof, undefined);
  const worker = new Worker(scriptUrl(worker_url));
  try {
    const recounted = await recount(worker, (cursor) => page(ref, proof.year_month, cursor), onRows, signal);
    return await judge(proof, recounted);
  } finally {
    worker.terminate();
  }
}

type Page = Awaited<ReturnType<typeof page>>;
function page(ref: string, month: string, cursor: string | undefined) {
  return call('GET /api/sites/{ref}/invoices/{month}/lines', { path: { ref, month }, query: { cursor } });
}

/** The whole month and not day by day, so that a row of a day that nobody named is found too. */
async function recount(
  worker: Worker,
  read: (cursor: string | undefined) => Promise<Page>,
  onRows: (rows: number) => void,
  signal: AbortSignal,
): Promise<Recounted> {
  let rows = 0;
  let next: Promise<Page> | undefined = read(undefined);
  while (next) {
    const { lines, next_cursor }: Page = await next;
    signal.throwIfAborted();
    next = next_cursor === null ? undefined : read(next_cursor);
    next?.catch(() => undefined); // it is awaited above, unless the worker fails first
    const answered = await ask(worker, { lines }, signal);
    if ('rows' in answered) rows += answered.rows;
    onRows(rows);
  }
  const answered = await ask(worker, { end: true }, signal);
  if (!('recounted' in answered)) throw new Error('The worker gave no result.');
  return answered.recounted;
}

function ask(worker: Worker, asked: Asked, signal: AbortSignal): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    worker.onmessage = ({ data }: MessageEvent<Answered>) => {
      signal.removeEventListener('abort', abort);
      if ('failed' in data) reject(new Error(data.failed));
      else resolve(data);
    };
    worker.onerror = (event) => reject(new Error(event.message || 'The worker could not be started.'));
    worker.postMessage(asked);
  });
}

interface TrustedTypes {
  createPolicy: (
    name: string,
    rules: { createScriptURL: (url: string) => string },
  ) => { createScriptURL: (url: string) => string };
}
let policy: ReturnType<TrustedTypes['createPolicy']> | undefined;

/** The policy of the page's content lets only a named policy make the address of a script. */
function scriptUrl(url: string): string {
  const { trustedTypes } = globalThis as { trustedTypes?: TrustedTypes };
  if (!trustedTypes) return url;
  policy ??= trustedTypes.createPolicy('prove', {
    createScriptURL: (asked) => {
      if (asked !== worker_url) throw new TypeError('That is not the worker of the proof.');
      return asked;
    },
  });
  return policy.createScriptURL(url);
}
