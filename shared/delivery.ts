// The delivery verbs: outbox rows become rows of events, exactly once however often they are asked for.
import type { Database } from './ports.ts';

/** Rows that one call of recover moves at the most. */
export const recover_rows_max = 1_000;

/** Strict: what Postgres cannot read as a UUID would fail every message that came with it. */
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

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
    return typeof batch_id === 'string' && uuid.test(batch_id) ? { batch_id } : null;
  } catch {
    return null;
  }
}

/** A row that could not be moved: it keeps its place in the outbox until it is FAILED. */
export interface BadRow {
  id: string;
  site_id: string;
  attempts: number;
  status: 'PENDING' | 'FAILED';
  reason: string;
}

export interface Moved {
  moved: bigint;
  bad: BadRow[];
}

/** Moves the outbox rows of the batches to events; a bad row does not hold back the others. */
export async function deliver(database: Database, batches: string[]): Promise<Moved> {
  return move(database, 'select moved, bad::text from deliver(:batches::jsonb)', {
    batches: JSON.stringify(batches),
  });
}

/** Moves due outbox rows that no message has moved. */
export async function recover(database: Database, limit = recover_rows_max): Promise<Moved> {
  return move(database, 'select moved, bad::text from recover(:limit::integer)', { limit: String(limit) });
}

/** Notes that the queue did not take a batch, and makes its rows due at once. */
export async function recordPublishFailure(
  database: Database,
  batch: string,
  sitePublicId: string,
  message: string,
): Promise<void> {
  await database.query('select record_publish_failure(:batch::uuid, :site, :message)::text marked', {
    batch,
    site: sitePublicId,
    message,
  });
}

async function move(database: Database, sql: string, parameters: Record<string, string>): Promise<Moved> {
  const [row] = await database.query<{ moved: string; bad: string }>(sql, parameters);
  return { moved: BigInt(row?.moved ?? 0), bad: JSON.parse(row?.bad ?? '[]') };
}
