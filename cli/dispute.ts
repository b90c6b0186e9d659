// Asks for the dispute export of a month until it is there: in the answer itself, or as an object behind a link.
import { setTimeout as sleep } from 'node:timers/promises';
import { noAnswer, parseBody, refusal, requireToken } from './api.ts';
import { Failure } from './command.ts';
import { delayMs, retryAfterMs } from './replay-send.ts';
import type { Target } from './target.ts';

const TIMEOUT_MS = 120_000;
const ATTEMPTS_MAX = 6;
const POLL_MS = 2_000;

/** What is known of an export that was built aside. */
export type StoredExport = {
  export_id: string;
  row_count: string;
  rows_done: string;
  export_hash: string;
  bytes: string;
  url: string;
  manifest_url: string;
};
export type FoundExport = { hash: string; snapshotHash: string | null } & (
  | { kind: 'inline'; response: Response }
  | { kind: 'stored'; stored: StoredExport }
);

export const exportPath = (site: string, month: string): string =>
  `/api/billing/dispute-export?site_id=${encodeURIComponent(site)}&year_month=${month}`;

/** One answer; a stack that is away for a moment is asked again. */
async function ask(target: Target, path: string): Promise<Response> {
  const headers = { authorization: `Bearer ${requireToken(target)}`, accept: 'text/csv, application/json' };
  for (let attempt = 1; ; attempt += 1) {
    let reason: string;
    let wait: number | undefined;
    try {
      const signal = AbortSignal.timeout(TIMEOUT_MS);
      const response = await fetch(`${target.url}${path}`, { headers, redirect: 'manual', signal });
      if (response.status < 400) return response;
      reason = refusal(response.status, parseBody(await response.text()));
      if (![429, 502, 503, 504].includes(response.status)) throw new Failure(reason);
      wait = retryAfterMs(response.headers.get('retry-after'), Date.now());
    } catch (error) {
      if (error instanceof Failure) throw error;
      reason = noAnswer(target.url, error);
    }
    if (attempt === ATTEMPTS_MAX) throw new Failure(reason);
    await sleep(delayMs(attempt, wait));
  }
}

/**
 * @param path exportPath(), or the path of one export that was begun before.
 * @param onBuilding is told how many rows are done while the export is built.
 */
export async function findExport(
  target: Target,
  path: string,
  onBuilding: (done: number, rows: number) => void = () => undefined,
): Promise<FoundExport> {
  for (let next = path; ; ) {
    const response = await ask(target, next);
    const hash = response.headers.get('x-opsmantik-export-hash') ?? '';
    const snapshotHash = response.headers.get('x-opsmantik-snapshot-hash');
    const inJson = response.headers.get('content-type')?.startsWith('application/json') ?? false;
    if (response.status === 200 && !inJson) return { kind: 'inline', response, hash, snapshotHash };
    const stored = (parseBody(await response.text()) ?? {}) as StoredExport;
    if (response.status === 200 || response.status === 303)
      // 303 of a stack before 200 was answered to JSON
      return { kind: 'stored', stored, hash: hash || stored.export_hash, snapshotHash };
    const location = response.headers.get('location') ?? '';
    if (response.status !== 202 || !location.startsWith('/api/'))
      throw new Failure(`The stack answered an export with HTTP ${response.status} and no way to go on.`);
    onBuilding(Number(stored.rows_done), Number(stored.row_count));
    next = location;
    await sleep(retryAfterMs(response.headers.get('retry-after'), Date.now()) ?? POLL_MS);
  }
}
