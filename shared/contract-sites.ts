// The contract of the site API: what the people of a site may read and do with a token.
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
  planInForce,
  ref,
  signedCount,
  siteAccess,
  siteOnly,
  usageFields,
  uuid,
} from './contract-schemas.ts';
import { outcome_names } from './metrics.ts';
import { erasureInput } from './site-api.ts';

const usageOfSite = z
  .strictObject({
    ...usageFields,
    outcomes: z.partialRecord(z.enum(outcome_names), count).nullable().meta({
      description: 'Requests and events that never became usage; null when the counter did not answer.',
    }),
  })
  .meta({ id: 'SiteUsage' });
const quota = z
  .strictObject({
    site_id: uuid,
    year_month: month,
    used: count,
    limit: count,
    cap: count
      .nullable()
      .meta({ description: 'Where events are refused; null when quotas are not enforced.' }),
    remaining: count,
    remaining_to_cap: count.nullable(),
    state: z.enum(['within', 'overage', 'exhausted']),
    enforced: z.boolean(),
    resets_at: instant,
    as_of: instant,
  })
  .meta({ id: 'Quota', description: 'What the next quota decision would read.' });
const adjustment = z
  .strictObject({
    id: count,
    created_at: instant,
    year_month: month.meta({ description: 'The month in which it is booked.' }),
    corrects_month: month,
    event_delta: signedCount,
    overage_delta: signedCount,
    reason: z.string(),
    author: z.string(),
    approver: z.string(),
  })
  .meta({ id: 'Adjustment', description: 'A booked correction of a frozen month.' });
const invoice = z
  .strictObject({
    site_id: uuid,
    year_month: month,
    event_count: count,
    overage_count: count,
    snapshot_hash: z.string(),
    hash_version: z.int().meta({ description: '0 is a foreign row that cannot be verified.' }),
    commit_sha: z.string().nullable(),
    frozen_at: instant,
    generated_by: z.string().nullable(),
    adjustments: z.array(adjustment).meta({ description: 'Corrections booked in this month.' }),
    corrected_by: z.array(adjustment).meta({ description: 'Corrections of this month, booked later.' }),
  })
  .meta({ id: 'Invoice' });
const day = z.strictObject({ day: z.iso.date(), rows: count, billable: count, overage: count, hash });
const invoiceProof = z
  .strictObject({
    site_id: uuid,
    year_month: month,
    hash_version: z.int(),
    frozen_at: instant,
    event_count: count,
    overage_count: count,
    snapshot_hash: z.string(),
    commit_sha: z.string().nullable(),
    ledger: z.strictObject({ event_count: count, overage_count: count, hash, days: z.array(day) }),
    seal: z
      .strictObject({ sealed_at: instant, row_count: count, ledger_hash: hash, days: z.array(day) })
      .nullable(),
    archive: z
      .strictObject({
        archived_at: instant,
        object_key: z.string(),
        content_sha256: hash,
        object_sha256: hash,
        purged: z.boolean(),
      })
      .nullable(),
    hash_ok: z.boolean().meta({ description: 'The invoice’s own hash, recomputed.' }),
    ledger_ok: z.boolean().meta({ description: 'The counts of the ledger.' }),
    seal_ok: z.boolean().meta({ description: 'Every byte of every ledger row.' }),
    changed_days: z.array(z.iso.date()).nullable(),
  })
  .meta({ id: 'InvoiceProof', description: 'A frozen invoice, recomputed from the ledger now.' });
const payload = z.looseObject({}).meta({ description: 'The event as it is stored.' });
const delivery = z.discriminatedUnion('status', [
  z.strictObject({
    status: z.literal('delivered'),
    delivered_at: instant,
    request_id: z.string().nullable(),
    payload,
  }),
  z.strictObject({
    status: z.enum(['waiting', 'failed']),
    attempts: z.int(),
    next_attempt_at: instant.nullable(),
    reason: z.string().nullable(),
    request_id: z.string().nullable(),
    payload,
  }),
  z.strictObject({ status: z.literal('removed') }),
]);
const receipt = ok({
  ingest_id: uuid,
  site_id: uuid,
  ledger: z.strictObject({
    id: count,
    idempotency_key: z.string(),
    idempotency_version: z.int(),
    billable: z.boolean(),
    billing_state: z.enum(['ACCEPTED', 'OVERAGE', 'DEGRADED_CAPTURE', 'RECOVERED']),
    billing_reason: z.string().nullable(),
    year_month: month,
    created_at: instant,
    expires_at: instant,
    payload_hash: hash.nullable(),
  }),
  delivery,
  rejections: z.array(z.strictObject({ year_month: month, created_at: instant })),
  conflicts: z.array(
    z.strictObject({ seen_at: instant, payload_hash: hash.nullable(), request_id: z.string().nullable() }),
  ),
  invoice: z.strictObject({ frozen_at: instant, snapshot_hash: z.string() }).nullable(),
}).meta({ id: 'Receipt', description: 'Every decision taken on an admitted event.' });

type Words = Pick<Operation, 'id' | 'summary' | 'description'>;
/** An operation of one site, which reads unless told. */
export function ofSite(
  path: string,
  body: z.ZodType,
  words: Words,
  more: Partial<Operation> = {},
): Operation {
  return {
    method: 'get',
    path: `/api/sites${path}`,
    tag: 'sites',
    caller: 'token',
    parameters: { path: siteOnly },
    replies: [{ status: 200, description: 'Found.', body }],
    errors: ['text_invalid'],
    ...words,
    ...more,
  };
}

export const siteOperations: Operation[] = [
  ofSite(
    '',
    ok({ sites: z.array(siteAccess), next_cursor: z.string().nullable() }),
    {
      id: 'listMySites',
      summary: 'My sites',
      description:
        'The sites that the caller may see, with role and capabilities there, in order of creation.',
    },
    { parameters: { query: z.object({ cursor, limit: limit(50, 200) }) }, errors: ['invalid_request'] },
  ),
  ofSite(
    '/{ref}/usage',
    ok(usageOfSite.shape),
    {
      id: 'readUsage',
      summary: 'Usage of a month',
      description: 'Ledger, usage row, fast counter and deliveries side by side; needs billing:view.',
    },
    {
      parameters: { path: siteOnly, query: z.object({ month: monthParameter }) },
      errors: ['text_invalid', 'invalid_request'],
    },
  ),
  ofSite('/{ref}/plan', ok({ plan: planInForce }), {
    id: 'readPlan',
    summary: 'Plan',
    description: 'The plan in force and the unblock while one runs; needs billing:view.',
  }),
  ofSite('/{ref}/quota', ok({ quota }), {
    id: 'readQuota',
    summary: 'Quota',
    description: 'Where the site stands against its quota; any member may ask.',
  }),
  ofSite(
    '/{ref}/invoices',
    ok({ invoices: z.array(invoice), next_cursor: month.nullable() }),
    {
      id: 'listInvoices',
      summary: 'Frozen invoices',
      description: 'Frozen invoices with their corrections, newest first; needs billing:view.',
    },
    {
      parameters: {
        path: siteOnly,
        query: z.object({
          cursor: month.optional().meta({ description: 'The next_cursor of the page before.' }),
          limit: limit(24, 120),
        }),
      },
      errors: ['text_invalid', 'invalid_request'],
    },
  ),
  ofSite(
    '/{ref}/invoices/{month}',
    ok({ proof: invoiceProof }),
    {
      id: 'proveInvoice',
      summary: 'Proof of an invoice',
      description:
        'Recomputes a frozen invoice from the ledger and says whether a byte differs; needs billing:view.',
    },
    {
      parameters: { path: z.object({ ref, month }) },
      errors: ['text_invalid', 'invalid_request', 'month_not_frozen'],
    },
  ),
  ofSite(
    '/{ref}/events/{ingest_id}',
    receipt,
    {
      id: 'readReceipt',
      summary: 'Receipt of an event',
      description: 'Every decision taken on an admitted event, for any member of its site.',
    },
    {
      parameters: {
        path: z.object({ ref, ingest_id: z.string().meta({ description: 'The ingest_id of its answer.' }) }),
      },
      errors: ['text_invalid', 'site_not_found', 'receipt_not_found'],
    },
  ),
  ofSite(
    '/{ref}/erasures',
    ok({
      erased: count,
      done: z.boolean().meta({ description: 'False when more are left: ask again.' }),
    }),
    {
      id: 'erasePayloads',
      summary: 'Erase personal data',
      description:
        'Erases the payloads of one event, session or fingerprint and keeps the ledger’s proof; needs site:write.',
    },
    {
      method: 'post',
      body: { 'application/json': erasureInput },
      errors: ['invalid_json', 'invalid_request', 'text_invalid', 'payload_too_large'],
    },
  ),
];
