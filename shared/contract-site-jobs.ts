// The contract of a site's reconciliation jobs: what became of each month, and the wish to have one looked at again.
import * as z from 'zod';
import type { Operation } from './contract-operation.ts';
import { count, instant, month, ok } from './contract-schemas.ts';
import { ofSite } from './contract-sites.ts';
import { jobInput } from './site-api.ts';

export const jobStatus = z.enum(['QUEUED', 'PROCESSING', 'COMPLETED', 'FAILED', 'DEAD']);
const reconciliationJob = z
  .strictObject({
    id: count,
    year_month: month,
    status: jobStatus,
    attempt_count: z.int(),
    last_error: z.string().nullable(),
    last_drift_pct: z.number().nullable().meta({ description: 'A fraction: 0.01 is 1 %.' }),
    last_result: z.looseObject({}).nullable(),
    next_attempt_at: instant.nullable(),
    updated_at: instant,
  })
  .meta({ id: 'ReconciliationJob' });

export const siteJobOperations: Operation[] = [
  ofSite('/{ref}/jobs', ok({ jobs: z.array(reconciliationJob) }), {
    id: 'listJobs',
    summary: 'Reconciliation jobs',
    description: 'The site’s reconciliation jobs, newest month first, at most 120; needs queue:operate.',
  }),
  ofSite(
    '/{ref}/jobs',
    ok({
      queued: z
        .boolean()
        .meta({ description: 'False when it was queued or at work already, or has no usage.' }),
      job: z
        .strictObject({ status: jobStatus, next_attempt_at: instant })
        .nullable()
        .meta({ description: 'Null for a month without usage.' }),
    }),
    {
      id: 'requestJob',
      summary: 'Reconcile a month again',
      description:
        'Queues an open month, also one whose job was given up; the next scheduled run takes it up. Needs queue:operate.',
    },
    {
      method: 'post',
      body: { 'application/json': jobInput },
      errors: ['invalid_json', 'invalid_request', 'text_invalid', 'payload_too_large', 'month_frozen'],
    },
  ),
];
