// The contract of the rows behind a site's numbers.
import * as z from 'zod';
import type { Operation } from './contract-operation.ts';
import {
  count,
  cursor,
  hash,
  instant,
  limit,
  month,
  monthParameter,
  ok,
  siteOnly,
  uuid,
} from './contract-schemas.ts';
import { day, rowFilter } from './ledger-rows.ts';

const row = z
  .strictObject({
    ingest_id: uuid.nullable().meta({ description: 'Null for a rejected event: nothing was taken in.' }),
    created_at: instant,
    idempotency_key: z.string(),
    idempotency_version: z.int(),
    billing_state: z.string(),
    billing_reason: z.string(),
    billable: z.boolean(),
    payload_hash: hash.nullable(),
    year_month: month,
    delivery: z.enum(['delivered', 'waiting', 'failed', 'removed', 'none']),
    conflicts: count.meta({ description: 'How often its id came with another payload.' }),
  })
  .meta({ id: 'LedgerRow' });
const next_cursor = z.string().nullable();
const shared: Pick<Operation, 'method' | 'tag' | 'caller' | 'errors'> = {
  ...{ method: 'get', tag: 'sites', caller: 'token' },
  errors: ['text_invalid', 'invalid_request'],
};
const found = (body: z.ZodType) => [{ status: 200, description: 'Found.', body }];

export const rowOperations: Operation[] = [
  {
    ...shared,
    id: 'readDays',
    path: '/api/sites/{ref}/days',
    summary: 'A month by day',
    description: 'The ledger of a month by UTC day and verdict; needs billing:view.',
    parameters: { path: siteOnly, query: z.object({ month: monthParameter }) },
    replies: found(
      ok({
        site_id: uuid,
        year_month: month,
        as_of: instant,
        days: z.array(
          z.strictObject({
            day: z.iso.date(),
            accepted: count,
            overage: count,
            rejected: count,
            unbilled: count,
          }),
        ),
      }),
    ),
  },
  {
    ...shared,
    id: 'listRows',
    path: '/api/sites/{ref}/events',
    summary: 'Rows of the ledger',
    description:
      'Rows of a month, newest first, by verdict and day; duplicates and invalid events leave no row. Needs billing:view.',
    parameters: {
      path: siteOnly,
      query: z.object({ month: monthParameter, ...rowFilter.shape, cursor, limit: limit(50, 200) }),
    },
    replies: found(ok({ rows: z.array(row), next_cursor })),
  },
  {
    ...shared,
    id: 'readSealedLines',
    path: '/api/sites/{ref}/invoices/{month}/lines',
    summary: 'The lines that a seal hashes',
    description:
      'Up to 4,000 lines of the month: created_at, idempotency_key, idempotency_version, billing_state, billable, id, billing_reason, payload_hash. The hash of a day is the SHA-256 over the concatenated SHA-256 of its lines; that of the month over `day|rows|billable|overage|hash` joined by LF. Needs billing:view.',
    parameters: {
      path: z.object({ ...siteOnly.shape, month }),
      query: z.object({ day: day.optional(), cursor }),
    },
    replies: found(
      ok({
        lines: z
          .string()
          .meta({ description: 'Lines joined by LF; empty when the rows have left the ledger.' }),
        line_count: z.int(),
        next_cursor,
      }),
    ),
  },
];
