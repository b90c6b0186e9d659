// The rows behind a number of a site: by day, by verdict, and as the lines that the seal of a month hashes.
import * as z from 'zod';
import { ask } from './ask.ts';
import { KernelError } from './errors.ts';
import { parse } from './input.ts';
import { requireMonth } from './invoice.ts';
import type { Database, Parameter } from './ports.ts';
import { type Identity, isPlatformAdmin } from './token.ts';

export const verdicts = [
  'all',
  'counted',
  'accepted',
  'overage',
  'rejected_quota',
  'unbilled',
  'conflict',
  'waiting',
  'undelivered',
] as const;
export const day = z.iso.date('must be a day YYYY-MM-DD');
export const rowFilter = z.object({
  verdict: z.enum(verdicts, `must be one of ${verdicts.join(', ')}`).optional(),
  day: day.optional(),
});
/** A page of lines is one call of the Data API, whose answer may hold 1 MiB. */
const lines_max = 4_000;

function caller(identity: Identity, ref: string): Record<string, Parameter> {
  return { user: identity.subject, platform_admin: isPlatformAdmin(identity), ref };
}

/** @throws KernelError `site_forbidden` without billing:view, `invalid_request` for a month that is none. */
export async function readDays(
  database: Database,
  identity: Identity,
  ref: string,
  month: string | undefined,
) {
  return ask(database, 'read_site_days(:user::uuid, :platform_admin, :ref, :month)', {
    ...caller(identity, ref),
    month: month === undefined ? null : requireMonth(month),
  });
}

/** @throws KernelError `site_forbidden` without billing:view, `invalid_request` for a filter or a cursor that is none. */
export async function listRows(
  database: Database,
  identity: Identity,
  ref: string,
  { month, cursor, verdict, day: on }: Record<string, string | undefined>,
  limit: number,
) {
  const before = cursor === undefined ? null : readPosition(cursor);
  const rows = await database.query<{ result: string; cursor: string }>(
    `select result::text, cursor
       from read_site_rows(:user::uuid, :platform_admin, :ref, :month, :filter::jsonb, :before::timestamptz, :before_id::bigint, :limit::integer)`,
    {
      ...caller(identity, ref),
      month: month === undefined ? null : requireMonth(month),
      filter: JSON.stringify(parse(rowFilter, { verdict, day: on })),
      before: before?.[0] ?? null,
      before_id: before?.[1] ?? null,
      limit: String(limit),
    },
  );
  const last = rows.slice(0, limit).at(-1);
  return {
    rows: rows.slice(0, limit).map(({ result }) => JSON.parse(result)),
    next_cursor: rows.length > limit && last ? writePosition(last.cursor) : null,
  };
}

/**
 * Lines of the month as its seal hashes them, up to 4,000 of them, joined by LF.
 * @param on only those of one day.
 * @throws KernelError `site_forbidden` without billing:view, `invalid_request` for a month, day or cursor that is none.
 */
export async function readSealedLines(
  database: Database,
  identity: Identity,
  ref: string,
  month: string,
  { day: on, cursor }: Record<string, string | undefined>,
) {
  const only = parse(z.object({ day: day.optional() }), { day: on }).day;
  const begin = only && `${only}T00:00:00.000000Z`;
  const end = only && `${only}T23:59:59.999999Z`;
  const after = cursor === undefined ? [begin ?? null, begin ? '0' : null] : readPosition(cursor);
  const pages = await database.query<{ chunk: string; last_at: string; last_id: string; done: boolean }>(
    `select chunk, last_at, last_id, done
       from read_sealed_lines(:user::uuid, :platform_admin, :ref, :month, :after::timestamptz, :after_id::bigint, :until::timestamptz, :limit::integer)`,
    {
      ...caller(identity, ref),
      month: requireMonth(month),
      after: after[0] ?? null,
      after_id: after[1] ?? null,
      until: end ?? null,
      limit: String(lines_max),
    },
  );
  const last = pages.at(-1);
  const lines = pages.flatMap(({ chunk }) => chunk.split('\n'));
  const wanted = only ? lines.filter((line) => line.startsWith(only)) : lines;
  return {
    lines: wanted.join('\n'),
    line_count: wanted.length,
    next_cursor: !last || last.done ? null : writePosition(`${last.last_at} ${last.last_id}`),
  };
}

function writePosition(position: string): string {
  return Buffer.from(position).toString('base64url');
}

function readPosition(cursor: string): [string, string] {
  const [at = '', id = ''] = Buffer.from(cursor, 'base64url').toString('utf8').split(' ');
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/.test(at) || !/^\d{1,18}$/.test(id))
    throw new KernelError('invalid_request', 'The cursor is not one that this list gave.');
  return [at, id];
}
