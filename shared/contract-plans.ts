// The contract of plans: what a site may use, unblocks, enforcement, and whether its overage is charged; for platform admins.
import * as z from 'zod';
import { enforcementInput, plan as newPlan, settlementInput, unblockInput } from './administration.ts';
import { admin } from './contract-administration.ts';
import type { Operation } from './contract-operation.ts';
import { count, instant, month, ok, plan, planInForce, signedCount, uuid } from './contract-schemas.ts';

const settlement = z
  .strictObject({
    site_id: uuid,
    currency: z.string().nullable().meta({ description: 'Null: overage is not charged.' }),
    from: month.nullable(),
    overage_price_per_1k: z.string().nullable(),
    balances: z.record(z.string(), signedCount),
    settled: z.array(
      z.strictObject({
        ...{ year_month: month, amount_minor: count, currency: z.string(), overage_count: count },
        ...{
          price_per_1k: z.string(),
          snapshot_hash: z.string(),
          transfer_id: uuid.nullable(),
          settled_at: instant,
        },
      }),
    ),
  })
  .meta({
    id: 'Settlement',
    description: 'How the overage of frozen invoices is charged to the site’s wallet.',
  });
export const planOperations: Operation[] = [
  admin(
    {
      ...{ id: 'setPlan', method: 'put', path: '/{ref}/plan', summary: 'Set the plan' },
      description:
        'Sets limit and, where given, the rest of the plan, from the next event on; needs a platform admin.',
    },
    { answer: ok({ plan }), input: newPlan },
  ),
  admin(
    {
      ...{ id: 'readSettlement', method: 'get', path: '/{ref}/settlement', summary: 'What overage cost' },
      description: 'How overage is charged, and what was; needs a platform admin.',
    },
    { answer: ok({ settlement }) },
  ),
  admin(
    {
      ...{ id: 'setSettlement', method: 'put', path: '/{ref}/settlement', summary: 'Charge overage or not' },
      description: 'From this month’s invoice on; currency null ends it. Needs a platform admin.',
    },
    { answer: ok({ settlement }), input: settlementInput },
  ),
  admin(
    {
      ...{ id: 'unblockPlan', method: 'put', path: '/{ref}/unblock', summary: 'Unblock a quota for a while' },
      description:
        'Raises the limit until an instant within 31 days, when it falls back by itself; null ends it now.',
    },
    { answer: ok({ plan: planInForce }), input: unblockInput },
  ),
  admin(
    {
      ...{
        id: 'setEnforcement',
        method: 'put',
        path: '/{ref}/enforcement',
        summary: 'Switch quotas on or off',
      },
      description:
        'Switches the quotas of one site; off, nothing is refused and the excess is recorded as overage.',
    },
    { answer: ok({ plan: planInForce }), input: enforcementInput },
  ),
];
