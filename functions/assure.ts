// Every day at 02:00 UTC, and at /api/jobs/reconcile: every wallet against its entries, and what must agree with the ledger.
import { ledger } from '../shared/adapters/ledger.ts';
import {
  checkInvariants,
  readDate,
  readReports,
  reconcileWallets,
  type WalletRun,
} from '../shared/assurance.ts';
import {
  type AssureEnvironment,
  build_variables,
  database_variables,
  environment,
} from '../shared/config.ts';
import { tokenVerifier } from '../shared/token.ts';
import { logger, metrics } from './runtime.ts';
import { serviceJob } from './service-job.ts';

const schedule_budget_ms = 13 * 60_000;
/** The Data API ends a statement after 45 s. */
const page_timeout_ms = 44_000;
const reports_logged_max = 200;

const env = environment<AssureEnvironment>(
  ...build_variables,
  ...database_variables,
  'TOKEN_ISSUER',
  'TOKEN_CLIENT_ID',
);
const database = ledger(env, { request_timeout_ms: page_timeout_ms });
const options = {
  name: 'assure',
  database,
  verify: tokenVerifier(env.TOKEN_ISSUER, env.TOKEN_CLIENT_ID),
  budget_ms: schedule_budget_ms,
  failed: 'Reconciliation failed',
};

export const handler = serviceJob(env, options, async ({ body, by, scheduled_at, until_ms }) => {
  const day = scheduled_at?.toISOString().slice(0, 10) ?? null;
  const run = await reconcileWallets(database, {
    date: day ?? readDate(body),
    by,
    key: day && `schedule-${day}`, // a run that the scheduler repeats is the same run
    until_ms,
  });
  const remaining = run.status === 'running';
  const invariants = remaining ? null : await checkInvariants(database);
  if (!remaining) await report(run, invariants?.findings ?? '0');
  const { run_id, run_no, date, digest, status } = run;
  return {
    ok: run.status !== 'failed',
    date,
    run_id,
    run_no,
    status,
    remaining,
    digest,
    results: {
      total: Number(run.total),
      clean: Number(run.clean),
      adjusted: Number(run.adjusted),
      errors: Number(run.errors),
      totalDelta: run.total_delta,
    },
    findings: Number(invariants?.findings ?? 0),
  };
});

async function report(run: WalletRun, findings: string): Promise<void> {
  const { run_id, date, total, clean, adjusted, errors, total_delta, digest } = run;
  const drifted = BigInt(adjusted) + BigInt(errors);
  if (drifted > 0n) {
    for (const one of (await readReports(database, run, reports_logged_max)).slice(1)) {
      const {
        owner_id: uid,
        delta,
        wallet_before,
        wallet_after,
        ledger_count,
        report_id,
        status,
        drift,
      } = one;
      logger.warn('[reconciliation] User reconciled', {
        component: 'recon',
        ...{ uid, delta, wallet_before, wallet_after, ledger_count, report_id, status, drift },
      });
    }
    metrics.addMetric('wallet_invariant_violations', 'Count', Number(drifted));
  }
  if (BigInt(findings) > 0n) logger.error('WALLET_INVARIANT_FINDINGS', { date, findings });
  if (total_delta !== '0')
    metrics.addMetric('reconciliation_adjustment_amount', 'Count', Number(total_delta));
  metrics.addMetric('reconciliation_daily', 'Count', 1);
  logger.info('reconciliation_daily', {
    component: 'recon',
    ...{ run_id, date, total, clean, adjusted, errors, total_delta, digest, findings },
  });
}
