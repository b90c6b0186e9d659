// Faults for a door in its own thread: the options name one operation and what happens to its next calls, counted in
// memory that the test shares with the thread.
import type { DoorCall } from '../../local/door/faults.ts';

type Options = { operation: string; point: 'before' | 'after'; remaining: Int32Array; error?: string };

export function createFault({ operation, point, remaining, error }: Options) {
  return async (at: 'before' | 'after', call: DoorCall) => {
    if (at !== point || call.operation !== operation || call.identity !== 'ingest') return 'ok' as const;
    if (Atomics.sub(remaining, 0, 1) <= 0) return 'ok' as const;
    return error ? { error } : ('drop' as const);
  };
}
