// The delivery verbs: outbox rows become rows of events, exactly once however often they are asked for.
import type { Database } from './ports.ts';

/** Rows that one call of recover moves at the most. */
export const recover_rows_max = 1_000;

/** The message on the delivery queue: a pointer; the outbox row is the truth. */
export interface DeliveryMessage {
  batch_id: string;
}

/**
 * Reads a message.
 * @returns null when it is none of ours; it then goes to the dead-letter queue.
 */
export function readDelivery(body: string): DeliveryMessage | null {
  try {
    const { batch_id } = JSON.parse(body) as Partial<DeliveryMessage>;
    return typeof batch_id === 'string' && /^[0-9a-f-]{36}$/.test(batch_id) ? { batch_id } : null;
  } catch {
    return null;
  }
}

/** Moves the outbox rows of the batches to events; returns how many were moved. */
export async function deliver(database: Database, batches: string[]): Promise<bigint> {
  const [row] = await database.query<{ moved: string }>('select deliver(:batches::jsonb) moved', {
    batches: JSON.stringify(batches),
  });
  return BigInt(row?.moved ?? 0);
}

/** Moves due outbox rows that no message has moved; returns how many. */
export async function recover(database: Database, limit = recover_rows_max): Promise<bigint> {
  const [row] = await database.query<{ moved: string }>('select recover(:limit::integer) moved', {
    limit: String(limit),
  });
  return BigInt(row?.moved ?? 0);
}
