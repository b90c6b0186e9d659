// The contract of what trackers say of their own work.
import * as z from 'zod';
import type { Operation } from './contract-operation.ts';
import { count, decimal, month, monthParameter, ok, siteOnly, uuid } from './contract-schemas.ts';

const health = ok({
  site_id: uuid,
  public_id: z.string(),
  year_month: month,
  loss: z
    .strictObject({
      numbered: count.meta({ description: 'Events that trackers numbered.' }),
      arrived: count,
      missing: count.meta({
        description: 'Numbers that are not here: dropped, refused by the quota, still on their way, or lost.',
      }),
      reported: z.record(z.string(), count).meta({
        description: 'What trackers say that they dropped, by reason.',
      }),
      lost: count.meta({
        description: 'The larger of both: what was dropped last in a page load leaves no gap.',
      }),
      rate: decimal.meta({ description: 'Lost of lost and arrived, as a fraction.' }),
    })
    .meta({ description: 'Measured by the gaps in the numbers of each page load.' }),
  requests: z.strictObject({ batches: count, retried: count, retry_rate: decimal }),
  clocks: z
    .strictObject({ within_a_minute: count, minutes_off: count, hours_off: count })
    .meta({ description: 'Requests by how far the client’s clock was off.' }),
  sdks: z.array(z.strictObject({ sdk: z.string(), batches: count })),
}).meta({ id: 'TrackerHealth', description: 'By what trackers say of themselves; it decides nothing.' });

const shared: Pick<Operation, 'method' | 'caller' | 'parameters' | 'replies'> = {
  method: 'get',
  caller: 'token',
  parameters: { path: siteOnly, query: z.object({ month: monthParameter }) },
  replies: [{ status: 200, description: 'Found.', body: health }],
};

export const trackerOperations: Operation[] = [
  {
    ...shared,
    id: 'readTracker',
    path: '/api/sites/{ref}/tracker',
    tag: 'sites',
    summary: 'Measured loss',
    description: 'What the site’s trackers lost, retried and dropped in a month; for any member.',
    errors: ['text_invalid', 'invalid_request'],
  },
  {
    ...shared,
    id: 'siteTracker',
    path: '/api/admin/sites/{ref}/tracker',
    tag: 'administration',
    summary: 'Measured loss, for operators',
    description: 'The same for any site; needs a platform admin.',
    errors: ['site_not_found', 'text_invalid', 'invalid_request'],
  },
];
