// What every function shares: logs, metrics, the request of an HTTP event, and the one place where an error becomes an answer.
import { randomUUID } from 'node:crypto';
import { Logger } from '@aws-lambda-powertools/logger';
import { injectLambdaContext } from '@aws-lambda-powertools/logger/middleware';
import { Metrics } from '@aws-lambda-powertools/metrics';
import middy from '@middy/core';
import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2, Context } from 'aws-lambda';
import { onLedgerFailure } from '../shared/adapters/ledger-failures.ts';
import { secretsManager } from '../shared/adapters/secrets.ts';
import type { BaseEnvironment } from '../shared/config.ts';
import { recordHeartbeat, requireCronSecret } from '../shared/cron.ts';
import type { BadRow } from '../shared/delivery.ts';
import { edgeClient } from '../shared/edge.ts';
import { KernelError } from '../shared/errors.ts';
import type { Database } from '../shared/ports.ts';

export const logger = new Logger();
export const metrics = new Metrics();
/** Of all functions together, for they have one ledger. */
const ledgerMetrics = new Metrics({ serviceName: 'ledger' });
onLedgerFailure((failure) => ledgerMetrics.addMetric(`ledger_${failure}_total`, 'Count', 1));
export const systemClock = { now: () => new Date() };

const user_agent_length_max = 512;

export interface HttpRequest {
  method: string;
  path: string;
  pathParameters: Record<string, string | undefined>;
  query: Record<string, string | undefined>;
  /** Names in lower case. */
  headers: Record<string, string | undefined>;
  body: string;
  /** The body byte for byte, as signatures are made over it. */
  raw: () => Buffer;
  /** The caller's x-request-id where it is well formed, else a new one; it follows the request to the delivered row. */
  request_id: string;
  client_ip: string;
  user_agent: string | null;
}

export interface HttpAnswer {
  status: number;
  headers?: Record<string, string>;
  /** An object is sent as JSON, a text as it is, with the content type among the headers. */
  body: Record<string, unknown> | string;
}

export type HttpDoor = (request: HttpRequest) => Promise<HttpAnswer>;

/** Makes a Lambda handler for HTTP events of a door that takes a request and gives an answer. */
export function http(environment: BaseEnvironment, door: HttpDoor) {
  const build = {
    'x-opsmantik-commit': environment.COMMIT_SHA,
    'x-opsmantik-branch': environment.COMMIT_BRANCH,
    'x-opsmantik-version': environment.KERNEL_VERSION,
  };
  const admit = edgeGuard(environment);
  return observed(async (event: APIGatewayProxyEventV2): Promise<APIGatewayProxyStructuredResultV2> => {
    const request = toRequest(event);
    logger.appendKeys({ correlation_id: request.request_id });
    const { status, headers, body } = await admit(request)
      .then(door)
      .catch((error: unknown) => errorAnswer(error, request.request_id));
    return {
      statusCode: status,
      headers: {
        'content-type': 'application/json',
        ...build,
        'x-request-id': request.request_id,
        ...headers,
      },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    };
  });
}

/** Behind an edge, lets through what came by it only, with the address of the client that the edge saw. */
function edgeGuard({ ORIGIN_SECRET_ARN }: BaseEnvironment): (request: HttpRequest) => Promise<HttpRequest> {
  if (ORIGIN_SECRET_ARN === undefined) return async (request) => request;
  const secrets = secretsManager();
  return async (request) => {
    const client_ip = edgeClient(request.headers, await secrets.get(ORIGIN_SECRET_ARN));
    return { ...request, client_ip: client_ip ?? request.client_ip };
  };
}

/** The door of every path that a function has no route for. */
export async function noRoute({ method, path }: HttpRequest): Promise<never> {
  throw new KernelError('not_found', `There is no ${method} ${path}.`);
}

/** Adds logs and metrics to any handler. */
export function observed<Event, Result>(handler: (event: Event, context: Context) => Promise<Result>) {
  const publish = () => {
    for (const one of [metrics, ledgerMetrics]) if (one.hasStoredMetrics()) one.publishStoredMetrics();
  };
  return middy(handler)
    .use(injectLambdaContext(logger, { resetKeys: true }))
    .use({ after: publish, onError: publish });
}

/** What a job answers; the same over HTTP and to the scheduler. */
export type JobResult = { ok: boolean; dry_run?: boolean } & Record<string, unknown>;

export interface JobOptions {
  /** The name under which the job's heartbeat is kept. */
  name: string;
  database: Database;
  /** Whether a result shows that the job itself works; by default when it is ok. */
  alive?: (result: JobResult) => boolean;
  /** The HTTP status of a result; by default 200, or 500 when it is not ok. */
  status?: (result: JobResult, call: JobCall) => number;
}

/**
 * Makes a handler of a job: the scheduler invokes it by IAM, a person calls it over HTTP with the cron secret, by GET or POST.
 * Each run that writes leaves a heartbeat.
 * @param run does the work; it may be called again at any time.
 */
export function job(
  environment: BaseEnvironment & { CRON_SECRET_ARN: string },
  { name, database, alive, status = ({ ok }) => (ok ? 200 : 500) }: JobOptions,
  run: (call: JobCall) => Promise<JobResult>,
) {
  const secrets = secretsManager();
  const isRefusal = (error: unknown) => error instanceof KernelError && error.status < 500;
  const beating = withHeartbeat({ name, database, isRefusal, ...(alive && { alive }) }, run);
  const door = http(environment, async (request) => {
    requireCronSecret(request.headers.authorization, await secrets.get(environment.CRON_SECRET_ARN));
    if (request.method !== 'GET' && request.method !== 'POST') {
      throw new KernelError(
        'method_not_allowed',
        `${request.method} is not allowed here; a job is started with GET or POST.`,
      );
    }
    const { request_id, query, path, body } = request;
    const call = { request_id, path, query, body, scheduled_at: systemClock.now() };
    const result = await beating(call);
    return {
      status: status(result, call),
      headers: { 'cache-control': 'no-store' },
      body: { ...result, request_id: request.request_id },
    };
  });
  const scheduled = observed(({ scheduled_time }: ScheduledEvent, { awsRequestId }) => {
    const scheduled_at = scheduled_time === undefined ? systemClock.now() : new Date(scheduled_time);
    return beating({ request_id: awsRequestId, path: '', query: {}, body: '', scheduled_at });
  });
  return (event: APIGatewayProxyEventV2 | ScheduledEvent, context: Context) =>
    'requestContext' in event ? door(event, context) : scheduled(event, context);
}

/** A run that leaves a heartbeat, unless it was dry, or the caller's own mistake. */
export function withHeartbeat<Call>(
  {
    name,
    database,
    alive = ({ ok }) => ok,
    isRefusal,
  }: Pick<JobOptions, 'name' | 'database' | 'alive'> & { isRefusal: (error: unknown) => boolean },
  run: (call: Call) => Promise<JobResult>,
) {
  return async (call: Call): Promise<JobResult> => {
    const result = await run(call).catch(async (error: unknown) => {
      if (!isRefusal(error)) await beat(database, name, false, { error: (error as Error).message });
      throw error;
    });
    if (!result.dry_run) await beat(database, name, alive(result), result);
    return result;
  };
}

/** A heartbeat that cannot be written is missed, which watchtower will say; the work itself is done. */
export async function beat(database: Database, name: string, ok: boolean, result: object): Promise<void> {
  metrics.addMetric(`job_${name}_${ok ? 'ok' : 'failed'}_total`, 'Count', 1);
  await recordHeartbeat(database, name, ok, result).catch((error: unknown) => {
    logger.warn('HEARTBEAT_LOST', { job: name, cause: error as Error });
  });
}

/** One call of a job. */
export interface JobCall {
  request_id: string;
  /** Of an HTTP call, as are query and body; empty on a schedule. */
  path: string;
  query: Record<string, string | undefined>;
  body: string;
  /** When the job was meant to run: a late or repeated run works on the same period. */
  scheduled_at: Date;
}

/** What the scheduler sends: the intended time, not that of arrival. */
export interface ScheduledEvent {
  scheduled_time?: string;
}

/** Names each row that could not be moved; one that is FAILED will not be tried again and counts for the alarm. */
export function reportBadRows(bad: BadRow[]): void {
  for (const row of bad)
    logger.error(row.status === 'FAILED' ? 'DELIVERY_ROW_FAILED' : 'DELIVERY_ROW_RETRY', { ...row });
  const failed = bad.filter(({ status }) => status === 'FAILED').length;
  if (bad.length > 0) metrics.addMetric('billing_delivery_retry_total', 'Count', bad.length - failed);
  if (failed > 0) metrics.addMetric('billing_delivery_failed_total', 'Count', failed);
}

/** The answer of an error that nothing else has answered: what is known in one sentence, the rest in the log only. */
export function errorAnswer(
  error: unknown,
  request_id: string,
): Omit<HttpAnswer, 'body'> & { body: Record<string, unknown> } {
  if (error instanceof KernelError) {
    if (error.status >= 500) logger.error(error.message, { code: error.code, cause: error.cause as Error });
    return { status: error.status, body: { ok: false, error: error.message, code: error.code, request_id } };
  }
  logger.error('An unexpected error.', error as Error);
  return { status: 500, body: { ok: false, error: 'An unexpected error.', code: 'internal', request_id } };
}

function toRequest(event: APIGatewayProxyEventV2): HttpRequest {
  const { headers, requestContext } = event;
  const asked = headers['x-request-id'];
  const userAgent = headers['user-agent'];
  const raw = () => Buffer.from(event.body ?? '', event.isBase64Encoded ? 'base64' : 'utf8');
  return {
    method: requestContext.http.method,
    path: event.rawPath,
    pathParameters: event.pathParameters ?? {},
    query: event.queryStringParameters ?? {},
    headers,
    body: event.isBase64Encoded ? raw().toString('utf8') : (event.body ?? ''),
    raw,
    request_id: asked !== undefined && /^[\w.:-]{1,128}$/.test(asked) ? asked : randomUUID(),
    client_ip: requestContext.http.sourceIp,
    user_agent:
      userAgent === undefined
        ? null
        : userAgent.slice(0, user_agent_length_max).replaceAll('\u0000', '').toWellFormed(),
  };
}
