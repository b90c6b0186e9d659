// Working through the events of payment providers: those that a message names, those that wait, and those that a webhook never brought.
import { ask } from './ask.ts';
import type { Database, PaymentProvider, PaymentProviders, PaymentResult, ProviderPage } from './ports.ts';
import { settlePayout } from './withdrawal.ts';

const due_rows = '100';
/** Events are listed again from a little before the last one that was: clocks differ, and lists are not in order. */
const overlap_ms = 10 * 60_000;
const pages_max = 200;
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export interface Processed {
  id: string;
  outcome: string;
  cause?: string;
}

/** The events that a message names; null when it is none of ours. */
export function readMessage(body: string): string[] | null {
  try {
    const { events } = JSON.parse(body) as { events?: unknown };
    const named = Array.isArray(events) && events.length > 0 && events.length <= 500;
    return named && events.every((id) => typeof id === 'string' && uuid.test(id)) ? events : null;
  } catch {
    return null;
  }
}

/** Applies the events that are due among these; two of one player are never applied in one commit. */
export async function processEvents(database: Database, events: string[]): Promise<Processed[]> {
  const done: Processed[] = [];
  for (;;) {
    const some = await ask(database, 'process_events(:events::jsonb)', { events: JSON.stringify(events) });
    done.push(...(some as Processed[]));
    if (some.length === 0) return done;
  }
}

/** Applies what no message has brought or what is due again, until nothing is or the time is over. */
export async function processDue(database: Database, until_ms: number): Promise<Processed[]> {
  const done: Processed[] = [];
  for (;;) {
    const some = await ask(database, 'process_due_events(:rows::integer)', { rows: due_rows });
    done.push(...(some as Processed[]));
    if (some.length === 0 || Date.now() >= until_ms) return done;
  }
}

/** Asks again about payouts without an answer, each under the key of its attempt. */
export async function recheckPayouts(
  database: Database,
  providers: PaymentProviders,
  until_ms: number,
): Promise<number> {
  const waiting = (await ask(database, 'waiting_payouts(50)')) as {
    attempt_id: string;
    tenant_id: string;
    order: Parameters<NonNullable<PaymentProvider['order']>>[1] & { provider: string };
  }[];
  let asked = 0;
  for (const { attempt_id, tenant_id, order } of waiting) {
    if (Date.now() >= until_ms) break; // a provider that hangs must not take the others' time
    asked += 1;
    const provider = providers.of(order.provider);
    const said: PaymentResult = (await provider?.order?.('payout_withdrawal', order)) ?? {
      status: 'UNKNOWN',
    };
    await settlePayout(database, tenant_id, attempt_id, said);
  }
  return asked;
}

async function lastListed(database: Database, provider: string): Promise<string> {
  const [row] = await database.query<{ since: string }>('select listed_until(:provider) since', { provider });
  return new Date(Date.parse(row?.since ?? '') - overlap_ms).toISOString();
}

/**
 * Brings what a provider lists and no webhook has brought; the ids of what is to be applied.
 * @param since an instant; without it, a little before the last event that was listed.
 */
export async function catchUp(
  database: Database,
  provider: PaymentProvider,
  now_ms: number,
  since?: string,
): Promise<{ listed: number; created: number; due: string[] }> {
  const total = { listed: 0, created: 0, due: [] as string[] };
  const from = since ?? (await lastListed(database, provider.name));
  const to = new Date(now_ms).toISOString();
  let after: string | null = null;
  for (let page = 0; page < pages_max; page += 1) {
    const listed: ProviderPage | undefined = await provider.list?.(from, to, after);
    if (!listed) return total;
    if (listed.events.length > 0) {
      const kept = (await ask(database, `receive_events(:provider, '', 'list', :events::jsonb)`, {
        provider: provider.name,
        events: JSON.stringify(listed.events),
      })) as { created: string; due: string[] };
      total.listed += listed.events.length;
      total.created += Number(kept.created);
      total.due.push(...kept.due);
    }
    after = listed.next;
    if (after === null) return total;
  }
  return total;
}
