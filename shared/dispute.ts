// The dispute export: evidence that a customer may ask for; short ones in the answer, long ones built aside and fetched by a link.
import { createHash } from 'node:crypto';
import { ask } from './ask.ts';
import { KernelError } from './errors.ts';
import { asBytes, disputeExport, export_columns, type MonthState } from './evidence.ts';
import { requireMonth } from './invoice.ts';
import type { Database, Objects, Queue } from './ports.ts';
import { type Identity, isPlatformAdmin } from './token.ts';

export const inline_rows_max = 20_000;
const lease_s = 120;
const progress_rows = 50_000;
const poll_ms = 400;
/** From the request's begin, so that its answer is there before the function's 15 s have passed. */
const wait_ms = 8_000;
export const link_seconds = 15 * 60;

export interface DisputeParts {
  database: Database;
  exports: Objects;
  archive: Objects;
  queue: Queue;
}

export interface LongExport {
  export_id: string;
  site_id: string;
  year_month: string;
  status: 'QUEUED' | 'BUILDING' | 'READY' | 'FAILED' | 'DEAD';
  row_count: string;
  rows_done: string;
  max_id: string;
  max_adjustment_id: string;
  object_key: string | null;
  export_hash: string | null;
  bytes: string | null;
  attempt: number;
  last_error: string | null;
}

export type DisputeAnswer =
  | { kind: 'inline'; state: MonthState; csv: string; export_hash: string }
  | { kind: 'ready'; state: MonthState; found: LongExport; link: string; manifest: string }
  | { kind: 'building'; found: LongExport };

/**
 * The export of a month for a user who holds billing:view; every download is audited before its bytes leave.
 * @throws KernelError `invalid_request`, `forbidden`, `export_not_found`; `internal` when the export could not be built.
 */
export async function requestExport(
  parts: DisputeParts,
  identity: Identity,
  query: Record<string, string | undefined>,
  request_id: string,
): Promise<DisputeAnswer> {
  const until = Date.now() + wait_ms;
  const { site_id, year_month, export_id } = query;
  if (!site_id || site_id.length > 64)
    throw new KernelError('invalid_request', 'The parameter site_id is required.');
  if (!year_month) throw new KernelError('invalid_request', 'The parameter year_month is required.');
  const month = requireMonth(year_month);
  const { database } = parts;
  const who = { user: identity.subject, platform_admin: isPlatformAdmin(identity), ref: site_id, month };
  const asked = export_id === undefined ? null : await poll(database, who, export_id);
  const state: MonthState =
    asked ?? (await ask(database, 'begin_dispute_export(:user::uuid, :platform_admin, :ref, :month)', who));
  if (asked === null && Number(state.row_count) <= inline_rows_max) {
    const chunks: Uint8Array[] = [];
    for await (const chunk of disputeExport(database, parts.archive, state)) chunks.push(chunk);
    const csv = Buffer.concat(chunks);
    const export_hash = createHash('sha256').update(csv).digest('hex');
    await record(database, identity, state, state.row_count, export_hash, request_id);
    return { kind: 'inline', state, csv: csv.toString('utf8'), export_hash };
  }
  const found = await settled(parts, asked ?? (await request(database, state, identity.subject)), until);
  if (found.status !== 'READY') return { kind: 'building', found };
  await record(database, identity, state, found.row_count, found.export_hash ?? '', request_id);
  const name = `dispute-export-${state.site_id.slice(0, 8)}-${month}`;
  return {
    kind: 'ready',
    state,
    found,
    link: await parts.exports.link(found.object_key ?? '', link_seconds, `${name}.csv`),
    manifest: await parts.exports.link(
      manifestKey(found.object_key ?? ''),
      link_seconds,
      `${name}.manifest.json`,
    ),
  };
}

/** What somebody waits for: its month is not counted again. */
async function poll(
  database: Database,
  who: Record<string, string | boolean>,
  id: string,
): Promise<LongExport & MonthState> {
  if (!/^\d{1,18}$/.test(id)) throw new KernelError('export_not_found', 'The site has no such export.');
  return ask(database, 'read_export(:user::uuid, :platform_admin, :ref, :month, :id)', { ...who, id });
}

async function request(database: Database, state: MonthState, by: string): Promise<LongExport> {
  return ask(database, 'request_dispute_export(:state::jsonb, :by)', { state: JSON.stringify(state), by });
}

async function read(database: Database, state: MonthState, id: string): Promise<LongExport> {
  const { site_id: site, year_month: month } = state;
  return ask(database, 'read_dispute_export(:site::uuid, :month, :id::bigint)', { site, month, id });
}

/** Has the export built, and waits for it as long as a caller may; the message is harmless when it comes twice. */
async function settled(
  { database, queue }: DisputeParts,
  asked: LongExport,
  until: number,
): Promise<LongExport> {
  let found = asked;
  if (found.status !== 'READY' && found.status !== 'DEAD')
    await queue.send(JSON.stringify({ export_id: found.export_id }));
  const state = { site_id: found.site_id, year_month: found.year_month } as MonthState;
  for (;;) {
    if (found.status === 'DEAD')
      throw new KernelError('internal', 'The export could not be built; ask again to try anew.');
    if (found.status === 'READY' || Date.now() >= until) return found;
    await new Promise((resolve) => setTimeout(resolve, poll_ms));
    found = await read(database, state, found.export_id);
  }
}

async function record(
  database: Database,
  { subject }: Identity,
  { site_id, year_month }: MonthState,
  rows: string,
  export_hash: string,
  request_id: string,
): Promise<void> {
  await database.query(
    'select record_dispute_export(:user::uuid, :site::uuid, :month, :rows::bigint, :hash, :request_id) recorded',
    { user: subject, site: site_id, month: year_month, rows, hash: export_hash, request_id },
  );
}

/** Builds one export; undefined when it is built already or another instance is at it. */
export async function buildExport(
  database: Database,
  exports: Objects,
  archive: Objects,
  id: string,
): Promise<Record<string, unknown> | undefined> {
  const [row] = await database.query<{ export: string | null }>(
    'select claim_dispute_export(:id::bigint, :lease::integer)::text export',
    { id, lease: String(lease_s) },
  );
  if (!row?.export) return undefined;
  const claimed = JSON.parse(row.export) as LongExport & MonthState;
  const attempt = String(claimed.attempt);
  const finish = (key: string | null, hash: string | null, bytes: bigint, error: string | null) =>
    database.query(
      'select finish_dispute_export(:id::bigint, :attempt::integer, :key, :hash, :bytes::bigint, :error) status',
      { id, attempt, key, hash, bytes: String(bytes), error },
    );
  try {
    const built = await write(database, exports, archive, claimed);
    await finish(built.object_key, built.export_hash, BigInt(built.bytes), null);
    return { export_id: id, site_id: claimed.site_id, year_month: claimed.year_month, ...built };
  } catch (error) {
    await finish(null, null, 0n, (error as Error).message);
    throw error;
  }
}

async function write(
  database: Database,
  exports: Objects,
  archive: Objects,
  claimed: LongExport & MonthState,
) {
  const object_key = `disputes/${claimed.site_id}/${claimed.year_month}/${claimed.max_id}-${claimed.max_adjustment_id}.csv`;
  const hash = createHash('sha256');
  let bytes = 0n;
  let rows = 0n;
  let noted = 0n;
  const onRows = async (more: number) => {
    rows += BigInt(more);
    if (rows - noted < BigInt(progress_rows)) return;
    noted = rows;
    const [row] = await database.query<{ ours: boolean }>(
      'select progress_dispute_export(:id::bigint, :attempt::integer, :rows::bigint, :lease::integer) ours',
      {
        id: claimed.export_id,
        attempt: String(claimed.attempt),
        rows: String(rows),
        lease: String(lease_s),
      },
    );
    if (!row?.ours) throw new KernelError('internal', 'Another instance has taken the export over.');
  };
  const measured = async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of disputeExport(database, archive, claimed, onRows)) {
      hash.update(chunk);
      bytes += BigInt(chunk.length);
      yield chunk;
    }
  };
  await exports.write(object_key, measured(), { type: 'text/csv; charset=utf-8' });
  if (rows !== BigInt(claimed.row_count))
    throw new KernelError('internal', `The export holds ${rows} rows instead of ${claimed.row_count}.`);
  const built = {
    object_key,
    export_hash: hash.digest('hex'),
    bytes: String(bytes),
    row_count: String(rows),
  };
  const { site_id, year_month, max_id, max_adjustment_id } = claimed;
  await exports.write(
    manifestKey(object_key),
    asBytes(
      JSON.stringify({ site_id, year_month, max_id, max_adjustment_id, columns: export_columns, ...built }),
    ),
    { type: 'application/json' },
  );
  return built;
}

function manifestKey(key: string): string {
  return key.replace(/\.csv$/, '.manifest.json');
}
