// Reconciles payment providers with the ledger: every night, when somebody has asked for a run, and every quarter of an hour what
// webhooks did not bring.
import type { APIGatewayProxyEventV2, Context, SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { dataApi } from '../shared/adapters/data-api.ts';
import { paymentProviders } from '../shared/adapters/providers.ts';
import { secretsManager } from '../shared/adapters/secrets.ts';
import { sqs } from '../shared/adapters/sqs.ts';
import { ask } from '../shared/ask.ts';
import { build_variables, database_variables, environment, type MatchEnvironment } from '../shared/config.ts';
import { KernelError } from '../shared/errors.ts';
import { catchUp } from '../shared/payment-events.ts';
import type { PaymentProvider } from '../shared/ports.ts';
import { lastDay, type Run, requestRun, workOnRun } from '../shared/provider-run.ts';
import { job, logger, metrics, observed, type ScheduledEvent } from './runtime.ts';

const time_budget_ms = 20_000;
const message_max = 100;

const env = environment<MatchEnvironment>(
  ...build_variables,
  ...database_variables,
  'CRON_SECRET_ARN',
  'PROVIDER_SECRET_ARNS',
  'PAYMENT_QUEUE_URL',
);
const database = dataApi(env, { request_timeout_ms: 30_000 });
const providers = paymentProviders(database, secretsManager(), env.PROVIDER_SECRET_ARNS);
const queue = sqs(env.PAYMENT_QUEUE_URL);

const consume = observed(async ({ Records }: SQSEvent): Promise<SQSBatchResponse> => {
  for (const { body } of Records) {
    const run = /^\{"run":"([0-9a-f-]{36})"\}$/.exec(body)?.[1];
    if (run === undefined) logger.error('MATCH_MESSAGE_INVALID', { body: body.slice(0, 200) });
    else report(await workOnRun(database, providers.of, run));
  }
  return { batchItemFailures: [] };
});

const nightly = job(env, { name: 'match', database }, async ({ scheduled_at, path, query }) => {
  const runs: Run[] = [];
  const failed: string[] = [];
  if (!path.endsWith('/catch-up')) {
    for (const { name } of await listable()) {
      const day = scheduled_at.toISOString().slice(0, 10);
      const window_end = `${day}T00:00:00Z`;
      const order = {
        ...lastDay(name, Date.parse(window_end)),
        window_end,
        idempotency_key: `nightly:${day}`,
      };
      await requestRun(database, null, order, 'schedule');
    }
  }
  for (const until = Date.now() + time_budget_ms; Date.now() < until; ) {
    const run = await workOnRun(database, providers.of, null);
    if (run === null) break;
    report(run);
    runs.push(run);
    if (run.status !== 'completed') failed.push(run.provider);
  }
  const { created } = await catchUpAll(requireInstant(query.since));
  await ask(database, 'purge_feed()');
  return { ok: failed.length === 0, runs: runs.length, failed: failed.join(','), caught_up: created };
});

const quarterly = observed(async () => ({ ok: true, ...(await catchUpAll()) }));

/** The schedule of the catch-up says so; everything else is the job. */
type MatchEvent = SQSEvent | APIGatewayProxyEventV2 | (ScheduledEvent & { catch_up?: boolean });
export const handler = (event: MatchEvent, context: Context) => {
  if ('Records' in event) return consume(event, context);
  if ('catch_up' in event && event.catch_up) return quarterly(event, context);
  return nightly(event, context);
};

async function catchUpAll(since?: string): Promise<{ listed: number; created: number }> {
  const total = { listed: 0, created: 0 };
  for (const provider of await listable()) {
    try {
      const { listed, created, due } = await catchUp(database, provider, Date.now(), since);
      total.listed += listed;
      total.created += created;
      for (let from = 0; from < due.length; from += message_max)
        await queue.send(JSON.stringify({ events: due.slice(from, from + message_max) }));
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      logger.error('CATCH_UP_FAILED', { provider: provider.name, cause: error });
      metrics.addMetric('catch_up_failed_total', 'Count', 1);
    }
  }
  if (total.created > 0) metrics.addMetric('webhook_lost_total', 'Count', total.created);
  return total;
}

/** @throws KernelError `invalid_request` */
function requireInstant(since: string | undefined): string | undefined {
  if (since === undefined || !Number.isNaN(Date.parse(since))) return since && new Date(since).toISOString();
  throw new KernelError(
    'invalid_request',
    'The parameter since must be an instant such as 2026-03-01T00:00:00Z.',
  );
}

/** The providers that list what happened, as far as this deployment has an account with them. */
async function listable(): Promise<PaymentProvider[]> {
  const found: PaymentProvider[] = [];
  for (const provider of providers.all())
    if (provider.list && (!provider.configured || (await provider.configured()))) found.push(provider);
  return found;
}

function report(run: Run | null): void {
  if (run === null) return;
  const { id, provider, status, stats } = run;
  metrics.addMetric(`reconciliation_run_${status}_total`, 'Count', 1);
  const differences = Object.values((stats.differences ?? {}) as Record<string, string>);
  metrics.addMetric(
    'provider_differences',
    'Count',
    differences.reduce((sum, count) => sum + Number(count), 0),
  );
  logger.info('match', { id, provider, status, ...stats });
}
