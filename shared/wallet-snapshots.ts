// Taking over the balances of the system before: what a request may ask for, and the loop over its batches.
import * as z from 'zod';
import { ask } from './ask.ts';
import { KernelError } from './errors.ts';
import { parse } from './input.ts';
import type { Database } from './ports.ts';

const flag = z.boolean('must be true or false').default(false);
export const orderInput = z.strictObject(
  {
    tenantId: z
      .string()
      .regex(/^[A-Za-z0-9_.:-]{1,64}$/, 'must be the name of a tenant')
      .default('default'),
    batchSize: z
      .int('must be a whole number')
      .min(1, 'must be above zero')
      .max(5_000, 'must be at most 5000')
      .default(1_000),
    dryRun: flag,
    force: flag,
    includePending: flag,
    confirm: flag,
    hash: z.string().max(200).optional(),
    migrationId: z.string().max(100).optional(),
  },
  'must be a JSON object',
);

export interface WalletOrder {
  tenant: string;
  batch: string;
  dry_run: boolean;
  force: boolean;
  pending: boolean;
  confirm: boolean;
  hash: string | null;
  id: string | undefined;
}

interface Progress {
  id: string;
  status: string;
  checkpoint: Record<string, number | string> | null;
}

/** @throws KernelError `invalid_json` or `invalid_request` with one sentence. */
export function readWalletOrder(body: string): WalletOrder {
  let given: unknown;
  try {
    given = JSON.parse(body);
  } catch {
    throw new KernelError('invalid_json', 'The body is not JSON.');
  }
  const order = parse(orderInput, given) as z.infer<typeof orderInput>;
  return {
    tenant: order.tenantId,
    batch: String(order.batchSize),
    dry_run: order.dryRun,
    force: order.force,
    pending: order.includePending,
    confirm: order.confirm,
    hash: order.hash ?? null,
    id: order.migrationId,
  };
}

/** What would be done, with the hash that stands for it; writes nothing. */
export async function planWallets(
  database: Database,
  { tenant, force, pending }: WalletOrder,
): Promise<object> {
  return ask(database, 'plan_wallets(:tenant, :force, :pending)', {
    tenant,
    force,
    pending,
  });
}

/** Works through the batches until all wallets are done or the time is over. */
export async function backfillWallets(database: Database, order: WalletOrder, by: string, until_ms: number) {
  const { tenant, force, pending, hash, confirm, batch } = order;
  let id = order.id;
  if (id === undefined) {
    const begun = (await ask(database, 'begin_wallets(:tenant, :by, :force, :pending, :hash, :confirm)', {
      tenant,
      by,
      force,
      pending,
      hash,
      confirm,
    })) as Progress;
    id = begun.id;
  }
  for (;;) {
    const { status, checkpoint } = (await ask(database, 'backfill_wallets(:id, :batch::integer)', {
      id,
      batch,
    })) as Progress;
    const { player_id, currency, ...summary } = checkpoint ?? {};
    if (status !== 'running' || Date.now() >= until_ms) return { id, status, summary };
  }
}
