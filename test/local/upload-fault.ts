// A fault for a door in its own thread: no part of an upload arrives while the test, with which it shares memory, says so.
import type { DoorCall } from '../../local/door/faults.ts';

export function createFault({ failing }: { failing: Int32Array }) {
  return async (point: 'before' | 'after', { operation }: DoorCall) => {
    const fails = point === 'before' && operation === 'UploadPart' && Atomics.load(failing, 0) === 1;
    return fails ? { error: 'InvalidPart' } : ('ok' as const);
  };
}
