// A job that a service starts by its token with POST, and the scheduler by IAM; a switched-off job does nothing and says so.
import type { APIGatewayProxyEventV2, Context } from 'aws-lambda';
import type { BaseEnvironment } from '../shared/config.ts';
import { KernelError } from '../shared/errors.ts';
import type { Database } from '../shared/ports.ts';
import { requireService, type TokenVerifier } from '../shared/token.ts';
import {
  beat,
  errorAnswer,
  http,
  type JobResult,
  logger,
  observed,
  type ScheduledEvent,
  systemClock,
  withHeartbeat,
} from './runtime.ts';

/** Below the 29 s in which an HTTP caller must be answered; what is left, the next call takes up. */
const http_budget_ms = 20_000;

export interface ServiceCall {
  /** Subject of the token, or `schedule`. */
  by: string;
  /** Of an HTTP call; empty on a schedule. */
  path: string;
  body: string;
  /** Null for a call over HTTP: when the schedule meant the job to run. */
  scheduled_at: Date | null;
  until_ms: number;
}

export interface ServiceJobOptions {
  name: string;
  database: Database;
  verify: TokenVerifier;
  /** How long a scheduled run may take. */
  budget_ms: number;
  /** What the answer of an unexpected failure calls it. */
  failed: string;
}

/** Makes a handler of a job whose runs leave a heartbeat. */
export function serviceJob(
  environment: BaseEnvironment,
  { name, database, verify, budget_ms, failed }: ServiceJobOptions,
  run: (call: ServiceCall) => Promise<JobResult>,
) {
  const beating = withHeartbeat({ name, database, isRefusal }, run);
  const door = http(environment, async ({ method, path, headers, body, request_id }) => {
    if (method !== 'POST')
      throw new KernelError(
        'method_not_allowed',
        `${method} is not allowed here; the job is started with POST.`,
      );
    const identity = await verify(headers.authorization);
    requireService(identity);
    const timestamp = systemClock.now().toISOString();
    const call = {
      by: identity.subject,
      path,
      body,
      scheduled_at: null,
      until_ms: Date.now() + http_budget_ms,
    };
    try {
      const result = await beating(call);
      return {
        status: 200,
        headers: { 'cache-control': 'no-store' },
        body: { ...result, success: true, timestamp, request_id },
      };
    } catch (error) {
      const { status, body: told } = errorAnswer(error, request_id);
      if (isRefusal(error)) return { status, body: told };
      return { status, body: { ...told, success: false, error: failed, details: told.error, timestamp } };
    }
  });
  const scheduled = observed(async ({ scheduled_time }: ScheduledEvent): Promise<JobResult> => {
    const scheduled_at = scheduled_time === undefined ? systemClock.now() : new Date(scheduled_time);
    const call = { by: 'schedule', path: '', body: '', scheduled_at, until_ms: Date.now() + budget_ms };
    return beating(call).catch(async (error: unknown) => {
      if (!(error instanceof KernelError && error.code === 'disabled')) throw error;
      logger.warn('JOB_DISABLED', { job: name });
      await beat(database, name, true, { disabled: true }); // switched off on purpose is not a missed heartbeat
      return { ok: true, disabled: true };
    });
  });
  return (event: APIGatewayProxyEventV2 | ScheduledEvent, context: Context) =>
    'requestContext' in event ? door(event, context) : scheduled(event, context);
}

/** The caller's mistake, or a job that is switched off: no failure of the job. */
function isRefusal(error: unknown): boolean {
  return error instanceof KernelError && (error.status < 500 || error.code === 'disabled');
}
