// The contract of findings: what does not agree between providers and the ledger, what finance does about it, and the runs that look.
import * as z from 'zod';
import { finance } from './contract-finance.ts';
import { currency, declined, neededKey } from './contract-money.ts';
import { errorBody, type Operation } from './contract-operation.ts';
import { instant, limit, ok, signedCount, uuid } from './contract-schemas.ts';
import {
  correctionInput,
  decisionInput,
  findingFilter,
  ownerInput,
  resolveInput,
  severities,
} from './finding.ts';
import { runInput } from './provider-run.ts';

const text = z.string().nullable();
const page = { limit: limit(50, 200), offset: z.int().min(0).max(1_000_000).optional() };
const meta = z.strictObject({ total: z.int(), limit: z.int(), offset: z.int() });
const idPath = (what: string) => z.object({ id: uuid.meta({ description: `The id of the ${what}.` }) });

const findingFields = {
  ...{ id: uuid, provider: z.string(), tenant_id: text, player_id: uuid.nullable(), tx_id: uuid.nullable() },
  ...{ provider_event_id: text, provider_ref: text, finding_type: z.string(), severity: z.enum(severities) },
  ...{ status: z.enum(['OPEN', 'RESOLVED']), message: z.string(), owner: text, reopened_count: z.int() },
  ...{ run_id: uuid.nullable(), resolution: text, accepted: z.boolean(), resolved_by: text },
  ...{ resolved_at: instant.nullable(), seen_at: instant, created_at: instant, updated_at: instant },
  age_s: z.int().nullable().meta({ description: 'How long it has been open; null when it is not.' }),
};
const finding = z.strictObject(findingFields).meta({ id: 'Finding' });
const correction = z
  .strictObject({
    ...{
      id: uuid,
      finding_id: uuid,
      tenant_id: z.string(),
      player_id: uuid,
      delta_minor: signedCount,
      currency,
    },
    state: z.enum(['proposed', 'posted', 'rejected']),
    ...{ reason: z.string(), proposed_by: z.string(), decided_by: text, decided_at: instant.nullable() },
    ...{ decision: text, transfer_id: uuid.nullable(), created_at: instant },
  })
  .meta({ id: 'Correction', description: 'proposed: above the ceiling; waits for somebody else.' });
const wholeFinding = z
  .strictObject({
    ...findingFields,
    raw: z.looseObject({}).meta({ description: 'Both sides, as far as there are two.' }),
    corrections: z.array(correction),
  })
  .meta({ id: 'FindingWithSides' });

const reconciliation = '/payments/reconciliation';
const onFinding = { path: idPath('finding') };
const findings: Operation[] = [
  finance(
    {
      ...{ id: 'listFindings', method: 'get', path: `${reconciliation}/findings`, summary: 'Findings' },
      description: 'What does not agree, newest first; a platform admin without tenant_id sees all tenants.',
    },
    { answer: ok({ items: z.array(finding), meta }), parameters: { query: findingFilter.extend(page) } },
  ),
  finance(
    {
      ...{ id: 'readFinding', method: 'get', path: `${reconciliation}/findings/{id}`, summary: 'A finding' },
      description: 'A finding with both sides and its corrections.',
    },
    { answer: ok({ finding: wholeFinding }), parameters: onFinding, errors: ['FINDING_NOT_FOUND'] },
  ),
  finance(
    {
      ...{ id: 'resolveFinding', method: 'post', path: `${reconciliation}/findings/{id}/resolve` },
      summary: 'Resolve a finding',
      description:
        'With a reason. accept: the difference is known and stays, and does not open it again as long as it says the same.',
    },
    {
      answer: ok({ id: uuid, status: z.literal('RESOLVED'), changed: z.boolean(), finding }),
      ...{ input: resolveInput, parameters: onFinding, errors: ['FINDING_NOT_FOUND'] },
      refusals: declined(['REASON_REQUIRED', 'CORRECTION_PENDING']),
    },
  ),
  finance(
    {
      ...{ id: 'ownFinding', method: 'put', path: `${reconciliation}/findings/{id}/owner` },
      ...{ summary: 'Who works on a finding', description: 'Names who works on it; null: nobody.' },
    },
    {
      answer: ok({ finding }),
      ...{ input: ownerInput, parameters: onFinding, errors: ['FINDING_NOT_FOUND'] },
    },
  ),
  finance(
    {
      ...{ id: 'correctFinding', method: 'post', path: `${reconciliation}/findings/{id}/correction` },
      summary: 'Post a correcting transfer',
      description:
        'Moves money between the player’s wallet and the clearing account, and resolves the finding; above the ceiling of the tenant it waits for somebody else.',
    },
    {
      answer: ok({ correction, finding }),
      input: correctionInput.extend({ currency }),
      keyed: true,
      parameters: { ...onFinding, header: z.object({ 'idempotency-key': neededKey }) },
      errors: ['FINDING_NOT_FOUND', 'IDEMPOTENCY_KEY_REQUIRED'],
      refusals: declined(
        [
          ...(['REASON_REQUIRED', 'CURRENCY_UNKNOWN', 'FINDING_RESOLVED', 'PLAYER_NOT_FOUND'] as const),
          ...(['FOUR_EYES', 'CORRECTION_PENDING', 'INSUFFICIENT_FUNDS', 'IDEMPOTENCY_CONFLICT'] as const),
        ],
        { keyed: true },
      ),
    },
  ),
  finance(
    {
      ...{ id: 'decideCorrection', method: 'post', path: `${reconciliation}/corrections/{id}/decision` },
      ...{ summary: 'Decide a correction', description: 'By somebody other than who proposed it.' },
    },
    {
      answer: ok({ correction, finding }),
      input: decisionInput.extend({ action: z.enum(['approve', 'reject']) }),
      parameters: { path: idPath('correction') },
      errors: ['FINDING_NOT_FOUND'],
      refusals: declined([
        ...(['CORRECTION_NOT_FOUND', 'INVALID_ACTION', 'REASON_REQUIRED', 'FOUR_EYES'] as const),
        ...(['CORRECTION_DECIDED', 'INSUFFICIENT_FUNDS'] as const),
      ]),
    },
  ),
];

const run = z
  .strictObject({
    ...{ id: uuid, provider: z.string(), tenant_id: text },
    status: z.enum(['queued', 'running', 'completed', 'incomplete', 'failed']),
    ...{ window_start: instant, window_end: instant, dry_run: z.boolean(), idempotency_key: text },
    ...{ requested_by: text, created_at: instant, updated_at: instant },
    stats: z.looseObject({}).meta({
      description: 'Counts, differences by type, and of each currency both sums and their drift.',
    }),
    error: z.strictObject({ code: z.string(), message: z.string() }).nullable(),
  })
  .meta({
    id: 'ReconciliationRun',
    description: 'incomplete: the list had a gap, and nothing was concluded.',
  });
const runs: Operation[] = [
  finance(
    {
      ...{ id: 'reconcileProvider', method: 'post', path: `${reconciliation}/run`, summary: 'Reconcile now' },
      description: 'The last day of a provider against the ledger, in this very call.',
    },
    {
      answer: ok({
        status: z.enum(['ok', 'queued', 'running', 'incomplete', 'failed']),
        run: run.nullable(),
      }),
      parameters: { query: z.object({ provider: z.string(), tenant_id: z.string().optional() }) },
      refusals: [
        {
          ...{ status: 400, description: 'Refused: `UNSUPPORTED_PROVIDER`.' },
          body: errorBody.extend({ code: z.literal('UNSUPPORTED_PROVIDER') }),
        },
      ],
    },
  ),
  finance(
    {
      ...{
        id: 'queueProviderRun',
        method: 'post',
        path: '/reconciliation/runs',
        summary: 'Ask for a reconciliation',
      },
      description: 'Of a window of at most 31 days; queued. A dry run finds and writes nothing down.',
    },
    {
      answer: ok({ run }),
      ...{ input: runInput, keyed: true },
      refusals: [
        ...declined(['IDEMPOTENCY_CONFLICT'], { keyed: true }),
        {
          ...{ status: 400, description: 'Refused: `UNSUPPORTED_PROVIDER`.' },
          body: errorBody.extend({ code: z.literal('UNSUPPORTED_PROVIDER') }),
        },
      ],
    },
  ),
  finance(
    {
      ...{ id: 'listProviderRuns', method: 'get', path: '/reconciliation/runs', summary: 'Reconciliations' },
      description: 'Runs over providers, newest first.',
    },
    {
      answer: ok({ items: z.array(run), meta }),
      parameters: {
        query: z.object({ provider: z.string().optional(), tenant_id: z.string().optional(), ...page }),
      },
    },
  ),
  finance(
    {
      ...{
        id: 'readProviderRun',
        method: 'get',
        path: '/reconciliation/runs/{id}',
        summary: 'A reconciliation',
      },
      description: 'A run with what it counted.',
    },
    { answer: ok({ run }), parameters: { path: idPath('run') }, errors: ['RUN_NOT_FOUND'] },
  ),
];

export const findingOperations: Operation[] = [...findings, ...runs].map((operation) => ({
  ...operation,
  tag: 'payments' as const,
}));
