// The bytes of a month: the lines of the ledger in pages, from the ledger or from its archive, and the corrections after them.
import { pipeline, Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import type { Database, Objects } from './ports.ts';

/** A page is one call of the Data API, whose answer may hold 1 MiB. */
const page_rows = 4_000;
const first_window_ms = 3_600_000;
export const export_columns = 'created_at,idempotency_key,idempotency_version,billing_state,billable';
export const archive_columns = `${export_columns},id,billing_reason,payload_hash`;
const export_fields = 5;

export interface MonthState {
  site_id: string;
  public_id: string;
  year_month: string;
  row_count: string;
  max_id: string;
  max_adjustment_id: string;
  snapshot_hash: string | null;
  /** Where the rows are when they have left the ledger. */
  archive_key: string | null;
}

interface Chunk {
  chunk: string;
  row_count: number;
  last_at: string;
  last_id: string;
  window_ms: string;
  done: boolean;
}

/**
 * The ledger rows of a month up to an id, in order of created_at and id; each text holds whole lines without the last line feed.
 * @param whole with id, reason and payload hash, as an archive keeps them.
 */
export async function* ledgerLines(
  database: Database,
  month: Pick<MonthState, 'site_id' | 'year_month' | 'max_id'>,
  whole: boolean,
): AsyncGenerator<{ lines: string; rows: number }> {
  let after: { at: string | null; id: string | null; window: string } = {
    at: null,
    id: null,
    window: String(first_window_ms),
  };
  for (;;) {
    const page: Chunk[] = await database.query<Chunk>(
      `select chunk, row_count, last_at, last_id, window_ms, done
         from ledger_page(:site::uuid, :month, :at::timestamptz, :id::bigint, :max::bigint, :limit::integer, :window::bigint, :whole)`,
      {
        site: month.site_id,
        month: month.year_month,
        at: after.at,
        id: after.id,
        max: month.max_id,
        limit: String(page_rows),
        window: after.window,
        whole,
      },
    );
    for (const { chunk, row_count } of page) yield { lines: chunk, rows: Number(row_count) };
    const last = page.at(-1);
    if (!last || last.done) return;
    after = { at: last.last_at, id: last.last_id, window: last.window_ms };
  }
}

/** The same rows from the archive of a month that has left the ledger. */
async function* archivedLines(
  archive: Objects,
  key: string,
): AsyncGenerator<{ lines: string; rows: number }> {
  const gunzip = createGunzip();
  pipeline(Readable.from(await archive.read(key)), gunzip, () => undefined); // a failure ends the iteration below
  let rest = '';
  let header = true;
  for await (const bytes of gunzip.setEncoding('utf8')) {
    const lines = `${rest}${bytes}`.split('\n');
    rest = lines.pop() ?? '';
    if (header && lines.length > 0) header = lines.shift() === undefined;
    if (lines.length > 0) yield { lines: lines.map(exported).join('\n'), rows: lines.length };
  }
  if (!header && rest !== '') yield { lines: exported(rest), rows: 1 };
}

/** The first five fields of an archived line; no field holds a comma. */
function exported(line: string): string {
  return line.split(',', export_fields).join(',');
}

/** The whole dispute export, byte for byte the same for the same state of the month: lines joined by LF, none at the end. */
export async function* disputeExport(
  database: Database,
  archive: Objects,
  state: MonthState,
  onRows: (rows: number) => Promise<void> | void = () => undefined,
): AsyncGenerator<Uint8Array> {
  yield Buffer.from(export_columns);
  const source = state.archive_key
    ? archivedLines(archive, state.archive_key)
    : ledgerLines(database, state, false);
  for await (const { lines, rows } of source) {
    yield Buffer.from(`\n${lines}`);
    await onRows(rows);
  }
  const adjustments = await database.query<{ line: string }>(
    'select line from adjustment_lines(:site::uuid, :month, :max::bigint) line',
    { site: state.site_id, month: state.year_month, max: state.max_adjustment_id },
  );
  if (adjustments.length > 0) yield Buffer.from(`\n${adjustments.map(({ line }) => line).join('\n')}`);
}

/** A text as content of an object. */
export async function* asBytes(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}
