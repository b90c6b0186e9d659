// The contract of what operators read of the whole kernel: overview, usage of all sites, jobs, audit log.
import * as z from 'zod';
import type { Operation } from './contract-operation.ts';
import {
  count,
  cursor,
  instant,
  limit,
  month,
  monthParameter,
  ok,
  signedCount,
  siteFields,
  uuid,
} from './contract-schemas.ts';
import { jobStatus } from './contract-site-jobs.ts';
import { heartbeat } from './contract-system.ts';
import { outcome_names } from './metrics.ts';
import { auditFilter, jobFilter } from './overview.ts';
import { levels } from './watchtower.ts';

const admitted = { accepted: count, overage: count, rejected: count };
const overview = z
  .strictObject({
    as_of: instant,
    year_month: month,
    hours: z
      .array(z.strictObject({ hour: instant, ...admitted }))
      .meta({ description: 'The last 24 hours, each by verdict.' }),
    last_24h: z.strictObject(admitted),
    month: z
      .strictObject({ usage: count, ledger: count, drift: signedCount, drifting_sites: count })
      .meta({ description: 'Usage rows against the ledger, all sites.' }),
    lag: z
      .strictObject({
        deliveries: count,
        p50_ms: count.nullable(),
        p95_ms: count.nullable(),
        p99_ms: count.nullable(),
      })
      .meta({ description: 'From the ledger’s commit to the delivered row; of the last 10,000 of a day.' }),
    worst_sites: z.array(
      z.strictObject({
        site_id: uuid,
        public_id: z.string(),
        name: z.string(),
        usage: count,
        ledger: count,
        drift: signedCount,
        waiting_s: count.nullable(),
      }),
    ),
    findings: z.array(
      z.strictObject({
        finding_type: z.string(),
        provider: z.string(),
        severity: z.string(),
        open: count,
        oldest_at: instant,
      }),
    ),
    withdrawals: z
      .array(
        z.strictObject({
          state: z.string(),
          currency: z.string(),
          exponent: z.int(),
          count,
          amount_minor: count,
          oldest_at: instant,
        }),
      )
      .meta({ description: 'Those that are not at their end.' }),
    jobs: z.strictObject({ dead: count, failed: count, stuck: count, waiting: count }),
    checks: z
      .looseObject({ heartbeats: z.array(heartbeat) })
      .meta({ description: 'What watchtower checks, as of the same snapshot.' }),
    judged: z
      .record(z.string(), z.looseObject({ status: z.enum([...levels, 'skipped', 'unknown']) }))
      .meta({ description: 'How grave each of them is, by the watchtower’s names.' }),
    outcomes: z.partialRecord(z.enum(outcome_names), count).nullable().meta({
      description: 'What never became a row, since the beginning; null when the counters did not answer.',
    }),
  })
  .meta({ id: 'Overview' });
const siteUsage = z
  .strictObject({
    ...siteFields,
    usage: z.strictObject({
      year_month: month,
      event_count: count,
      overage_count: count,
      ledger: count,
      rejected: count,
      drift: signedCount,
      limit: count,
      last_event_at: instant.nullable(),
    }),
  })
  .meta({ id: 'SiteWithUsage' });
const siteJob = z
  .strictObject({
    id: count,
    site_id: uuid,
    public_id: z.string(),
    year_month: month,
    status: jobStatus,
    stuck: z.boolean().nullable().meta({ description: 'Its lease has run out.' }),
    attempt_count: z.int(),
    last_error: z.string().nullable(),
    last_drift_pct: z.string().nullable().meta({ description: 'A fraction: 0.01 is 1 %.' }),
    last_result: z.looseObject({}).nullable(),
    lease_until: instant.nullable(),
    next_attempt_at: instant.nullable(),
    updated_at: instant,
  })
  .meta({ id: 'SiteJob' });
const auditEntry = z
  .strictObject({
    id: count,
    created_at: instant,
    actor_type: z.enum(['user', 'service_role', 'cron']),
    actor_id: z.string().nullable(),
    action: z.string(),
    resource_type: z.string(),
    resource_id: z.string().nullable(),
    site_id: uuid.nullable(),
    payload: z.looseObject({}),
  })
  .meta({ id: 'AuditEntry' });
const next_cursor = z.string().nullable();

type Words = Pick<Operation, 'id' | 'path' | 'summary' | 'description'>;
function reads(words: Words, body: z.ZodType, rest: Partial<Operation> = {}): Operation {
  return {
    ...words,
    path: `/api/admin${words.path}`,
    ...{ method: 'get', tag: 'administration', caller: 'token', errors: ['invalid_request'] },
    replies: [{ status: 200, description: 'Found.', body }],
    ...rest,
  };
}

export const overviewOperations: Operation[] = [
  reads(
    {
      ...{ id: 'readOverview', path: '/overview', summary: 'Is it counted, and is it right?' },
      description:
        'One snapshot of usage, ledger, deliveries, findings, withdrawals and jobs; needs finance.',
    },
    ok({ overview }),
    { errors: [] },
  ),
  reads(
    {
      ...{ id: 'listSiteUsage', path: '/usage', summary: 'Usage of all sites' },
      description: 'All sites in order of creation with their usage of a month; needs a platform admin.',
    },
    ok({ sites: z.array(siteUsage), next_cursor }),
    { parameters: { query: z.object({ month: monthParameter, cursor, limit: limit(50, 200) }) } },
  ),
  reads(
    {
      ...{ id: 'listSiteJobs', path: '/jobs', summary: 'Reconciliation jobs of all sites' },
      description:
        'Those in trouble first; STUCK names those whose lease has run out. Needs a platform admin.',
    },
    ok({ jobs: z.array(siteJob) }),
    { parameters: { query: z.object({ ...jobFilter.shape, limit: limit(50, 200) }) } },
  ),
  reads(
    {
      ...{ id: 'listAudit', path: '/audit', summary: 'Audit log' },
      description: 'Who did what, newest first; each filter is exact. Needs a platform admin.',
    },
    ok({ entries: z.array(auditEntry), next_cursor }),
    { parameters: { query: z.object({ ...auditFilter.shape, cursor, limit: limit(50, 200) }) } },
  ),
];
