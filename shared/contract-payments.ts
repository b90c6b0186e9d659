// The contract of payments: what providers call, which provider carries a method, and what a shop's products credit.
import * as z from 'zod';
import { startedByToken } from './contract-assurance.ts';
import { finance } from './contract-finance.ts';
import { job, started } from './contract-jobs.ts';
import { currency, declined } from './contract-money.ts';
import type { Operation } from './contract-operation.ts';
import { count, instant, ok, uuid } from './contract-schemas.ts';
import type { ErrorCode } from './errors.ts';
import { ceilingInput } from './finding.ts';
import { customerInput, methodInput, productInput } from './payment-method.ts';
import { payoutWebhook } from './payout-webhook.ts';
import { historyInput } from './provider-history.ts';

const webhookErrors: ErrorCode[] = [
  ...(['INVALID_WEBHOOK', 'WEBHOOK_SIGNATURE_INVALID', 'UNSUPPORTED_PROVIDER'] as const),
  ...(['payload_too_large', 'content_encoding_unsupported', 'text_invalid', 'invalid_request'] as const),
];
const webhooks: Operation[] = [
  {
    ...{ id: 'receiveWebhook', method: 'post', path: '/api/v1/payments/webhook/{provider}' },
    ...{ tag: 'payments', caller: 'anyone', summary: 'What a payment provider says' },
    description:
      'Verified over its raw bytes by the provider’s own headers, kept, and then answered; it is applied a moment later. Sent again, it is answered with idempotent: true.',
    parameters: {
      path: z.object({ provider: z.string().meta({ description: 'mockpsp, stripe or paynow.' }) }),
      query: z.object({
        account: z.string().max(128).optional().meta({ description: 'Which account at the provider.' }),
      }),
    },
    body: { 'application/json': z.looseObject({}) },
    replies: [
      {
        ...{ status: 200, description: 'Kept.' },
        body: ok({ status: z.literal('ok'), idempotent: z.boolean(), tx_id: uuid.optional() }),
      },
    ],
    errors: [...webhookErrors, 'MISSING_IDS', 'UNKNOWN_PLAYER'],
  },
  {
    ...{ id: 'receivePayoutWebhook', method: 'post', path: '/api/v1/finance/withdrawals/payout/webhook' },
    ...{ tag: 'payments', caller: 'anyone', summary: 'What became of a payout' },
    description:
      'Signed by X-Webhook-Signature, the hex HMAC-SHA256 of X-Webhook-Timestamp (seconds), a point and the raw body.',
    parameters: {
      header: z.object({
        'x-webhook-timestamp': z.string().optional(),
        'x-webhook-signature': z.string().optional(),
      }),
    },
    body: { 'application/json': payoutWebhook },
    replies: [
      {
        ...{ status: 200, description: 'Kept; orphan: no such withdrawal is known.' },
        body: ok({
          status: z.literal('ok'),
          replay: z.boolean().optional(),
          orphan: z.literal(true).optional(),
        }),
      },
    ],
    errors: [
      ...webhookErrors,
      ...(['WEBHOOK_SIGNATURE_MISSING', 'WEBHOOK_TIMESTAMP_INVALID', 'WEBHOOK_SECRET_MISSING'] as const),
    ],
  },
];

const method = z.strictObject({ method: z.string(), provider: z.string(), of_tenant: z.boolean() });
const product = z
  .strictObject({
    ...{ tenant_id: z.string(), provider: z.string(), product_id: z.string(), currency, points: count },
    ...{ version: z.int(), updated_at: z.string() },
  })
  .meta({ id: 'Product', description: 'What one piece of a shop’s product credits, in minor units.' });
const settings: Operation[] = [
  finance(
    {
      ...{ id: 'listPaymentMethods', method: 'get', path: '/admin/payment-methods', summary: 'Methods' },
      description: 'Which provider carries each payment method.',
    },
    { answer: ok({ methods: z.array(method) }) },
  ),
  finance(
    {
      ...{ id: 'setPaymentMethod', method: 'put', path: '/admin/payment-methods' },
      summary: 'Who carries a method',
      description: 'For a tenant, or for everybody who has no row of their own; needs a platform admin.',
    },
    {
      answer: ok({ tenant_id: z.string(), method: z.string(), provider: z.string() }),
      input: methodInput,
    },
  ),
  finance(
    {
      ...{ id: 'listProducts', method: 'get', path: '/admin/products', summary: 'Products' },
      description: 'What the products of the tenant’s shops credit.',
    },
    { answer: ok({ products: z.array(product) }) },
  ),
  finance(
    {
      ...{ id: 'setProduct', method: 'put', path: '/admin/products', summary: 'What a product credits' },
      description: 'From now on; needs a platform admin.',
    },
    { answer: ok({ product }), input: productInput },
  ),
  finance(
    {
      ...{ id: 'setProviderCustomer', method: 'put', path: '/admin/provider-customers' },
      summary: 'Who a customer is',
      description: 'Which player of the tenant a provider’s customer is, for events that name only that.',
    },
    {
      answer: ok({ provider: z.string(), customer_id: z.string(), player_id: uuid }),
      input: customerInput,
      refusals: declined(['PLAYER_NOT_FOUND', 'PLAYER_OF_OTHER_TENANT']),
    },
  ),
  finance(
    {
      ...{ id: 'setCorrectionCeiling', method: 'put', path: '/admin/correction-ceiling' },
      summary: 'How much one person may correct',
      description: 'In whole units of a currency; above it a second person approves. Needs a platform admin.',
    },
    { answer: ok({ tenant_id: z.string(), ceiling_units: count }), input: ceilingInput },
  ),
];

const matched = job({
  runs: z.int().meta({ description: 'Reconciliations that came to their end.' }),
  failed: z.string().meta({ description: 'The providers whose reconciliation did not.' }),
  caught_up: z.int().meta({ description: 'Events that no webhook had brought.' }),
});
export const paymentJobs: Operation[] = [
  ...started({
    ...{ id: 'processPayments', path: 'payments-process', summary: 'Apply what providers said' },
    description:
      'Applies events that wait, asks again about payouts without an answer, and lets the mock provider call back.',
    result: job({
      ...{ sent: z.int(), processed: z.int(), rechecked: z.int() },
      ...{ waiting: count, held: count, dead: count, oldest_s: count },
    }),
  }),
  ...started({
    ...{ id: 'matchPayments', path: 'payments-match', summary: 'Reconcile providers' },
    description: 'The day before against the ledger, what is queued, and what webhooks did not bring.',
    result: matched,
    failure: { status: 500, description: 'A reconciliation came to no end.', body: matched },
  }),
  ...started({
    ...{ id: 'catchUpPayments', path: 'payments-match/catch-up', summary: 'Fetch lost events' },
    description:
      'Takes queued reconciliations, and what providers list and no webhook has brought, since an instant or the last time.',
    query: z.object({ since: instant.optional() }),
    errors: ['invalid_request'],
    result: matched,
    failure: { status: 500, description: 'A reconciliation came to no end.', body: matched },
  }),
];

const history: Operation[] = [
  {
    ...startedByToken({
      ...{ id: 'importProviderEvents', path: 'provider-events', summary: 'Import a provider’s history' },
      failed: 'Backfill operation failed',
      description:
        'Keeps events of a provider from a file, each as the provider tells it; what is known stays as it is. backfillEvents applies them. Needs a service.',
      input: historyInput,
      answers: [
        { ok: z.literal(true), provider: z.string(), read: z.int(), created: z.int(), known: z.int() },
      ],
      errors: [
        ...(['invalid_json', 'text_invalid', 'payload_too_large'] as const),
        ...(['INVALID_WEBHOOK', 'MISSING_IDS', 'UNSUPPORTED_PROVIDER'] as const),
      ],
    }),
    tag: 'payments',
  },
];

export const paymentOperations: Operation[] = [
  ...history,
  ...webhooks,
  ...settings.map((operation) => ({ ...operation, tag: 'payments' as const })),
];
