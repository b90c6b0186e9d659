// The door in a thread of its own, so that it does not compete with HTTP and the functions for one event loop.
import { parentPort, workerData } from 'node:worker_threads';
import type { Role } from '../iam/policy.ts';
import type { Denial } from './authorization.ts';
import { type DoorSettings, startDoor } from './door.ts';
import type { Fault } from './faults.ts';

/** A module that exports `createFault(options)`; functions cannot be sent to a thread, their description can. */
export type FaultModule = { module: string; options?: unknown };
export type DoorWorkerData = { settings: DoorSettings; fault?: FaultModule };
export type DoorMessage =
  | { type: 'identity'; accessKeyId: string; name: string; role?: Role }
  | { type: 'secret'; arn: string; value: string }
  | { type: 'close' };
export type DoorReply = { type: 'open'; url: string; port: number } | { type: 'done' };
/** What nobody asked for. */
export type DoorNews = { type: 'denied'; denial: Denial };

const { settings, fault } = workerData as DoorWorkerData;
const port = parentPort;
if (!port) throw new Error('door-worker.ts runs as a worker thread.');

const reply = (message: DoorReply | DoorNews) => port.postMessage(message);
const door = await startDoor({
  ...settings,
  onDenied: (denial) => reply({ type: 'denied', denial }),
  ...(fault ? { fault: await loadFault(fault) } : {}),
});

port.on('message', async (message: DoorMessage) => {
  switch (message.type) {
    case 'identity':
      door.addIdentity(message.accessKeyId, message.name, message.role);
      return reply({ type: 'done' });
    case 'secret':
      door.addSecret(message.arn, message.value);
      return reply({ type: 'done' });
    case 'close':
      await door.close();
      // Nothing listens any more; whatever timers the engines keep must not keep the thread.
      return process.exit(0);
  }
});
reply({ type: 'open', url: door.url, port: door.port });

async function loadFault({ module, options }: FaultModule): Promise<Fault> {
  const { createFault } = (await import(module)) as { createFault(options: unknown): Fault };
  return createFault(options);
}
