// The contract of the hot path: what a tracker may send, and every outcome with its headers.
import * as z from 'zod';
import { errorBody, type Operation, requestId } from './contract-operation.ts';
import { count, uuid } from './contract-schemas.ts';
import { type ErrorCode, errorStatus } from './errors.ts';
import { event_bytes_max, event_depth_max, event_id_length_max, events_max, fields } from './event.ts';

const site = z.string().min(1).meta({ description: 'Public id or UUID of the site.' });
const eventId = z
  .string()
  .regex(/^[\x20-\x7e]+$/)
  .max(event_id_length_max)
  .meta({
    description: 'The client’s id of the event: with it the event counts once, however often it is sent.',
  });
const own = {
  i: eventId.nullish(),
  t: z.number().nullish().meta({ description: 'When it happened, in milliseconds; at most 60 days ago.' }),
  meta: z
    .unknown()
    .optional()
    .meta({ description: 'An object of the client’s own; anything else is left out.' }),
};
const { url: _url, u: _u, ...texts } = fields.shape;
const address = z.string().min(1);
const event = z.looseObject({ s: site, url: address, ...texts, ...own }).meta({
  id: 'Event',
  description: `One event; fields that are not known are kept. At most ${event_bytes_max / 1024} KiB and ${event_depth_max} levels.`,
});
const told = {
  p: z.unknown().optional().meta({ description: 'The page load or process: a UUID of version 7.' }),
  n: z.unknown().optional().meta({ description: 'Number of the event in it, from 1: a gap is a loss.' }),
  d: z.unknown().optional().meta({ description: 'Events that were dropped since, by reason.' }),
};
const compactEvent = z.looseObject({ u: address, ...texts, ...own, ...told }).meta({ id: 'CompactEvent' });
const batch = z
  .looseObject({
    events: z
      .array(event.extend({ i: eventId }))
      .min(1)
      .max(events_max),
  })
  .meta({ id: 'EventBatch', description: 'Events of one site, each with an id; one alone needs none.' });
const compact = z
  .looseObject({
    s: site,
    v: z.literal(1).optional(),
    st: z.number().optional().meta({ description: 'When it was sent, in milliseconds.' }),
    sdk: z
      .string()
      .optional()
      .meta({ description: 'The tracker, as `browser/0.1.0`; it is counted by day.' }),
    r: z.number().optional().meta({ description: 'How often the request was tried before.' }),
    e: z.array(compactEvent).min(1).max(events_max),
  })
  .meta({ id: 'CompactBatch', description: 'The form of the tracker; more than one event need an id each.' });
const submission = z.union([event, batch, compact]).meta({ id: 'Submission' });

const event_codes = [
  'missing_site_or_url',
  'event_id_invalid',
  'event_invalid',
  'event_too_old',
  'event_too_large',
  'event_too_deep',
  'text_invalid',
  'number_not_exact',
] as const satisfies ErrorCode[];
const eventResult = z
  .strictObject({
    id: z.string().optional(),
    status: z.enum(['queued', 'overage', 'duplicate', 'conflict', 'rejected_quota', 'invalid']),
    ingest_id: uuid.optional(),
    retry_after: z.int().optional().meta({ description: 'Seconds to the end of the month.' }),
    code: z.enum(event_codes).optional(),
    error: z.string().optional(),
  })
  .meta({ id: 'EventResult', description: 'What became of one event of a batch, in its order.' });
const results = z.array(eventResult).optional().meta({ description: 'In the answer of a batch only.' });
const accepted = z
  .strictObject({
    ok: z.literal(true),
    status: z.enum(['queued', 'duplicate', 'degraded', 'mixed']),
    ingest_id: uuid.optional().meta({ description: 'Of the first event that was admitted.' }),
    request_id: requestId,
    results,
  })
  .meta({
    id: 'Accepted',
    description: 'What is accepted is committed: billed, and delivered or about to be.',
  });
const refusedAs = <Code extends ErrorCode>(code: Code) =>
  errorBody.extend({ code: z.literal(code), status: z.literal(code), results });
const quotaRejected = refusedAs('rejected_quota').meta({ id: 'QuotaRejected' });
const conflicting = refusedAs('conflict').meta({ id: 'Conflict' });
const rateLimited = errorBody.extend({ code: z.literal('rate_limited') }).meta({ id: 'RateLimited' });
const gateClosed = errorBody
  .extend({ code: z.literal('billing_gate_closed'), status: z.literal('billing_gate_closed') })
  .meta({ id: 'BillingGateClosed' });
const allInvalid = errorBody.extend({ code: z.enum(event_codes), results: z.array(eventResult) }).meta({
  id: 'AllInvalid',
  description: 'A batch of which no event is valid.',
});

const optional = (id: string, description: string, schema: z.ZodType = z.string()) =>
  schema.optional().meta({ description, header: { id } });
const retryAfter = { 'retry-after': optional('RetryAfterSeconds', 'Seconds.', count) };
const cors = {
  vary: z.literal('Origin').meta({ header: { id: 'Vary' } }),
  'access-control-allow-origin': optional('AllowOrigin', 'The origin of the request.'),
  'access-control-expose-headers': optional('ExposeHeaders', 'What a page may read of the answer.'),
};
const rate = {
  ratelimit: optional('RateLimit', 'Requests left in this window and seconds to its end.'),
  'ratelimit-policy': optional('RateLimitPolicy', 'Requests of a window, and its seconds.'),
};
const quotaHeaders = {
  'x-opsmantik-quota-remaining': optional('QuotaRemaining', 'What is left of the month’s limit.', count),
  'x-opsmantik-quota-exceeded': optional(
    'QuotaExceeded',
    'An event was refused by the quota.',
    z.literal('1'),
  ),
};
const outcome = {
  ...cors,
  ...rate,
  ...quotaHeaders,
  'x-opsmantik-dedup': z
    .enum(['0', '1'])
    .meta({ description: '1 when every event came before.', header: { id: 'Dedup' } }),
  'x-opsmantik-overage': optional('Overage', 'An event was admitted beyond the limit.', z.literal('true')),
  'x-opsmantik-degraded': optional('Degraded', 'The queue did not take the batch; the outbox holds it.'),
  'x-opsmantik-fallback': optional('Fallback', 'Set together with degraded.', z.literal('true')),
};

const refusals: ErrorCode[] = [
  ...['invalid_json', 'payload_not_object', 'site_not_found', 'site_mismatch', 'events_empty'],
  ...['events_too_many', 'event_id_required', 'payload_too_large', 'content_encoding_unsupported'],
].filter((code): code is ErrorCode => code in errorStatus);

export const eventOperations: Operation[] = [
  {
    id: 'sync',
    method: 'post',
    path: '/api/sync',
    tag: 'events',
    summary: 'Send events',
    description:
      'Takes one event or up to 500 of one site in one commit; at most 256 KiB, with an API key 1 MiB.',
    caller: 'site',
    parameters: {
      header: z.object({
        'idempotency-key': eventId
          .optional()
          .meta({ description: 'The id of a single event that has none in i.' }),
        'x-request-id': requestId.optional().meta({ description: 'Followed to the delivered row.' }),
      }),
    },
    body: { 'application/json': submission, 'text/plain': submission },
    replies: [
      { status: 200, description: 'Committed, or known from before.', body: accepted, headers: outcome },
      {
        status: 400,
        description: 'A batch of which no event is valid. Nothing was written.',
        body: allInvalid,
        headers: { ...cors, ...rate },
      },
      {
        status: 409,
        description: 'The id came before with another payload, which is recorded.',
        body: conflicting,
        headers: { ...cors, ...rate },
      },
      {
        status: 429,
        description: 'The month’s quota is used up until the month ends.',
        body: quotaRejected,
        headers: { ...cors, ...rate, ...quotaHeaders, ...retryAfter },
      },
      {
        status: 429,
        description: 'Or the client asks too often in this minute; that answer never carries a quota header.',
        body: rateLimited,
        headers: {
          ...cors,
          ...rate,
          ...retryAfter,
          'x-opsmantik-ratelimit': optional('RateLimited', 'Refused by the rate limit.', z.literal('1')),
        },
      },
      {
        status: 500,
        description: 'The ledger is away: nothing was published or counted; come again.',
        body: gateClosed,
        headers: { ...cors, ...rate, ...retryAfter },
      },
    ],
    errors: [...refusals, ...event_codes],
    refusalHeaders: { ...cors, ...rate },
  },
  {
    id: 'syncPreflight',
    method: 'options',
    path: '/api/sync',
    tag: 'events',
    summary: 'Preflight of a browser',
    description: 'Names no site, so any real origin may go on to the POST.',
    caller: 'anyone',
    replies: [
      {
        status: 200,
        description: 'The POST may be sent.',
        body: z.strictObject({ ok: z.literal(true) }),
        headers: {
          ...cors,
          'access-control-allow-methods': z.string(),
          'access-control-allow-headers': z.string(),
          'access-control-max-age': count,
        },
      },
    ],
    errors: ['origin_not_allowed'],
    refusalHeaders: cors,
    ledger: false,
  },
];
