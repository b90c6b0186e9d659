// The operator's verbs: sites, plans, API keys, usage; each is one SQL function, audited in its own commit.
import { randomBytes } from 'node:crypto';
import * as z from 'zod';
import { ask } from './ask.ts';
import { KernelError } from './errors.ts';
import { parse, readCursor, writeCursor } from './input.ts';
import type { Database, UsageCounter } from './ports.ts';
import { apiKeyHash } from './site.ts';

const key_prefix_length = 12;

// Every message goes on where "The field …" begins.
const count_max = 10n ** 12n;
const whole = `must be a whole number from 0 to ${count_max}`;
const count = z
  .union([z.string(), z.number()], whole)
  .transform(String)
  .refine((value) => /^\d{1,13}$/.test(value) && BigInt(value) <= count_max, whole);
const factor = 'must be a number from 1 to 1000 with at most 3 decimals';
const multiplier = z
  .union([z.string(), z.number()], factor)
  .transform(String)
  .refine((value) => /^\d{1,4}(\.\d{1,3})?$/.test(value) && +value >= 1 && +value <= 1000, factor);
const text = (length_max: number) => {
  const sentence = `must be a text of 1 to ${length_max} characters`;
  return z.string(sentence).trim().min(1, sentence).max(length_max, sentence);
};
const rate = 'must be a whole number from 1 to 1000000';
const origin = 'must be an origin such as https://example.com';
const publicId = 'must be 1 to 64 letters, digits, hyphens and underscores';
const yesOrNo = z.boolean('must be true or false').optional();
export const plan = z.strictObject(
  {
    monthly_limit: count,
    soft_limit_enabled: yesOrNo,
    hard_cap_multiplier: multiplier.optional(),
    plan_tier: text(64).optional(),
    billing_policy: z.enum(['all', 'by_kind'], 'must be all or by_kind').optional(),
  },
  'must be a JSON object',
);
export const newSite = z.strictObject(
  {
    name: text(200),
    origins: z
      .array(
        z.string(origin).trim().min(1, origin).max(253, origin).refine(isOrigin, origin),
        'must be a list',
      )
      .max(50, 'must be a list of at most 50 origins')
      .default([]),
    rate_limit: z.int(rate).min(1, rate).max(1_000_000, rate).optional(),
    user_id: z.uuid('must be a UUID').optional(),
    public_id: z
      .string(publicId)
      .regex(/^[A-Za-z0-9_-]{1,64}$/, publicId)
      .optional(),
    plan: plan.optional(),
    api_key: yesOrNo,
  },
  'must be a JSON object',
);

export type SiteRow = { id: string; public_id: string } & Record<string, unknown>;

/** Creates a site and, when asked, its first API key, which is shown this once. */
export async function createSite(database: Database, input: unknown, actor: string) {
  const { api_key: withKey, ...site } = parse(newSite, input);
  const [row] = await database.query<{ site: string }>(
    'select create_site(:site::jsonb, :actor)::text site',
    {
      site: JSON.stringify(site),
      actor,
    },
  );
  const created = JSON.parse(row?.site ?? '{}') as SiteRow;
  return withKey ? { ...created, ...(await createKey(database, created.id, false, actor)) } : created;
}

/** A page of sites in order of creation. */
export async function listSites(database: Database, cursor: string | undefined, limit: number) {
  const after = cursor === undefined ? null : readCursor(cursor);
  const rows = await database.query<{ site: string; cursor: string }>(
    'select site::text, cursor from list_sites(:after::timestamptz, :after_id::uuid, :limit::integer)',
    { after: after?.[0] ?? null, after_id: after?.[1] ?? null, limit: String(limit) },
  );
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  return {
    sites: page.map((row) => JSON.parse(row.site) as SiteRow),
    next_cursor: rows.length > limit && last ? writeCursor(last.cursor) : null,
  };
}

export async function setPlan(database: Database, ref: string, input: unknown, actor: string) {
  const sql = 'set_site_plan(:ref, :plan::jsonb, :actor)';
  return { plan: await ask(database, sql, { ref, plan: JSON.stringify(parse(plan, input)), actor }) };
}

export const settlementInput = z.strictObject(
  {
    currency: z
      .string('must be a text')
      .regex(/^[A-Z][A-Z0-9_]{1,11}$/, 'must be a code such as USD')
      .nullable(),
    overage_price_per_1k: z
      .string('must be a decimal string')
      .regex(/^\d{1,14}(\.\d{1,6})?$/, 'must be a decimal string with at most six decimals')
      .optional(),
  },
  'must be a JSON object',
);

/** Has the overage of a site's frozen invoices charged to its wallet; currency null: not any more. */
export async function setSettlement(database: Database, ref: string, input: unknown, actor: string) {
  const { currency, overage_price_per_1k: price = null } = parse(settlementInput, input);
  const sql = 'set_settlement(:ref, :currency, :price::numeric, :actor)';
  return { settlement: await ask(database, sql, { ref, currency, price, actor }) };
}

export async function readSettlement(database: Database, ref: string) {
  return { settlement: await ask(database, 'read_settlement(:ref)', { ref }) };
}

/** A new live key; of two live ones `rotate` revokes the oldest. The key itself is never stored. */
export async function createKey(database: Database, ref: string, rotate: boolean, actor: string) {
  const api_key = `rk_${randomBytes(32).toString('base64url')}`;
  const [row] = await database.query<{ key: string }>(
    'select create_api_key(:ref, :hash, :prefix, :rotate, :actor)::text key',
    { ref, hash: apiKeyHash(api_key), prefix: api_key.slice(0, key_prefix_length), rotate, actor },
  );
  return { api_key, ...(JSON.parse(row?.key ?? '{}') as Record<string, unknown>) };
}

export async function listKeys(database: Database, ref: string) {
  const rows = await database.query<{ key: string }>('select key::text from list_api_keys(:ref)', { ref });
  return { keys: rows.map((row) => JSON.parse(row.key)) };
}

export async function revokeKey(database: Database, ref: string, key: string, actor: string) {
  if (!z.uuid().safeParse(key).success) throw new KernelError('key_not_found', 'The site has no such key.');
  const [row] = await database.query<{ key: string }>(
    'select revoke_api_key(:ref, :key::uuid, :actor)::text key',
    { ref, key, actor },
  );
  return JSON.parse(row?.key ?? '{}') as Record<string, unknown>;
}

export const note = text(2_000);
export const unblockInput = z.strictObject(
  {
    until: z.iso
      .datetime({ offset: true, error: 'must be an instant such as 2026-03-01T00:00:00Z' })
      .nullable(),
    limit: count.default('50000'),
    reason: note,
  },
  'must be a JSON object',
);
export const enforcementInput = z.strictObject(
  { enforced: z.boolean('must be true or false'), reason: note },
  'must be a JSON object',
);
/** Raises a site's limit until an instant, when it falls back by itself; `until` null ends it now. */
export async function unblockPlan(database: Database, ref: string, input: unknown, actor: string) {
  const { until, limit, reason } = parse(unblockInput, input);
  const plan = await ask(
    database,
    'unblock_plan(:ref, :limit::bigint, :until::timestamptz, :reason, :actor)',
    { ref, limit, until, reason, actor },
  );
  return { plan };
}

/** Switches the quotas of one site on or off. */
export async function setEnforcement(database: Database, ref: string, input: unknown, actor: string) {
  const { enforced, reason } = parse(enforcementInput, input);
  const plan = await ask(database, 'set_enforcement(:ref, :enforced, :reason, :actor)', {
    ref,
    enforced,
    reason,
    actor,
  });
  return { plan };
}

export const memberInput = z.strictObject(
  {
    role: z.enum(['admin', 'operator', 'analyst', 'billing'], 'must be admin, operator, analyst or billing'),
  },
  'must be a JSON object',
);

/** Makes a user a member of the site, or changes the role. */
export async function setMember(
  database: Database,
  ref: string,
  user: string,
  input: unknown,
  actor: string,
) {
  const { role } = parse(memberInput, input);
  const sql = 'set_site_member(:ref, :user::uuid, :role, :actor)';
  return { member: await ask(database, sql, { ref, user: requireUser(user), role, actor }) };
}

export async function removeMember(database: Database, ref: string, user: string, actor: string) {
  const sql = 'set_site_member(:ref, :user::uuid, null, :actor)';
  return { member: await ask(database, sql, { ref, user: requireUser(user), actor }) };
}

function requireUser(user: string): string {
  if (z.uuid().safeParse(user).success) return user;
  throw new KernelError('invalid_request', 'A user is named by a UUID, the sub of the token.');
}

/** Usage of a month from every side; `drift` is usage row minus ledger. */
export async function siteUsage(
  database: Database,
  counter: UsageCounter,
  ref: string,
  month: string | undefined,
) {
  if (month !== undefined && !/^\d{4}-(0[1-9]|1[0-2])$/.test(month)) {
    throw new KernelError('invalid_request', 'A month is written YYYY-MM.');
  }
  const usage = await ask(database, 'site_usage(:ref, :month)', { ref, month: month ?? null });
  const mirrored = await counter.get(usage.site_id, usage.year_month).catch(() => null);
  const billable = BigInt(usage.ledger.billable);
  const remaining = BigInt(usage.limit) - billable;
  return {
    ...usage,
    counter: mirrored && { used: String(mirrored.used), as_of: String(mirrored.asOf) },
    remaining: String(remaining > 0n ? remaining : 0n),
    drift: String(BigInt(usage.usage_row?.event_count ?? 0) - billable),
  };
}

function isOrigin(value: string): boolean {
  const url = value.includes('://') ? value : `https://${value}`;
  return URL.canParse(url) && ['', '/'].includes(new URL(url).pathname);
}
