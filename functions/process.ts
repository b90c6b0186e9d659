// The payment queue's consumer, and every minute by itself: applies what providers said, asks again about payouts without an answer,
// and lets the mock provider send its webhooks.
import type { APIGatewayProxyEventV2, Context, SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { dataApi } from '../shared/adapters/data-api.ts';
import { signMockPsp } from '../shared/adapters/mockpsp.ts';
import { paymentProviders } from '../shared/adapters/providers.ts';
import { secretsManager } from '../shared/adapters/secrets.ts';
import { ask } from '../shared/ask.ts';
import {
  build_variables,
  database_variables,
  environment,
  type ProcessEnvironment,
} from '../shared/config.ts';
import {
  type Processed,
  processDue,
  processEvents,
  readMessage,
  recheckPayouts,
} from '../shared/payment-events.ts';
import { job, logger, metrics, observed, type ScheduledEvent } from './runtime.ts';

const time_budget_ms = 20_000;
const callback_timeout_ms = 5_000;

const env = environment<ProcessEnvironment>(
  ...build_variables,
  ...database_variables,
  'CRON_SECRET_ARN',
  'PROVIDER_SECRET_ARNS',
  'API_URL',
);
const database = dataApi(env);
const providers = paymentProviders(database, secretsManager(), env.PROVIDER_SECRET_ARNS);

const consume = observed(async ({ Records }: SQSEvent): Promise<SQSBatchResponse> => {
  const messages = Records.map(({ messageId, body }) => ({ messageId, events: readMessage(body) }));
  const batchItemFailures = messages
    .filter(({ events }) => events === null)
    .map(({ messageId }) => ({ itemIdentifier: messageId }));
  if (batchItemFailures.length > 0) logger.error('PAYMENT_MESSAGE_INVALID', { batchItemFailures });
  const named = messages.flatMap(({ events }) => events ?? []);
  if (named.length > 0) report(await processEvents(database, named));
  return { batchItemFailures };
});

const scheduled = job(env, { name: 'process', database }, async () => {
  const sent = await sendCallbacks();
  const done = await processDue(database, Date.now() + time_budget_ms);
  report(done);
  const rechecked = await recheckPayouts(database, providers, Date.now() + time_budget_ms);
  const backlog = (await ask(database, 'payment_backlog()')) as Record<string, string>;
  for (const [name, count] of Object.entries(backlog))
    metrics.addMetric(`payment_events_${name}`, name === 'oldest_s' ? 'Seconds' : 'Count', Number(count));
  return { ok: true, sent, processed: done.length, rechecked, ...backlog };
});

export const handler = (event: SQSEvent | APIGatewayProxyEventV2 | ScheduledEvent, context: Context) =>
  'Records' in event ? consume(event, context) : scheduled(event, context);

function report(done: Processed[]): void {
  for (const { id, outcome, cause } of done) {
    metrics.addMetric(`payment_event_${outcome}_total`, 'Count', 1);
    if (outcome === 'failed' || outcome === 'dead')
      logger.error('PAYMENT_EVENT_FAILED', { id, outcome, cause });
  }
  if (done.length > 0) logger.info('process', { events: done.length });
}

/** The mock provider's own side: it calls back as a real one does, over HTTP and signed; what is not taken comes again. */
async function sendCallbacks(): Promise<number> {
  const due = (await ask(database, 'mockpsp_callbacks(50)')) as { id: string; body: string }[];
  if (due.length === 0) return 0;
  const { webhook_secret } = await providers.secret('mockpsp');
  const taken: string[] = [];
  for (const { id, body } of due) {
    const headers = { 'content-type': 'application/json', ...signMockPsp(body, webhook_secret, Date.now()) };
    const answer = await fetch(`${env.API_URL}/api/v1/payments/webhook/mockpsp`, {
      ...{ method: 'POST', headers, body },
      signal: AbortSignal.timeout(callback_timeout_ms),
    }).catch(() => null);
    if (answer !== null && (answer.ok || answer.status === 422)) taken.push(id);
  }
  if (taken.length > 0) await ask(database, 'mockpsp_sent(:sent::jsonb)', { sent: JSON.stringify(taken) });
  return taken.length;
}
