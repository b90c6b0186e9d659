// Corrections of a frozen invoice: one person proposes, another decides; the booking is a row of the open month.
import * as z from 'zod';
import { note } from './administration.ts';
import { ask, askMany } from './ask.ts';
import { KernelError } from './errors.ts';
import { parse } from './input.ts';
import type { Database } from './ports.ts';

const whole_signed = 'must be a whole number, with a minus sign where it is a credit';
const delta = z
  .union([z.string(), z.int(whole_signed)], whole_signed)
  .transform(String)
  .refine((value) => /^-?\d{1,13}$/.test(value), whole_signed);
export const adjustmentInput = z.strictObject(
  {
    corrects_month: z.string().regex(/^20\d{2}-(0[1-9]|1[0-2])$/, 'must be a month YYYY-MM'),
    event_delta: delta,
    overage_delta: delta.optional(),
    reason: note,
  },
  'must be a JSON object',
);
export const decisionInput = z.strictObject(
  { decision: z.enum(['approved', 'rejected'], 'must be approved or rejected') },
  'must be a JSON object',
);

/** Proposes a correction of a frozen month; somebody else approves it. */
export async function proposeAdjustment(database: Database, ref: string, input: unknown, actor: string) {
  const adjustment = JSON.stringify(parse(adjustmentInput, input));
  return {
    adjustment: await ask(database, 'propose_adjustment(:ref, :adjustment::jsonb, :actor)', {
      ref,
      adjustment,
      actor,
    }),
  };
}

export async function decideAdjustment(
  database: Database,
  ref: string,
  id: string,
  input: unknown,
  actor: string,
) {
  if (!z.uuid().safeParse(id).success)
    throw new KernelError('adjustment_not_found', 'The site has no such proposal.');
  const approve = parse(decisionInput, input).decision === 'approved';
  return {
    adjustment: await ask(database, 'decide_adjustment(:ref, :id::uuid, :approve, :actor)', {
      ref,
      id,
      approve,
      actor,
    }),
  };
}

export async function listAdjustments(database: Database, ref: string) {
  return { adjustments: await askMany(database, 'list_adjustments(:ref)', { ref }) };
}
