// The measured process: does one piece of the kernel's own work and says how long it took and how much memory it needed.

import { dataApi } from '../shared/adapters/data-api.ts';
import { usageCounter } from '../shared/adapters/dynamodb.ts';
import { s3 } from '../shared/adapters/s3.ts';
import { checkInvariants, reconcileWallets } from '../shared/assurance.ts';
import { beginBackfill, workOn } from '../shared/backfill.ts';
import { database_variables, environment, type ReconcileEnvironment } from '../shared/config.ts';
import { buildExport } from '../shared/dispute.ts';
import { enqueue, type JobResult, runJobs } from '../shared/reconciliation.ts';
import type { Outcome } from './large-ledger.ts';

/** The Data API ends a statement after 45 s. */
const request_timeout_ms = 44_000;

const [what, ...args] = process.argv.slice(2);
const env = environment<ReconcileEnvironment>(...database_variables, 'USAGE_TABLE');
const database = dataApi(env, { request_timeout_ms });
const works: Record<string, (given: string[]) => Promise<Outcome>> = {
  export: exportOf,
  reconcile: reconcileAll,
  wallets: reconcileEveryWallet,
  replay: replayEvents,
};
const work = works[what ?? ''];
if (!work) throw new Error('There is no such work.');
process.stdout.write(JSON.stringify(await work(args)));

/** The first export is a small one, so that code and connections are not taken for what the large one needs. */
async function exportOf([small = '', large = '']: string[]): Promise<Outcome> {
  const build = (id: string) => buildExport(database, s3('exports'), s3('evidence'), id);
  await build(small);
  const { outcome: built, ...figures } = await measure(() => build(large));
  if (!built) throw new Error('There was nothing to export.');
  return {
    ...figures,
    rows: String(built.row_count),
    bytes: String(built.bytes),
    export_hash: built.export_hash,
  };
}

async function reconcileAll(): Promise<Outcome> {
  const counter = usageCounter(env.USAGE_TABLE);
  await database.query('select reconciliation_summary()::text summary');
  const { outcome: results, ...figures } = await measure(async () => {
    const found: JobResult[] = [];
    await enqueue(database);
    for (;;) {
      const done = await runJobs(database, counter, Number.POSITIVE_INFINITY);
      if (done.length === 0) return found;
      found.push(...done);
    }
  });
  const wrong = results.filter(
    ({ status, usage_delta, undelivered, ledgerless }) =>
      status !== 'COMPLETED' || [usage_delta, undelivered, ledgerless].some((count) => count !== '0'),
  );
  const rows = results.reduce((sum, { billable = '0' }) => sum + BigInt(billable), 0n);
  return { ...figures, rows: String(rows), jobs: results.length, wrong: wrong.length };
}

/** What the daily job does, in its order. */
async function reconcileEveryWallet(): Promise<Outcome> {
  await database.query('select id from open_migrations() id');
  const { outcome: run, ...figures } = await measure(() =>
    reconcileWallets(database, { date: null, by: 'bench', key: null, until_ms: Number.POSITIVE_INFINITY }),
  );
  const { outcome: invariants, seconds: invariants_seconds } = await measure(() => checkInvariants(database));
  const wrong = BigInt(run.adjusted) + BigInt(run.errors) + BigInt(invariants.findings);
  return { ...figures, rows: run.total, wrong: String(wrong), invariants_seconds };
}

async function replayEvents([day = '', events = '']: string[]): Promise<Outcome> {
  const order = {
    type: 'webhook_replay' as const,
    start: day,
    end: day,
    dry_run: false,
    events: Number(events),
  };
  await database.query('select id from open_migrations() id');
  const { outcome, ...figures } = await measure(async () => {
    const { id } = await beginBackfill(database, order, 'bench');
    return workOn(database, id, Number.POSITIVE_INFINITY);
  });
  return { ...figures, rows: outcome.backfill.processedCount };
}

async function measure<T>(work: () => Promise<T>) {
  const before = process.memoryUsage.rss();
  const started = performance.now();
  const outcome = await work();
  const seconds = (performance.now() - started) / 1_000;
  return { outcome, seconds, growth: process.resourceUsage().maxRSS * 1_024 - before };
}
