// The contract of the dispute export: the evidence of a month as CSV, or a link to it.
import * as z from 'zod';
import type { Operation } from './contract-operation.ts';
import { count, hash, month, ok, uuid } from './contract-schemas.ts';
import { inline_rows_max } from './dispute.ts';

const exported = {
  export_id: count,
  site_id: uuid,
  year_month: month,
  row_count: count,
  rows_done: count,
  export_hash: hash.nullable(),
  bytes: count.nullable(),
};
const evidence = {
  'x-opsmantik-export-hash': hash.meta({
    description: 'SHA-256 of the bytes of the export.',
    header: { id: 'ExportHash' },
  }),
  'x-opsmantik-snapshot-hash': z
    .string()
    .optional()
    .meta({
      description: 'The hash of the invoice, once the month is frozen.',
      header: { id: 'SnapshotHash' },
    }),
};
const ready = ok({
  status: z.literal('ready'),
  ...exported,
  link_expires_s: z.int(),
  url: z.url(),
  manifest_url: z.url().meta({ description: 'Counts and hashes of the export.' }),
});
const location = (description: string) => z.string().meta({ description });

export const billingOperations: Operation[] = [
  {
    id: 'exportDispute',
    method: 'get',
    path: '/api/billing/dispute-export',
    tag: 'sites',
    summary: 'Evidence of a month',
    description: `Every ledger row of a month in stable order, then its corrections; beyond ${inline_rows_max} rows a link. Needs billing:view; every download is audited.`,
    caller: 'token',
    parameters: {
      query: z.object({
        site_id: z.string().min(1).max(64).meta({ description: 'Public id or UUID of the site.' }),
        year_month: month,
        export_id: count.optional().meta({ description: 'Goes on with an export that was being built.' }),
      }),
    },
    replies: [
      {
        status: 200,
        description: 'The export itself.',
        body: z.string(),
        type: 'text/csv',
        headers: { ...evidence, 'content-disposition': z.string() },
      },
      {
        status: 200,
        description: 'Or the link to it, for a caller that accepts `application/json`.',
        body: ready,
        headers: { ...evidence, location: location('The export.') },
      },
      {
        status: 202,
        description: 'It is being built: come again.',
        body: ok({ status: z.literal('building'), ...exported }),
        headers: {
          location: location('Where to ask again.'),
          'retry-after': count.meta({ description: 'Seconds.', header: { id: 'RetryAfter' } }),
        },
      },
      {
        status: 303,
        description: 'It is ready, at a link that ends by itself.',
        body: ready,
        headers: { ...evidence, location: location('The export.') },
      },
    ],
    errors: ['invalid_request', 'text_invalid', 'export_not_found'],
  },
];
