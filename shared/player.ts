// Players: registration, what finance knows of them, their balance, their limits, and corrections by a person.
import * as z from 'zod';
import { KernelError } from './errors.ts';
import { tenantInput } from './flag.ts';
import { parse } from './input.ts';
import { parseCurrency } from './money.ts';
import { ask, type MoneyAnswer, type Staff } from './money-answer.ts';
import type { Database } from './ports.ts';

export const default_currency = 'USD';
export const default_tenant = 'default';
const object = 'must be a JSON object';
const minor = 'must be a whole number of minor units, as a string of digits or a safe integer';
const whole = z
  .union([z.string(), z.int(minor)], minor)
  .transform(String)
  .refine((value) => /^-?\d{1,19}$/.test(value), minor);

export const registration = z.object({ tenant_id: tenantInput.optional() }, object);
const decision = 'must be approved or rejected';
export const kycInput = z.object(
  {
    decision: z.enum(['approved', 'rejected', 'approve', 'reject'], decision),
    reason: z.string('must be a text').max(2_000).optional(),
  },
  object,
);
const yes_or_no = z.boolean('must be true or false').optional();
export const verificationInput = z.strictObject(
  { email_verified: yes_or_no, sms_verified: yes_or_no },
  object,
);
export const legacyInput = z.strictObject(
  {
    rows: z
      .array(
        z.strictObject({
          player_id: z.uuid('must be a UUID'),
          currency: z.string().optional(),
          available: whole,
          held: whole.optional(),
        }),
        'must be a list',
      )
      .min(1, 'must hold at least one row')
      .max(1_000, 'must hold at most 1000 rows'),
  },
  object,
);
const limit = z.int('must be a whole number').min(0, 'must not be below 0').optional();
export const policyInput = z.strictObject(
  {
    withdrawals_per_minute: limit,
    daily_deposit_units: limit,
    daily_withdrawal_units: limit,
    unverified_daily_deposit_units: limit,
    payout_retries: limit,
    payout_cooldown_s: limit,
  },
  object,
);
export const adjustment = z.object(
  {
    player_id: z.uuid('must be a UUID'),
    delta: whole.optional(),
    delta_minor: whole.optional(),
    currency: z.string().optional(),
    reason: z.string().max(2_000, 'must have at most 2000 characters').optional(),
  },
  object,
);

export const register = (database: Database, player: string, input: unknown) =>
  ask(database, 'register_player(:player::uuid, :tenant)', {
    player,
    tenant: parse(registration, input).tenant_id ?? null,
  });

export const submitKyc = (database: Database, player: string) =>
  ask(database, 'submit_kyc(:player::uuid)', { player });

export function decideKyc(database: Database, staff: Staff, player: string, input: unknown) {
  const { decision, reason } = parse(kycInput, input);
  const kyc_status = decision.startsWith('approve') ? 'approved' : 'rejected';
  return changePlayer(database, staff, player, { kyc_status, reason });
}

export const verifyPlayer = (database: Database, staff: Staff, player: string, input: unknown) =>
  changePlayer(database, staff, player, parse(verificationInput, input));

function changePlayer(database: Database, { tenant, actor }: Staff, player: string, change: object) {
  return ask(database, 'change_player(:tenant, :actor, :player::uuid, :change::jsonb)', {
    tenant,
    actor,
    player: requireId(player, 'PLAYER_NOT_FOUND'),
    change: JSON.stringify(change),
  });
}

export const readBalance = (database: Database, player: string, currency: string | undefined) =>
  ask(database, 'read_wallet(:player::uuid, :currency)', {
    player,
    currency: parseCurrency(currency ?? default_currency),
  });

export const readPlayer = (database: Database, { tenant }: Staff, player: string) =>
  ask(database, 'read_player(:tenant, :player::uuid)', {
    tenant,
    player: requireId(player, 'PLAYER_NOT_FOUND'),
  });

/** A correction: `delta_minor`, or `delta` with the same meaning, is in minor units and below zero takes away. */
export async function adjust(
  database: Database,
  { tenant, actor }: Staff,
  key: string,
  input: unknown,
): Promise<MoneyAnswer> {
  const {
    delta,
    delta_minor = delta,
    reason,
    currency = default_currency,
    player_id,
  } = parse(adjustment, input);
  if (
    delta_minor === undefined ||
    BigInt(delta_minor) === 0n ||
    BigInt.asIntN(64, BigInt(delta_minor)) !== BigInt(delta_minor)
  ) {
    throw new KernelError('invalid_request', `The field delta_minor ${minor}, and not 0.`);
  }
  const body = {
    player_id,
    delta_minor: String(BigInt(delta_minor)),
    currency: parseCurrency(currency),
    reason: reason?.trim() ?? '',
  };
  const answer = await ask(database, 'adjust_player(:tenant, :actor, :key, :body::jsonb)', {
    tenant,
    actor,
    key,
    body: JSON.stringify(body),
  });
  return { ...answer, idempotent_replay: answer.replayed === true };
}

export async function importLegacy(database: Database, { tenant, actor }: Staff, input: unknown) {
  const [row] = await database.query<{ imported: string }>(
    'select import_legacy_balances(:tenant, :actor, :rows::jsonb)::text imported',
    { tenant, actor, rows: JSON.stringify(parse(legacyInput, input).rows) },
  );
  return { outcome: 'done' as const, imported: row?.imported };
}

export async function setPolicy(database: Database, { tenant, actor }: Staff, input: unknown) {
  const policy = await ask(database, 'set_money_policy(:tenant, :policy::jsonb, :actor)', {
    tenant,
    actor,
    policy: JSON.stringify(parse(policyInput, input)),
  });
  return { outcome: 'done' as const, policy };
}

export async function readPolicy(database: Database, { tenant }: Staff) {
  return {
    outcome: 'done' as const,
    policy: await ask(database, 'to_jsonb(money_policy(:tenant))', { tenant }),
  };
}

/** @throws KernelError with this code when the path does not hold a UUID: then there is no such thing. */
export function requireId(id: string, code: 'PLAYER_NOT_FOUND' | 'TX_NOT_FOUND'): string {
  if (z.uuid().safeParse(id).success) return id;
  throw new KernelError(code, 'There is nothing with this id.');
}
