// Feature flags: what is switched on for all, for a share of the subjects, or for one tenant; every change is audited.
import * as z from 'zod';
import { ask, askMany } from './ask.ts';
import { KernelError } from './errors.ts';
import { parse } from './input.ts';
import type { Database } from './ports.ts';

export const tenantInput = z
  .string()
  .regex(/^[A-Za-z0-9_.:-]{1,64}$/, 'must be 1 to 64 letters, digits, dots, colons, hyphens and underscores');
const percentage = 'must be a whole number from 0 to 100';
export const flagInput = z.strictObject(
  {
    value: z.boolean('must be true or false, or null to remove the override of a tenant').nullable(),
    tenant_id: tenantInput.optional(),
    percent: z.int(percentage).min(0, percentage).max(100, percentage).optional(),
  },
  'must be a JSON object',
);

export async function listFlags(database: Database, flag: string | null = null) {
  return { flags: await askMany(database, 'list_flags(:flag)', { flag }) };
}

/** @throws KernelError `not_found` when there is no such flag. */
export async function readFlag(database: Database, flag: string) {
  const { flags } = await listFlags(database, flag);
  if (!flags[0]) throw new KernelError('not_found', 'There is no such flag.');
  return { flag: flags[0] };
}

export async function setFlag(database: Database, flag: string, input: unknown, actor: string) {
  const { value, tenant_id, percent } = parse(flagInput, input);
  const sql = 'set_flag(:flag, :value::boolean, :tenant, :percent::integer, :actor)';
  const tenant = tenant_id ?? null;
  return {
    flag: await ask(database, sql, {
      flag,
      value,
      tenant,
      percent: percent === undefined ? null : String(percent),
      actor,
    }),
  };
}
