// The contract of assurance: the jobs that a service starts by its token with what they did, and the doctor.
import * as z from 'zod';
import { errorBody, type Operation, type Reply, requestId } from './contract-operation.ts';
import { count, instant, limit, ok, signedCount, uuid } from './contract-schemas.ts';
import type { ErrorCode } from './errors.ts';
import { orderInput } from './wallet-snapshots.ts';

const stepOf = z
  .strictObject({
    action: z.enum(['credit', 'already_credited', 'reverse', 'already_reversed', 'nothing_left']),
    line_id: z.string().nullable(),
    transfer_id: uuid,
    product_id: z.string(),
    product_version: z.int(),
    quantity: count,
    owner_id: uuid,
    currency: z.string(),
    amount_minor: count,
    hold_id: uuid,
  })
  .partial()
  .required({ action: true })
  .meta({ id: 'EventStep', description: 'What an event does with one line of an order.' });
const planned = z
  .strictObject({
    event_id: z.string(),
    type: z.string(),
    occurred_at: instant,
    action: z.enum(['credit', 'reverse', 'ignore']).optional(),
    steps: z.array(stepOf).optional(),
    error: z.string().optional(),
  })
  .meta({ id: 'PlannedEvent' });
const tally = (figure: z.ZodType) => ({
  ...{ scanned: figure, created: figure, skipped_exists: figure, updated_forced: figure, errors: figure },
});
const migration = z
  .strictObject({
    id: z.string(),
    type: z.enum(['webhook_replay', 'reversal_backfill', 'wallet_snapshots']),
    status: z.enum(['pending', 'running', 'completed', 'failed']),
    startDate: z.iso.date().nullable(),
    endDate: z.iso.date().nullable(),
    processedCount: count,
    errorCount: count,
    totalCount: count,
    createdAt: instant,
    updatedAt: instant,
    completedAt: instant.nullable(),
    createdBy: z.string(),
    error: z.string().nullable(),
    checkpoint: z
      .union([
        z.strictObject({ nth: count, event: z.string() }),
        z.strictObject({
          ...tally(z.int()),
          player_id: uuid.optional(),
          currency: z.string().optional(),
        }),
      ])
      .nullable(),
    metadata: z.union([
      z.strictObject({ dryRun: z.boolean(), maxEvents: z.int() }),
      z.strictObject({
        ...{ dryRun: z.boolean(), tenant_id: z.string(), force: z.boolean(), include_pending: z.boolean() },
        ...{ hash: z.string().nullable(), confirmed: z.boolean() },
      }),
    ]),
  })
  .meta({ id: 'Migration', description: 'A backfill, and how far it came.' });
const item = z
  .strictObject({
    nth: count,
    item: z.string(),
    status: z.enum(['pending', 'done', 'held', 'failed', 'dead']),
    attempts: z.int(),
    result: z
      .strictObject({
        outcome: z.enum(['credit', 'reverse', 'ignore', 'held', 'already_processed']),
        steps: z.array(stepOf),
      })
      .partial()
      .required({ outcome: true })
      .optional(),
    error: z.string().optional(),
    next_attempt_at: instant.optional(),
  })
  .meta({ id: 'MigrationItem' });

interface Job extends Pick<Operation, 'id' | 'summary' | 'description'> {
  path: string;
  failed: string;
  answers: z.core.$ZodLooseShape[];
  input: z.ZodType;
  errors: ErrorCode[];
  mayBeEmpty?: true;
}
/** A job that a service starts with POST; a failure of the job itself says so in its own form. */
/** A job that a service starts by its token. */
export function startedByToken({ path, failed, answers, input, errors, ...words }: Job): Operation {
  const ended = { timestamp: instant, request_id: requestId };
  const failure = (status: number, code: ErrorCode): Reply => ({
    status,
    description: `The job failed: \`${code}\`. What it had done stays; it may be started again.`,
    body: errorBody.extend({
      ...{ error: z.literal(failed), code: z.literal(code), success: z.literal(false) },
      ...{ details: z.string(), timestamp: instant },
    }),
  });
  return {
    ...words,
    method: 'post',
    path: `/api/jobs/${path}`,
    tag: 'assurance',
    caller: 'token',
    body: { 'application/json': input },
    replies: [
      ...answers.map((answer) => ({
        ...{ status: 200, description: 'Done, or as far as the time allowed.' },
        body: z.strictObject({ success: z.literal(true), ...answer, ...ended }),
      })),
      failure(500, 'internal'),
      failure(503, 'ledger_unavailable'),
    ],
    errors: ['disabled', 'invalid_request', ...errors],
  };
}

const day = z.iso.date().meta({ description: 'A UTC day.' });
const eventCounts = { processed: z.int(), errors: z.int(), total: z.int() };
const eventType = z.enum(['webhook_replay', 'reversal_backfill']);
const done = { ok: z.literal(true) };
const jobs: Operation[] = [
  startedByToken({
    ...{
      id: 'reconcileWallets',
      path: 'reconcile',
      summary: 'Reconcile wallets',
      failed: 'Reconciliation failed',
    },
    description: 'Compares every wallet with its entries and heals what a rule can heal; needs a service.',
    mayBeEmpty: true,
    input: z.object({ date: day.nullish() }),
    answers: [
      {
        ok: z.boolean().meta({ description: 'False when a wallet could not be healed.' }),
        date: day,
        run_id: uuid,
        run_no: z.int(),
        status: z.enum(['running', 'completed', 'failed']),
        remaining: z.boolean().meta({ description: 'Whether wallets are left for the next call.' }),
        digest: z.string().meta({ description: 'SHA-256 over the reports of the run.' }),
        results: z.strictObject({
          ...{ total: z.int(), clean: z.int(), adjusted: z.int(), errors: z.int(), totalDelta: signedCount },
        }),
        findings: z.int(),
      },
    ],
    errors: ['conflict'],
  }),
  startedByToken({
    ...{ id: 'backfillEvents', path: 'backfill', summary: 'Apply missed events' },
    failed: 'Backfill operation failed',
    description: 'Applies the events of providers of a range of days, each once; needs a service.',
    input: z
      .object({
        type: eventType.optional(),
        ...{ startDate: day, endDate: day, dryRun: z.boolean().optional() },
        maxEvents: z
          .int()
          .min(1)
          .max(100_000)
          .optional()
          .meta({ description: '1,000 unless said otherwise.' }),
      })
      .meta({ id: 'NewBackfill' }),
    answers: [
      {
        ...done,
        type: eventType,
        status: z.enum(['running', 'completed', 'failed']),
        results: z.strictObject({ migrationId: z.string(), ...eventCounts }),
      },
      {
        ...{ ...done, dry_run: z.literal(true), type: eventType, plan: z.array(planned) },
        results: z.strictObject({ migrationId: z.null(), ...eventCounts }),
      },
    ],
    errors: ['invalid_json'],
  }),
  startedByToken({
    ...{ id: 'backfillWallets', path: 'backfill-wallets', summary: 'Take wallets over' },
    failed: 'Backfill operation failed',
    description:
      'Opens wallets with the balances of the system before; to overwrite needs the hash of a dry run, or confirm. Needs a service.',
    input: orderInput,
    answers: [
      {
        ...{ ...done, migrationId: z.string(), status: z.enum(['running', 'completed', 'failed']) },
        summary: z.strictObject(tally(z.int())),
      },
      {
        ...{ ...done, dry_run: z.literal(true), status: z.literal('planned') },
        summary: z.strictObject({ ...tally(count), hash: z.string() }),
      },
    ],
    errors: ['invalid_json', 'text_invalid', 'conflict', 'migration_not_found'],
  }),
];

type Words = Pick<Operation, 'id' | 'method' | 'path' | 'summary' | 'description'>;
interface Rest extends Partial<Pick<Operation, 'parameters' | 'errors'>> {
  answer: z.ZodType;
  input?: z.ZodType;
}
export function admin({ path, ...words }: Words, { answer, input, errors = [], ...more }: Rest): Operation {
  return {
    ...words,
    ...more,
    path: `/api/admin${path}`,
    tag: 'assurance',
    caller: 'token',
    ...(input && { body: { 'application/json': input } }),
    replies: [{ status: 200, description: 'Done.', body: answer }],
    errors,
  };
}
const createdBefore = z.string().optional().meta({ description: 'The next_cursor of the page before.' });
const afterNth = z.string().optional().meta({ description: 'The nth of the last item before.' });

export const assuranceOperations: Operation[] = [
  ...jobs,
  admin(
    {
      ...{ id: 'listMigrations', method: 'get', path: '/dataMigrations', summary: 'Backfills' },
      description: 'Backfills, newest first; needs a service.',
    },
    {
      answer: ok({ migrations: z.array(migration), next_cursor: z.string().optional() }),
      parameters: { query: z.object({ cursor: createdBefore, limit: limit(50, 200) }) },
      errors: ['invalid_request'],
    },
  ),
  admin(
    {
      ...{ id: 'readMigration', method: 'get', path: '/dataMigrations/{id}', summary: 'A backfill' },
      description: 'A backfill with a page of its items; needs a service.',
    },
    {
      answer: ok({ migration: migration.extend({ items: z.array(item) }).meta({ id: 'MigrationItems' }) }),
      parameters: {
        path: z.object({ id: z.string().meta({ description: 'The migrationId.' }) }),
        query: z.object({ cursor: afterNth, limit: limit(50, 200) }),
      },
      errors: ['migration_not_found', 'invalid_request', 'text_invalid'],
    },
  ),
  admin(
    {
      ...{ id: 'examineMoney', method: 'get', path: '/doctor', summary: 'Every invariant of money' },
      description: 'How often each invariant of money is broken; needs finance.',
    },
    {
      answer: ok({
        healthy: z.boolean(),
        broken: z.int(),
        unexamined: z.int(),
        invariants: z.array(
          z.strictObject({
            invariant: z.string(),
            violations: count
              .nullable()
              .meta({ description: 'Null: the time was over before it was examined.' }),
          }),
        ),
      }),
    },
  ),
];
