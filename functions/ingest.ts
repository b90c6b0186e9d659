// POST /api/sync: parse, site and origin or API key, rate limit, check each event, one call of the ledger, then publish and mirror.
import { randomUUID } from 'node:crypto';
import { rateWindows, usageCounter } from '../shared/adapters/dynamodb.ts';
import { ledger } from '../shared/adapters/ledger.ts';
import { outcomeCounter } from '../shared/adapters/outcomes.ts';
import { sqs } from '../shared/adapters/sqs.ts';
import {
  build_variables,
  database_variables,
  environment,
  type IngestEnvironment,
} from '../shared/config.ts';
import { recordPublishFailure } from '../shared/delivery.ts';
import { KernelError } from '../shared/errors.ts';
import { checkEvent, type JsonObject, readSubmission, type Submission } from '../shared/event.ts';
import { type KeyedEvent, keyEvent } from '../shared/idempotency.ts';
import {
  api_key_requests_max,
  default_requests_max,
  type Rate,
  rateHeaders,
  rateLimiter,
  rateRefusal,
} from '../shared/rate-limit.ts';
import { apiKeyHash, authorize, type IngestSite, siteLookup } from '../shared/site.ts';
import { answer, type EventResult } from '../shared/sync.ts';
import { noteSkew, readReport, type TrackerReport } from '../shared/tracker-report.ts';
import { type Decision, ingest } from '../shared/usage.ts';
import {
  errorAnswer,
  type HttpAnswer,
  type HttpRequest,
  http,
  logger,
  metrics,
  systemClock,
} from './runtime.ts';

const body_bytes_max = 256 * 1024;
const body_bytes_max_with_key = 1024 * 1024;
const gate_retry_after_s = 5;

const env = environment<IngestEnvironment>(
  ...build_variables,
  ...database_variables,
  'DELIVERY_QUEUE_URL',
  'USAGE_TABLE',
  'RATE_LIMIT_TABLE',
);
const database = ledger(env);
const queue = sqs(env.DELIVERY_QUEUE_URL);
const counter = usageCounter(env.USAGE_TABLE);
const outcomes = outcomeCounter(env.USAGE_TABLE);
const lookup = siteLookup(database, systemClock);
const limiter = rateLimiter(rateWindows(env.RATE_LIMIT_TABLE), systemClock);

export const handler = http(env, async (request) => {
  const { origin } = request.headers;
  const cors = {
    vary: 'Origin',
    ...(origin && {
      'access-control-allow-origin': origin, // on refusals too, so that the page can read why
      'access-control-expose-headers':
        'retry-after, ratelimit, ratelimit-policy, x-request-id, x-opsmantik-dedup, x-opsmantik-overage, x-opsmantik-degraded, ' +
        'x-opsmantik-ratelimit, x-opsmantik-quota-exceeded, x-opsmantik-quota-remaining',
    }),
  };
  const answered = await route(request).catch((error: unknown) => refuse(error, request.request_id));
  metrics.addMetric('ingest_failed_total', 'Count', answered.status >= 500 ? 1 : 0);
  return { ...answered, headers: { ...cors, ...answered.headers } };
});

async function route(request: HttpRequest): Promise<HttpAnswer> {
  if (request.method === 'OPTIONS') return preflight(request);
  if (request.method === 'POST') return sync(request);
  const error = `${request.method} is not allowed here; events are sent with POST.`;
  const body = { ok: false, error, code: 'method_not_allowed', request_id: request.request_id };
  return { status: 405, headers: { allow: 'POST, OPTIONS' }, body };
}

/** A preflight names no site, so any real origin may go on to the POST, which is judged by its site. */
function preflight(request: HttpRequest): HttpAnswer {
  const { origin } = request.headers;
  if (!origin || !URL.canParse(origin)) throw new KernelError('origin_not_allowed', 'Origin not allowed');
  return {
    status: 200,
    headers: {
      'access-control-allow-methods': 'POST, OPTIONS',
      'access-control-allow-headers':
        'Content-Type, Authorization, Idempotency-Key, X-Request-Id, X-OpsMantik-Version',
      'access-control-max-age': '86400',
    },
    body: { ok: true },
  };
}

async function sync(request: HttpRequest): Promise<HttpAnswer> {
  const apiKey = apiKeyOf(request);
  const bytes_max = apiKey === undefined ? body_bytes_max : body_bytes_max_with_key;
  if (Buffer.byteLength(request.body) > bytes_max)
    throw new KernelError('payload_too_large', 'Payload too large');
  if (!['', 'identity', undefined].includes(request.headers['content-encoding'])) {
    throw new KernelError('content_encoding_unsupported', 'The body must not be compressed.');
  }
  const submission = readSubmission(request.body, request.headers['idempotency-key']);
  const site = await lookup(submission.site, apiKey);
  authorize(site, request.headers.origin, apiKey);
  const rate = await limit(request, site, apiKey);
  if (!rate.allowed) return refuseRate(site, rate, request.request_id);
  const answered = await judge(request, submission, site).catch((error: unknown) =>
    refuse(error, request.request_id),
  );
  return { ...answered, headers: { ...rateHeaders(rate), ...answered.headers } };
}

async function judge(request: HttpRequest, submission: Submission, site: IngestSite): Promise<HttpAnswer> {
  const now = systemClock.now();
  const report = submission.envelope && readReport(submission.envelope, now);
  const { results, keyed } = check(submission.events, site, now, report);
  const batch = randomUUID();
  const decision =
    keyed.size === 0
      ? undefined
      : await ingest(database, site.id, batch, [...keyed.values()], request, report);
  [...keyed.keys()].forEach((index, order) => {
    const result = decision?.results[order];
    if (result) results[index] = { id: results[index]?.id, ...result };
  });
  const { accepted = 0, overage = 0, ...unseen } = tally(results);
  const published =
    decision && decision.admitted > 0n
      ? await publish(batch, site, decision, unseen)
      : await keep(site, decision?.month, unseen);
  if (!published) await keep(site, decision?.month, { degraded: accepted + overage });
  count({ allowed: accepted + overage, overage, ...unseen, degraded: published ? 0 : accepted + overage });
  logger.info('ingest', {
    site_id: site.id,
    batch_id: batch,
    events: results.length,
    outcomes: tally(results),
    published,
  });
  return answer(
    results,
    decision,
    published,
    submission.form === 'single' ? 'single' : 'batch',
    request.request_id,
  );
}

/** One client of one site: an API key counts for itself, a browser by its address. */
async function limit(request: HttpRequest, site: IngestSite, apiKey: string | undefined): Promise<Rate> {
  const client = apiKey === undefined ? request.client_ip : apiKeyHash(apiKey).slice(0, 16);
  const own = site.rate_limit ?? default_requests_max; // a key has its own limit, which a site's may only raise
  const most = apiKey === undefined ? own : Math.max(own, api_key_requests_max);
  const rate = await limiter(`${site.id}#${client}`, most);
  if (rate.fallback) metrics.addMetric('rate_limit_fallback_total', 'Count', 1);
  return rate;
}

async function refuseRate(site: IngestSite, rate: Rate, request_id: string): Promise<HttpAnswer> {
  const { error, headers } = rateRefusal(rate);
  metrics.addMetric('billing_ingest_rate_limited_total', 'Count', 1);
  await keep(site, undefined, { rate_limited: 1 });
  return { ...refuse(error, request_id), headers: { ...rateHeaders(rate), ...headers } };
}

function apiKeyOf({ headers }: HttpRequest): string | undefined {
  return headers['x-api-key'] ?? /^Bearer (.+)$/i.exec(headers.authorization ?? '')?.[1];
}

/** Judges each event by itself: a bad one is `invalid`, the others go on to the ledger. */
function check(events: JsonObject[], site: IngestSite, now: Date, report?: TrackerReport) {
  const itsClock = typeof report?.skew_ms === 'number' ? new Date(now.getTime() - report.skew_ms) : undefined;
  const keyed = new Map<number, KeyedEvent>();
  const results = events.map((event, index): EventResult => {
    try {
      const tracked = checkEvent(event, now, itsClock);
      noteSkew(tracked, report);
      keyed.set(index, keyEvent(site, tracked, now));
      return { id: tracked.id, outcome: 'accepted', ingest_id: null }; // until the ledger says what it is
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      return { id: typeof event.i === 'string' ? event.i : undefined, outcome: 'invalid', error };
    }
  });
  return { results, keyed };
}

/** After the commit: both are repeatable, and neither can change what was billed. */
async function publish(
  batch: string,
  site: IngestSite,
  decision: Decision,
  unseen: Record<string, number>,
): Promise<boolean> {
  const [sent, mirrored] = await Promise.allSettled([
    queue.send(JSON.stringify({ batch_id: batch })),
    decision.as_of === null
      ? keep(site, decision.month, unseen)
      : counter.set(site.id, decision.month, decision.used, decision.as_of, unseen),
  ]);
  if (sent.status === 'rejected') await publishFailed(batch, site, sent.reason);
  if (mirrored.status === 'rejected')
    logger.warn('USAGE_COUNTER_SKIP', { site_id: site.id, cause: mirrored.reason });
  return sent.status === 'fulfilled';
}

/** The rows wait in the outbox whether or not this note succeeds. */
async function publishFailed(batch: string, site: IngestSite, cause: Error): Promise<void> {
  logger.error('QSTASH_PUBLISH_FAILED', { site_id: site.id, batch_id: batch, cause });
  metrics.addMetric('ingest_publish_failures_total', 'Count', 1);
  await recordPublishFailure(database, batch, site.public_id, `${cause.name}: ${cause.message}`).catch(
    (error: unknown) => {
      logger.warn('The publish failure could not be noted.', { batch_id: batch, cause: error as Error });
    },
  );
}

/** The ledger's failure closes the gate: nothing is published, nothing counted, and the client is told to come again. */
function refuse(error: unknown, request_id: string): HttpAnswer {
  const { status, body } = errorAnswer(error, request_id);
  if (status < 500) return { status, body };
  logger.error('BILLING_GATE_CLOSED', { code: body.code });
  return {
    status: 500,
    headers: { 'retry-after': String(gate_retry_after_s) },
    body: { ...body, status: 'billing_gate_closed', code: 'billing_gate_closed' },
  };
}

function count(outcomes: Record<string, number>): void {
  for (const [name, value] of Object.entries(outcomes))
    if (value) metrics.addMetric(`billing_ingest_${name}_total`, 'Count', value);
}

/** Outcomes that leave no row in the ledger are kept in the usage table; lost with it for a moment, as no money depends on them. */
async function keep(
  site: IngestSite,
  month: string | undefined,
  counts: Record<string, number>,
): Promise<true> {
  await outcomes
    .add(site.id, month ?? systemClock.now().toISOString().slice(0, 7), counts)
    .catch((cause: unknown) =>
      logger.warn('OUTCOMES_LOST', { site_id: site.id, counts, cause: cause as Error }),
    );
  return true;
}

function tally(results: EventResult[]): Partial<Record<EventResult['outcome'], number>> {
  const outcomes: Partial<Record<EventResult['outcome'], number>> = {};
  for (const { outcome } of results) outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  return outcomes;
}
