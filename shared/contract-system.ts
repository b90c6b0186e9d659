// The contract of what concerns the kernel itself: health, counters and this description.
import * as z from 'zod';
import type { Operation } from './contract-operation.ts';
import { requestId } from './contract-operation.ts';
import { count, instant, ok } from './contract-schemas.ts';
import { help } from './metrics.ts';

const flat_names = Object.keys(help);
const figure = z.number().nullable();
/** Every counter by its flat name; null when its source did not answer. */
export const metricFields = Object.fromEntries(flat_names.map((name) => [name, figure]));

const health = z
  .strictObject({
    ok: z.boolean(),
    status: z.enum(['healthy', 'read_only']),
    stage: z.string(),
    version: z.string(),
    now: instant,
    request_id: requestId,
  })
  .meta({ id: 'Health' });
export const heartbeat = z
  .strictObject({
    job: z.string(),
    interval_s: z.int(),
    last_ok_at: instant.nullable(),
    last_failed_at: instant.nullable(),
    runs_ok: count,
    runs_failed: count,
    missed: z.boolean().meta({ description: 'No good run for twice its interval.' }),
  })
  .meta({ id: 'Heartbeat' });

/** The last parts of the flat names that begin with the prefix, as the nested form has them. */
const nested = (prefix: string) =>
  z.strictObject(
    Object.fromEntries(
      flat_names
        .filter((name) => name.startsWith(prefix))
        .map((name) => [name.slice(prefix.length).replace(/_total$/, ''), figure]),
    ),
  );

export const systemOperations: Operation[] = [
  {
    id: 'health',
    method: 'get',
    path: '/api/health',
    tag: 'system',
    summary: 'Health',
    description: 'Whether events can be accepted now.',
    caller: 'anyone',
    replies: [
      { status: 200, description: 'Events can be accepted.', body: health },
      { status: 503, description: 'The ledger takes no writes.', body: health },
    ],
    errors: [],
  },
  {
    id: 'metrics',
    method: 'get',
    path: '/api/metrics',
    tag: 'system',
    summary: 'Counters',
    description:
      'Counters that hold over every instance and restart; as text of Prometheus where Accept asks for text/plain.',
    caller: 'cron or token',
    replies: [
      {
        status: 200,
        description: 'The counters, flat and nested by topic.',
        body: ok({
          ...metricFields,
          billing: z.strictObject({
            ingest: nested('billing_ingest_'),
            reconciliation: nested('billing_reconciliation_'),
          }),
          jobs: z.array(heartbeat),
        }),
      },
      { status: 200, description: 'The text form.', body: z.string(), type: 'text/plain' },
    ],
    errors: [],
  },
  {
    id: 'contract',
    method: 'get',
    path: '/openapi.json',
    tag: 'system',
    summary: 'This description',
    description: 'The OpenAPI document of this very deployment.',
    caller: 'anyone',
    replies: [
      { status: 200, description: 'OpenAPI 3.1.', body: z.looseObject({ openapi: z.literal('3.1.0') }) },
    ],
    errors: [],
    ledger: false,
  },
];
