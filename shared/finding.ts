// Findings of payments: lists of them, what people do with one, and the correcting transfer that a second person may have to approve.
import * as z from 'zod';
import { ask as read } from './ask.ts';
import { KernelError } from './errors.ts';
import { parse } from './input.ts';
import { parseCurrency } from './money.ts';
import { ask, type MoneyAnswer } from './money-answer.ts';
import type { Database } from './ports.ts';

const uuid = z.uuid('must be a UUID').optional();
const word = z.string().max(128, 'must have at most 128 characters').optional();
export const severities = ['INFO', 'WARN', 'MEDIUM', 'HIGH', 'ERROR', 'CRITICAL'] as const;
export const findingFilter = z.object({
  provider: word,
  status: z.enum(['OPEN', 'RESOLVED'], 'must be OPEN or RESOLVED').optional(),
  tenant_id: word,
  finding_type: word,
  severity: z.enum(severities, `must be one of ${severities.join(', ')}`).optional(),
  owner: word,
  player_id: uuid,
  tx_id: uuid,
  provider_event_id: word,
});
const reason = z.string('must be a text').max(2_000, 'must have at most 2000 characters').optional();
const object = 'must be a JSON object';
export const resolveInput = z.object(
  { reason, accept: z.boolean('must be true or false').default(false) },
  object,
);
export const ownerInput = z.object(
  {
    owner: z.string('must be a text or null').min(1, 'must not be empty').max(200, 'is too long').nullable(),
  },
  object,
);
export const correctionInput = z.object(
  {
    delta_minor: z
      .string('must be a whole number of minor units, as a string')
      .regex(/^-?[1-9]\d{0,18}$/, 'must be a whole number of minor units, as a string'),
    currency: z.unknown(),
    reason,
  },
  object,
);
export const decisionInput = z.object({ action: z.string().optional(), reason }, object);
export const ceilingInput = z.strictObject(
  { units: z.string('must be a string of digits').regex(/^\d{1,15}$/, 'must be a string of digits') },
  object,
);

/** Who works on findings: a tenant's finance, or a platform admin on all of them (tenant null). */
export interface Reviewer {
  tenant: string | null;
  actor: string;
}

type Query = Record<string, string | undefined>;

export async function listFindings(
  database: Database,
  { tenant }: Reviewer,
  query: Query,
  limit: number,
  offset: number,
): Promise<MoneyAnswer> {
  const { items, total } = await read(
    database,
    'list_findings(:tenant, :filter::jsonb, :limit::integer, :offset::integer)',
    {
      tenant,
      filter: JSON.stringify(parse(findingFilter, query)),
      limit: String(limit),
      offset: String(offset),
    },
  );
  return { outcome: 'done', items, meta: { total, limit, offset } };
}

export async function readFinding(
  database: Database,
  { tenant }: Reviewer,
  id: string,
): Promise<MoneyAnswer> {
  const finding = await read(database, 'read_finding(:tenant, :id::uuid)', { tenant, id: findingId(id) });
  if (finding === null) throw new KernelError('FINDING_NOT_FOUND', 'There is no such finding.');
  return { outcome: 'done', finding };
}

/** Answers id and status beside the finding. */
export async function resolveFinding(
  database: Database,
  { tenant, actor }: Reviewer,
  id: string,
  input: unknown,
) {
  const { reason: why = '', accept } = parse(resolveInput, input);
  const call = { tenant, actor, id: findingId(id), reason: why, accept };
  const answer = await ask(database, 'resolve_finding(:tenant, :actor, :id::uuid, :reason, :accept)', call);
  if (answer.outcome !== 'done') return answer;
  return { ...answer, id, status: (answer.finding as { status: string }).status };
}

export const ownFinding = (database: Database, { tenant, actor }: Reviewer, id: string, input: unknown) =>
  ask(database, 'own_finding(:tenant, :actor, :id::uuid, :owner)', {
    ...{ tenant, actor, id: findingId(id) },
    owner: parse(ownerInput, input).owner,
  });

export async function correctFinding(
  database: Database,
  { tenant, actor }: Reviewer,
  id: string,
  key: string,
  input: unknown,
): Promise<MoneyAnswer> {
  const { delta_minor, currency, reason: why = '' } = parse(correctionInput, input);
  if (BigInt.asIntN(64, BigInt(delta_minor)) !== BigInt(delta_minor))
    throw new KernelError('invalid_request', 'The field delta_minor is out of range.');
  const body = JSON.stringify({ delta_minor, currency: parseCurrency(currency), reason: why.trim() });
  const call = { tenant, actor, key, id: findingId(id), body };
  return ask(database, 'correct_finding(:tenant, :actor, :key, :id::uuid, :body::jsonb)', call);
}

export async function decideCorrection(
  database: Database,
  { tenant, actor }: Reviewer,
  id: string,
  input: unknown,
): Promise<MoneyAnswer> {
  const { action = '', reason: why = '' } = parse(decisionInput, input);
  if (!z.uuid().safeParse(id).success)
    throw new KernelError('CORRECTION_NOT_FOUND', 'There is no such correction.');
  const call = { tenant, actor, id, action, reason: why };
  return ask(database, 'decide_correction(:tenant, :actor, :id::uuid, :action, :reason)', call);
}

export const setCeiling = (database: Database, tenant: string, actor: string, input: unknown) =>
  ask(database, 'set_correction_ceiling(:tenant, :units::bigint, :actor)', {
    tenant,
    units: parse(ceilingInput, input).units,
    actor,
  });

/** @throws KernelError `FINDING_NOT_FOUND` when the path does not hold a UUID: then there is no such finding. */
function findingId(id: string): string {
  if (z.uuid().safeParse(id).success) return id;
  throw new KernelError('FINDING_NOT_FOUND', 'There is no such finding.');
}
