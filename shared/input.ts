// What a caller sends, read one way everywhere: JSON, a body by its schema, a cursor, the size of a page.
import * as z from 'zod';
import { KernelError } from './errors.ts';

/**
 * A body as JSON.
 * @throws KernelError `payload_too_large` above so many bytes, `invalid_json`.
 */
export function readJson(body: string, bytes_max = Number.POSITIVE_INFINITY): unknown {
  if (Buffer.byteLength(body) > bytes_max) throw new KernelError('payload_too_large', 'Payload too large');
  try {
    return JSON.parse(body);
  } catch {
    throw new KernelError('invalid_json', 'The body is not JSON.');
  }
}

/** @throws KernelError `invalid_request` that names the first field at fault. */
export function parse<T>(schema: z.ZodType<T>, input: unknown): T {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const unknown = issue?.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : [];
  const field = [...(issue?.path ?? []), ...unknown].join('.');
  const message = unknown.length > 0 ? 'is not known' : issue?.message;
  throw new KernelError('invalid_request', `${field ? `The field ${field}` : 'The body'} ${message}.`);
}

/** Time and id of the row after which a list goes on. */
export function readCursor(cursor: string): [string, string] {
  const [at, id] = Buffer.from(cursor, 'base64url').toString('utf8').split(' ');
  const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;
  if (!at || !time.test(at) || !id || !z.uuid().safeParse(id).success) {
    throw new KernelError('invalid_request', 'The cursor is not one that this list gave.');
  }
  return [at, id];
}

/** The cursor of a row that the ledger named by time and id. */
export function writeCursor(row: string): string {
  return Buffer.from(row).toString('base64url');
}

/** The size of a page as the query asks for it. */
export function pageSize(limit: string | undefined, usual: number, max: number): number {
  if (limit === undefined) return usual;
  const size = Number(limit);
  if (!Number.isInteger(size) || size < 1 || size > max)
    throw new KernelError('invalid_request', `The parameter limit must be a whole number from 1 to ${max}.`);
  return size;
}
