// Corrections of a frozen invoice: one person proposes, another decides; the booking is a row of the open month.
import * as z from 'zod';
import { json, note, parse } from './administration.ts';
import { KernelError } from './errors.ts';
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
    adjustment: await json(
      database,
      'select propose_adjustment(:ref, :adjustment::jsonb, :actor)::text result',
      { ref, adjustment, actor },
    ),
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
    adjustment: await json(
      database,
      'select decide_adjustment(:ref, :id::uuid, :approve, :actor)::text result',
      { ref, id, approve, actor },
    ),
  };
}

export async function listAdjustments(database: Database, ref: string) {
  const rows = await database.query<{ row: string }>('select row::text from list_adjustments(:ref) row', {
    ref,
  });
  return { adjustments: rows.map(({ row }) => JSON.parse(row)) };
}
