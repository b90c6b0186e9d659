// What payment providers call: each webhook is verified over its raw bytes, kept in the ledger, and only then answered.
import httpRouter from '@middy/http-router';
import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2, Context } from 'aws-lambda';
import { ledger } from '../shared/adapters/ledger.ts';
import { paymentProviders } from '../shared/adapters/providers.ts';
import { secretsManager } from '../shared/adapters/secrets.ts';
import { sqs } from '../shared/adapters/sqs.ts';
import {
  build_variables,
  database_variables,
  environment,
  type WebhookEnvironment,
} from '../shared/config.ts';
import { KernelError } from '../shared/errors.ts';
import { readPayoutWebhook } from '../shared/payout-webhook.ts';
import { type Kept, keep, receiveWebhook, requirePlain } from '../shared/webhook.ts';
import { type HttpAnswer, type HttpRequest, http, logger, metrics, noRoute, systemClock } from './runtime.ts';

const env = environment<WebhookEnvironment>(
  ...build_variables,
  ...database_variables,
  'PROVIDER_SECRET_ARNS',
  'PAYMENT_QUEUE_URL',
);
const database = ledger(env);
const providers = paymentProviders(database, secretsManager(), env.PROVIDER_SECRET_ARNS);
const queue = sqs(env.PAYMENT_QUEUE_URL);

/** Exported for the test that holds them against docs/openapi.json. */
export const routes = [
  {
    method: 'POST' as const,
    path: '/api/v1/payments/webhook/{provider}',
    handler: http(env, counted(receive)),
  },
  {
    method: 'POST' as const,
    path: '/api/v1/finance/withdrawals/payout/webhook',
    handler: http(env, counted(receivePayout)),
  },
  { method: 'ANY' as const, path: '/{proxy+}', handler: http(env, noRoute) },
];
const router = httpRouter<APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2>(routes);
/** The router takes three parameters, which Lambda would take for a callback handler. */
export const handler = (event: APIGatewayProxyEventV2, context: Context) =>
  router(event, context, undefined as never);

async function receive({
  headers,
  raw,
  pathParameters,
  query,
  request_id,
}: HttpRequest): Promise<HttpAnswer> {
  const provider = providers.of(pathParameters.provider ?? '');
  if (!provider) throw new KernelError('UNSUPPORTED_PROVIDER', 'There is no such payment provider.');
  const account = query.account ?? '';
  if (account.length > 128)
    throw new KernelError('invalid_request', 'The account has at most 128 characters.');
  const request = { headers, raw: raw(), now_ms: systemClock.now().getTime() };
  const kept = await receiveWebhook(
    database,
    provider,
    account,
    request,
    await providers.secret(provider.name),
  );
  await announce(kept);
  if (kept.some(({ unknown }) => unknown))
    throw new KernelError('UNKNOWN_PLAYER', 'The webhook names a player or tenant that does not exist.');
  const tx_id = kept[0]?.tx_id;
  const idempotent = kept.every(({ created }) => !created);
  return { status: 200, body: { ok: true, status: 'ok', idempotent, ...(tx_id && { tx_id }), request_id } };
}

async function receivePayout({ headers, raw, request_id }: HttpRequest): Promise<HttpAnswer> {
  const request = { headers, raw: raw(), now_ms: systemClock.now().getTime() };
  requirePlain(request);
  const { provider, event } = await readPayoutWebhook(request, providers);
  const kept = await keep(database, provider, '', 'valid', request.raw, [event]);
  await announce(kept);
  if (kept.some(({ unknown }) => unknown))
    return { status: 200, body: { ok: true, status: 'ok', orphan: true, request_id } };
  const replay = kept.every(({ created }) => !created);
  return { status: 200, body: { ok: true, status: 'ok', replay, request_id } };
}

/** A message that is lost costs a minute: the events are kept, and `process` looks for what nobody named. */
async function announce(kept: Kept[]): Promise<void> {
  const events = kept.filter(({ due }) => due).map(({ id }) => id);
  if (events.length === 0) return;
  await queue.send(JSON.stringify({ events })).catch((cause: unknown) => {
    logger.warn('WEBHOOK_PUBLISH_FAILED', { events, cause: cause as Error });
  });
}

function counted(door: (request: HttpRequest) => Promise<HttpAnswer>) {
  return async (request: HttpRequest) => {
    metrics.addMetric('webhook_received_total', 'Count', 1);
    let refused = 0;
    try {
      return await door(request);
    } catch (error) {
      if (error instanceof KernelError && error.status === 401) {
        refused = 1;
        logger.warn('WEBHOOK_SIGNATURE_INVALID', {
          provider: request.pathParameters.provider,
          code: error.code,
        });
      }
      throw error;
    } finally {
      metrics.addMetric('webhook_signature_invalid_total', 'Count', refused);
    }
  };
}
