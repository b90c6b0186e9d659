// Retention: a month is archived, read back and compared with its seal before its rows leave the ledger; events go earlier.
import { createHash, type Hash, randomUUID } from 'node:crypto';
import { pipeline, Readable } from 'node:stream';
import { createGzip } from 'node:zlib';
import { ask } from './ask.ts';
import { KernelError } from './errors.ts';
import { archive_columns, asBytes, ledgerLines, type MonthState } from './evidence.ts';
import type { Database, Objects } from './ports.ts';

export const batch_rows = 10_000;
const months_at_once = 100;

export interface Retention {
  dispute_window_days: number;
  events_days: number;
  personal_data_days: number;
}

export interface MonthResult {
  site_id: string;
  year_month: string;
  ok: boolean;
  archived?: boolean;
  deleted?: string;
  would_delete?: string;
  error?: string;
}

/** Counts and hash of a day, as seals hold them. */
interface Day {
  day: string;
  rows: bigint;
  billable: bigint;
  overage: bigint;
  hash: Hash;
}

/**
 * Archives and purges every month that may go; one month's failure does not stop the others.
 * @param until_ms when to stop; the next run goes on where this one ended.
 */
export async function purgeMonths(
  database: Database,
  archive: Objects,
  { dispute_window_days }: Retention,
  dryRun: boolean,
  until_ms: number,
): Promise<{ months: MonthResult[]; remaining: boolean }> {
  const window = String(dispute_window_days);
  const months: MonthResult[] = [];
  for (;;) {
    const last = months.at(-1);
    const page = await database.query<{ site_id: string; year_month: string; archived: boolean }>(
      'select site_id::text, year_month, archived from months_to_purge(:window::integer, :site::uuid, :month, :limit::integer)',
      {
        window,
        site: last?.site_id ?? null,
        month: last?.year_month ?? null,
        limit: String(months_at_once),
      },
    );
    for (const { site_id, year_month, archived } of page) {
      if (Date.now() >= until_ms) return { months, remaining: true };
      months.push(
        await purgeMonth(database, archive, { site_id, year_month, archived, window, dryRun, until_ms }),
      );
    }
    if (page.length < months_at_once) return { months, remaining: false };
  }
}

interface Purge {
  site_id: string;
  year_month: string;
  archived: boolean;
  window: string;
  dryRun: boolean;
  until_ms: number;
}

async function purgeMonth(database: Database, archive: Objects, purge: Purge): Promise<MonthResult> {
  const { site_id, year_month, archived, window, dryRun, until_ms } = purge;
  let deleted = 0n;
  try {
    if (!dryRun && !archived) await archiveMonth(database, archive, site_id, year_month, window);
    for (;;) {
      const [row] = await database.query<{ affected: string }>(
        'select purge_ledger(:site::uuid, :month, :window::integer, :limit::integer, :dry_run) affected',
        { site: site_id, month: year_month, window, limit: String(batch_rows), dry_run: dryRun },
      );
      const affected = BigInt(row?.affected ?? 0);
      if (dryRun) return { site_id, year_month, ok: true, would_delete: String(affected) };
      deleted += affected;
      if (affected === 0n || Date.now() >= until_ms) break;
    }
    return { site_id, year_month, ok: true, archived: !archived, deleted: String(deleted) };
  } catch (error) {
    return { site_id, year_month, ok: false, deleted: String(deleted), error: (error as Error).message };
  }
}

async function archiveMonth(
  database: Database,
  archive: Objects,
  site: string,
  month: string,
  window: string,
): Promise<void> {
  const state = (await ask(database, 'month_state(:site::uuid, :month)', { site, month })) as MonthState;
  // a key of its own: a second run that finds the rows leaving must not write over the archive that stands for them
  const object_key = `ledger/${site}/${month}/${randomUUID()}.csv.gz`;
  const content = createHash('sha256');
  const object = createHash('sha256');
  const days: Day[] = [];
  let bytes = 0n;
  const gzip = createGzip();
  pipeline(Readable.from(wholeMonth(database, state, content, days)), gzip, () => undefined);
  const measured = async function* (): AsyncGenerator<Uint8Array> {
    for await (const part of gzip as AsyncIterable<Uint8Array>) {
      object.update(part);
      bytes += BigInt(part.length);
      yield part;
    }
  };
  await archive.write(object_key, measured(), { type: 'application/gzip' });
  const object_sha256 = object.digest('hex');
  if ((await hashOf(await archive.read(object_key))) !== object_sha256)
    throw new KernelError('internal', 'The archive reads back differently.');
  const manifest = {
    ...sealOf(days),
    object_key,
    max_id: state.max_id,
    content_sha256: content.digest('hex'),
    object_sha256,
    bytes: String(bytes),
  };
  await archive.write(
    `${object_key}.manifest.json`,
    asBytes(JSON.stringify({ site_id: site, year_month: month, columns: archive_columns, ...manifest })),
    { type: 'application/json' },
  );
  await database.query(
    'select record_archive(:site::uuid, :month, :window::integer, :archive::jsonb) recorded',
    {
      site,
      month,
      window,
      archive: JSON.stringify(manifest),
    },
  );
}

async function* wholeMonth(
  database: Database,
  state: MonthState,
  content: Hash,
  days: Day[],
): AsyncGenerator<Uint8Array> {
  const pass = (text: string) => {
    const bytes = Buffer.from(text);
    content.update(bytes);
    return bytes;
  };
  yield pass(archive_columns);
  for await (const { lines } of ledgerLines(database, state, true)) {
    for (const line of lines.split('\n')) addToDay(days, line);
    yield pass(`\n${lines}`);
  }
}

function addToDay(days: Day[], line: string): void {
  const day = line.slice(0, 10);
  let last = days.at(-1);
  if (last?.day !== day) {
    last = { day, rows: 0n, billable: 0n, overage: 0n, hash: createHash('sha256') };
    days.push(last);
  }
  const [, , , state, billable] = line.split(',', 5);
  last.rows += 1n;
  if (billable === 'true') last.billable += 1n;
  if (billable === 'true' && state === 'OVERAGE') last.overage += 1n;
  last.hash.update(createHash('sha256').update(line).digest());
}

/** The counts and the hash that the seal of the same rows holds. */
function sealOf(days: Day[]) {
  const lines = days.map(({ day, rows, billable, overage, hash }) =>
    [day, rows, billable, overage, hash.digest('hex')].join('|'),
  );
  const total = (pick: (day: Day) => bigint) => String(days.reduce((sum, day) => sum + pick(day), 0n));
  return {
    row_count: total(({ rows }) => rows),
    billable: total(({ billable }) => billable),
    overage: total(({ overage }) => overage),
    ledger_hash: createHash('sha256').update(lines.join('\n')).digest('hex'),
  };
}

async function hashOf(content: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash('sha256');
  for await (const part of content) hash.update(part);
  return hash.digest('hex');
}

/** Removes old events, or address and user agent of younger ones, in batches until none is left or the time is over. */
export async function expireEvents(
  database: Database,
  what: 'expire_events' | 'expire_personal_data',
  days: number,
  dryRun: boolean,
  until_ms: number,
): Promise<bigint> {
  let removed = 0n;
  for (;;) {
    const [row] = await database.query<{ affected: string }>(
      `select ${what}(:days::integer, :limit::integer, :dry_run) affected`,
      { days: String(days), limit: String(batch_rows), dry_run: dryRun },
    );
    const affected = BigInt(row?.affected ?? 0);
    removed += affected;
    if (dryRun || affected === 0n || Date.now() >= until_ms) return removed;
  }
}
