// A fault for the door that breaks nothing: it counts the calls of the ingest function, each service in its own place.
import type { DoorCall } from '../../local/door/faults.ts';

export const services = ['rds-data', 'dynamodb', 'sqs'];

export function createFault({ counts, identity }: { counts: Int32Array; identity: string }) {
  return async (point: 'before' | 'after', call: DoorCall) => {
    const place = services.indexOf(call.service);
    if (point === 'before' && call.identity === identity && place >= 0) Atomics.add(counts, place, 1);
    return 'ok' as const;
  };
}
