// The canary proof of the release procedure: one reconciliation of the smoke's site, seen from every side, as the block asks for it.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Answer, Api } from './api.ts';
import { type Call, Failure } from './command.ts';
import { knock } from './cron.ts';
import type { SmokeSite } from './smoke-site.ts';
import { type Step, seen } from './smoke-steps.ts';

/** A call works on 50 jobs at most, so the site's turn may be a later one's. */
const CALLS_MAX = 60;
const CALL_EVERY_MS = 500;
const HEADERS_SHOWN = ['content-type', 'x-opsmantik-commit', 'x-opsmantik-branch', 'x-request-id'];
const DRIFT_MAX = 0.01;

type Job = {
  year_month: string;
  status: string;
  last_error: string | null;
  last_drift_pct: number | null;
  updated_at: string;
};
type Figures = Record<'enqueued' | 'processed' | 'completed' | 'failed', number | undefined> & {
  ok?: boolean;
};

/** What fills the block; a value that was not seen stays empty in it. */
export type CanaryProof = {
  status?: string;
  headers?: string;
  body?: string;
  billable?: string;
  usage?: string;
  job?: string;
  drift?: string;
};

function keep(proof: CanaryProof, answer: Answer): void {
  const { enqueued, processed, completed, failed } = (answer.body ?? {}) as Figures;
  const headers = HEADERS_SHOWN.filter((name) => answer.headers.has(name));
  proof.status = String(answer.status);
  proof.headers = headers.map((name) => `${name}: ${answer.headers.get(name)}`).join('; ');
  proof.body = `enqueued=${enqueued}, processed=${processed}, completed=${completed}, failed=${failed}`;
}

async function reconcile(call: Call, api: Api, site: SmokeSite, proof: CanaryProof): Promise<string> {
  const { year_month } = await site.delivered();
  let job: Job | undefined;
  for (let i = 0; i < CALLS_MAX; i += 1) {
    const answer = await knock(call, 'GET', 'reconcile-usage');
    keep(proof, answer);
    const { ok } = (answer.body ?? {}) as Figures;
    if (answer.status !== 200 || ok !== true) throw new Failure(seen(answer));
    const { jobs } = await api.get<{ jobs: Job[] }>(`/api/sites/${site.id}/jobs`);
    job = jobs.find((one) => one.year_month === year_month);
    if (job?.status === 'COMPLETED') break;
    await sleep(CALL_EVERY_MS);
  }
  if (!job) throw new Failure(`no job for the site after ${CALLS_MAX} calls`);
  proof.job = `status=${job.status}, last_error=${job.last_error}, last_drift_pct=${job.last_drift_pct}`;
  if (job.status !== 'COMPLETED' || job.last_error !== null) throw new Failure(proof.job);
  if (Number(job.last_drift_pct) > DRIFT_MAX) throw new Failure(proof.job);
  return `${proof.status} ${proof.body}; ${proof.job}`;
}

async function compare(api: Api, site: SmokeSite, proof: CanaryProof): Promise<string> {
  const { ledger, usage_row, year_month } = await site.usage();
  const { jobs } = await api.get<{ jobs: Job[] }>(`/api/sites/${site.id}/jobs`);
  // The job sets last_synced_at; where the row does not tell it, the job's own end stands for it.
  const synced = usage_row?.last_synced_at ?? jobs.find((one) => one.year_month === year_month)?.updated_at;
  const { event_count, overage_count } = usage_row ?? { event_count: '-', overage_count: '-' };
  proof.billable = ledger.billable;
  proof.usage = `event_count=${event_count}, overage_count=${overage_count}, last_synced_at=${synced ?? '-'}`;
  const found = `billable ${ledger.billable} (${ledger.overage} overage), ${proof.usage}`;
  if (event_count !== ledger.billable || overage_count !== ledger.overage || !synced)
    throw new Failure(found);
  return found;
}

async function watchtower(call: Call, proof: CanaryProof): Promise<string> {
  const answer = await knock(call, 'GET', 'watchtower');
  type Verdict = { ok?: boolean; code?: string; checks?: Record<string, { status: string; count?: number }> };
  const { ok, code, checks = {} } = (answer.body ?? {}) as Verdict;
  const drift = checks.billingReconciliationDriftLast1h;
  if (drift?.count !== undefined) proof.drift = String(drift.count);
  if (answer.status !== 200 || drift?.count === undefined) throw new Failure(seen(answer));
  const wrong = Object.entries(checks).filter(([, check]) => !['ok', 'skipped'].includes(check.status));
  const named = wrong.map(([name, check]) => `${name} ${check.status}`).join(', ');
  const found = `${code}, billingReconciliationDriftLast1h: ${drift.count}${named ? `; ${named}` : ''}`;
  if (ok !== true) throw new Failure(found);
  return found;
}

export function proofSteps(call: Call, api: Api, site: SmokeSite, proof: CanaryProof): Step[] {
  return [
    {
      step: 'reconcile',
      expected: "200, ok: true; the site's job COMPLETED without error and drift",
      run: () => reconcile(call, api, site, proof),
    },
    {
      step: 'ledger = usage row',
      expected: 'event_count and overage_count are those of the ledger',
      run: () => compare(api, site, proof),
    },
    {
      step: 'watchtower',
      expected: '200, ok; billingReconciliationDriftLast1h 0 or low',
      run: () => watchtower(call, proof),
    },
  ];
}

/** The block of the release procedure, in its own layout. */
export function proofBlock({ status, headers, body, billable, usage, job, drift }: CanaryProof): string {
  return `--- PR-4 Canary proof ---

Unified GET /api/cron/reconcile-usage:
  Status: ${status ?? ''}
  Headers (ilk birkaç satır): ${headers ?? ''}
  Body (kısa): ${body ?? ''}

DB (A) billable count: ${billable ?? ''}
DB (B) site_usage_monthly: ${usage ?? ''}

Jobs (canary): ${job ?? ''}

Watchtower billingReconciliationDriftLast1h: ${drift ?? ''}

--- End proof ---`;
}
