// Every 5 minutes, and at /api/jobs/backfill: applies events of providers that were missed, and tries again what failed.
import { dataApi } from '../shared/adapters/data-api.ts';
import { readStored } from '../shared/adapters/stored-events.ts';
import {
  type Backfill,
  type BackfillOrder,
  beginBackfill,
  openBackfills,
  planBackfill,
  readOrder,
  workOn,
} from '../shared/backfill.ts';
import {
  type BackfillEnvironment,
  build_variables,
  database_variables,
  environment,
} from '../shared/config.ts';
import { readJson } from '../shared/input.ts';
import { importEvents, readHistory } from '../shared/provider-history.ts';
import { tokenVerifier } from '../shared/token.ts';
import { backfillWallets, planWallets, readWalletOrder } from '../shared/wallet-snapshots.ts';
import { type JobResult, logger, metrics } from './runtime.ts';
import { serviceJob } from './service-job.ts';

const schedule_budget_ms = 4 * 60_000;
const history_bytes_max = 1024 * 1024;

const env = environment<BackfillEnvironment>(
  ...build_variables,
  ...database_variables,
  'TOKEN_ISSUER',
  'TOKEN_CLIENT_ID',
);
const database = dataApi(env);
const options = {
  name: 'backfill',
  database,
  verify: tokenVerifier(env.TOKEN_ISSUER, env.TOKEN_CLIENT_ID),
  budget_ms: schedule_budget_ms,
  failed: 'Backfill operation failed',
};

export const handler = serviceJob(env, options, async ({ path, body, by, scheduled_at, until_ms }) => {
  if (scheduled_at) return goOn(until_ms);
  if (path.endsWith('/backfill-wallets')) return takeOver(body, by, until_ms);
  if (path.endsWith('/provider-events')) return takeHistory(body, by);
  const order = readOrder(body);
  if (order.dry_run) return plan(order);
  const { id } = await beginBackfill(database, order, by);
  const { backfill, held } = await workOn(database, id, until_ms);
  report(backfill, held, order);
  return { ok: true, type: order.type, status: backfill.status, results: results(backfill) };
});

/** Events of a provider from a file; `webhook_replay` applies them. */
async function takeHistory(body: string, by: string): Promise<JobResult> {
  const { provider, account, events } = readHistory(readJson(body, history_bytes_max));
  const { created, known } = await importEvents(database, provider, account, readStored(provider, events));
  logger.info('provider_events', { provider, by, created, known });
  return { ok: true, provider, read: events.length, created: Number(created), known: Number(known) };
}

/** Balances of the system before; a call that ends half-way names the migration, with which the next one goes on. */
async function takeOver(body: string, by: string, until_ms: number): Promise<JobResult> {
  const order = readWalletOrder(body);
  if (order.dry_run)
    return { ok: true, dry_run: true, status: 'planned', summary: await planWallets(database, order) };
  const { id, status, summary } = await backfillWallets(database, order, by, until_ms);
  logger.info('backfill_wallets', { id, status, ...summary });
  return { ok: true, migrationId: id, status, summary };
}

async function plan(order: BackfillOrder): Promise<JobResult> {
  const { total, errors, plan: events } = await planBackfill(database, order);
  const counts = { migrationId: null, processed: 0, errors: Number(errors), total: Number(total) };
  return { ok: true, dry_run: true, type: order.type, results: counts, plan: events };
}

/** What a call over HTTP did not finish, and what failed and may be tried again by now. */
async function goOn(until_ms: number): Promise<JobResult> {
  const worked: object[] = [];
  for (const id of await openBackfills(database)) {
    const { backfill, held } = await workOn(database, id, until_ms);
    report(backfill, held);
    worked.push(results(backfill));
  }
  return { ok: true, worked };
}

function results({ id, processedCount, errorCount, totalCount }: Backfill) {
  return {
    migrationId: id,
    processed: Number(processedCount),
    errors: Number(errorCount),
    total: Number(totalCount),
  };
}

function report(backfill: Backfill, held: number, order?: BackfillOrder): void {
  const { processed, errors, total } = results(backfill);
  const { id, type, status } = backfill;
  const window = order && { start: order.start, end: order.end, dry_run: order.dry_run };
  metrics.addMetric('backfill_processed_events', 'Count', processed);
  logger.info('backfill_processed_events', { id, type, status, processed, errors, total, ...window });
  if (errors > 0) {
    metrics.addMetric('backfill_error_rate', 'Percent', (100 * errors) / total);
    logger.error('backfill_error_rate', { id, percent: (100 * errors) / total });
  }
  if (held > 0) {
    metrics.addMetric('reversal_held', 'Count', held);
    logger.error('REVERSAL_HELD', { id, held });
  }
}
