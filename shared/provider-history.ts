// A provider's history from a file: kept beside what webhooks brought, and applied by the backfill that is asked for then.
import * as z from 'zod';
import { ask } from './ask.ts';
import { parse } from './input.ts';
import type { Database, ProviderEvent } from './ports.ts';

const events_max = 500;
export const historyInput = z.strictObject(
  {
    provider: z.string('must be a text').min(1, 'is missing').max(64, 'must have at most 64 characters'),
    account: z.string('must be a text').max(128, 'must have at most 128 characters').default(''),
    events: z
      .array(z.record(z.string(), z.unknown(), 'must be an object'), 'must be a list')
      .min(1, 'must hold at least 1 event')
      .max(events_max, `must hold at most ${events_max} events`),
  },
  'must be a JSON object',
);

export const readHistory = (input: unknown) => parse(historyInput, input);

/** How many were new, and how many were known already; both as decimal strings. */
export async function importEvents(
  database: Database,
  provider: string,
  account: string,
  events: ProviderEvent[],
): Promise<{ created: string; known: string }> {
  if (events.length === 0) return { created: '0', known: '0' };
  const { created, known } = await ask(
    database,
    `receive_events(:provider, :account, 'file', :events::jsonb)`,
    { provider, account, events: JSON.stringify(events) },
  );
  return { created, known };
}
