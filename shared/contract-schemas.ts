// The values that answers are made of, each with a name; counts are decimal strings, so that no reader rounds them.
import * as z from 'zod';
import { requestId } from './contract-operation.ts';

export const count = z
  .string()
  .regex(/^\d+$/)
  .meta({ id: 'Count', description: 'A whole number as a decimal string.', example: '1000' });
export const signedCount = z
  .string()
  .regex(/^-?\d+$/)
  .meta({
    id: 'SignedCount',
    description: 'A whole number as a decimal string, with a minus sign when below 0.',
  });
export const decimal = z
  .string()
  .regex(/^\d+(\.\d+)?$/)
  .meta({ id: 'Decimal', description: 'A number as a decimal string.', example: '1.5' });
export const instant = z.iso
  .datetime()
  .meta({ id: 'Instant', description: 'An instant in UTC.', example: '2026-03-01T00:00:00.000000Z' });
export const month = z
  .string()
  .regex(/^\d{4}-(0[1-9]|1[0-2])$/)
  .meta({ id: 'Month', description: 'A UTC month.', example: '2026-03' });
export const hash = z
  .string()
  .regex(/^[0-9a-f]{64}$/)
  .meta({ id: 'Hash', description: 'A SHA-256 in lower-case hex.' });
export const uuid = z.uuid().meta({ id: 'Uuid' });

/** The body of an answer that went well. */
export function ok<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  return z.strictObject({ ok: z.literal(true), ...shape, request_id: requestId });
}

/** The parameter of a path that names a site. */
export const ref = z
  .string()
  .min(1)
  .meta({ description: 'Public id or UUID of the site.', param: { id: 'Site' } });
export const siteOnly = z.object({ ref });

export const cursor = z
  .string()
  .optional()
  .meta({ description: 'The next_cursor of the page before.', param: { id: 'Cursor' } });
export const limit = (usual: number, max: number) =>
  z
    .int()
    .min(1)
    .max(max)
    .optional()
    .meta({ description: `Rows of a page; ${usual} unless said otherwise.` });
export const monthParameter = month
  .optional()
  .meta({ description: 'A UTC month; the current one unless said otherwise.' });

const planFields = {
  plan_tier: z.string(),
  monthly_limit: count,
  soft_limit_enabled: z.boolean(),
  hard_cap_multiplier: decimal,
  billing_policy: z.enum(['all', 'by_kind']),
};
export const plan = z
  .strictObject(planFields)
  .meta({ id: 'Plan', description: 'What a site may use in a month.' });
export const planInForce = z
  .strictObject({
    ...planFields,
    billing_enforcement: z.boolean().meta({ description: 'Whether quotas refuse anything at this site.' }),
    unblock: z.strictObject({ monthly_limit: count, until: instant }).nullable(),
  })
  .meta({ id: 'PlanInForce', description: 'The plan, and the raised limit while an unblock runs.' });

const siteStatus = z.enum(['active', 'closed']);
export const siteFields = {
  id: uuid,
  public_id: z.string(),
  name: z.string(),
  origins: z.array(z.string()),
  status: siteStatus,
  user_id: uuid.nullable(),
  rate_limit: z
    .int()
    .nullable()
    .meta({ description: 'Requests of one client in a minute; null is the usual limit.' }),
  billing_enforcement: z.boolean(),
  key_version: z.int(),
  created_at: instant,
  live_keys: z.int(),
  plan,
};
export const site = z.strictObject(siteFields).meta({ id: 'Site' });
export const siteAccess = z
  .strictObject({
    id: uuid,
    public_id: z.string(),
    name: z.string(),
    status: siteStatus,
    created_at: instant,
    role: z.enum(['owner', 'admin', 'operator', 'analyst', 'billing']),
    capabilities: z.array(z.enum(['site:write', 'members:manage', 'queue:operate', 'billing:view'])),
  })
  .meta({ id: 'SiteAccess', description: 'A site, and what the caller may do there.' });

export const usageFields = {
  site_id: uuid,
  public_id: z.string(),
  year_month: month,
  ledger: z
    .strictObject({ billable: count, overage: count, rejected: count, rows: count })
    .meta({ description: 'The authority: invoices are counted here.' }),
  usage_row: z
    .strictObject({ event_count: count, overage_count: count })
    .nullable()
    .meta({ description: 'What the quota reads; written in the ledger’s own commit.' }),
  events: z.strictObject({ delivered: count }),
  outbox: z.strictObject({ waiting: count }),
  limit: count,
  counter: z.strictObject({ used: count, as_of: count }).nullable().meta({
    description: 'The fast counter; null when it is missing or did not answer. It decides nothing.',
  }),
  drift: signedCount.meta({ description: 'Usage row minus ledger.' }),
};
