// A fault for a door in its own thread: while one is set, every call of one function to one service fails with the error it names.
import { randomUUID } from 'node:crypto';
import { BroadcastChannel } from 'node:worker_threads';
import type { DoorCall, Fault } from '../../local/door/faults.ts';
import type { FaultModule } from '../../local/door/worker.ts';

export interface NamedFault {
  /** The function's deployed name. */
  caller: string;
  service: string;
  error: string;
  message?: string;
  status?: number;
}

type Message = { set: NamedFault | null } | { done: true };

export interface NamedFaults {
  doorFault: FaultModule;
  /** Sets the fault while this runs. */
  during<Result>(fault: NamedFault, run: () => Promise<Result>): Promise<Result>;
  close(): void;
}

/** The side of the test. */
export function namedFaults(): NamedFaults {
  const name = `named faults ${randomUUID()}`;
  const channel = new BroadcastChannel(name);
  const set = (fault: NamedFault | null) =>
    new Promise<void>((resolve) => {
      channel.onmessage = ({ data }) => 'done' in (data as Message) && resolve();
      channel.postMessage({ set: fault } satisfies Message);
    });
  return {
    doorFault: { module: import.meta.url, options: { channel: name } },
    async during(fault, run) {
      await set(fault);
      try {
        return await run();
      } finally {
        await set(null);
      }
    },
    close: () => channel.close(),
  };
}

/** The side of the door. */
export function createFault({ channel: name }: { channel: string }): Fault {
  const channel = new BroadcastChannel(name);
  let fault: NamedFault | null = null;
  channel.onmessage = ({ data }) => {
    if (!('set' in (data as Message))) return;
    ({ set: fault } = data as { set: NamedFault | null });
    channel.postMessage({ done: true } satisfies Message);
  };
  return async (point: 'before' | 'after', { identity, service }: DoorCall) => {
    if (point !== 'before' || fault?.caller !== identity || fault.service !== service) return 'ok';
    const { error, message, status } = fault;
    return { error, ...(message && { message }), ...(status && { status }) };
  };
}
