// Starts the door in its own thread and speaks with it by messages.
import { Worker } from 'node:worker_threads';
import type { Role } from '../iam/policy.ts';
import type { Denial } from './authorization.ts';
import type { DoorSettings } from './door.ts';
import type { DoorMessage, DoorNews, DoorReply, DoorWorkerData, FaultModule } from './worker.ts';

export type DoorThread = {
  url: string;
  port: number;
  /** Adds a caller, or gives it another role; resolves when the door knows of it. */
  addIdentity(accessKeyId: string, name: string, role?: Role): Promise<void>;
  addSecret(arn: string, value: string): Promise<void>;
  /** Settles when the thread has ended; rejects when it failed. */
  exited: Promise<void>;
  close(): Promise<void>;
};

export type DoorThreadOptions = DoorSettings & { fault?: FaultModule; onDenied?: (denial: Denial) => void };

export async function startDoorThread(options: DoorThreadOptions): Promise<DoorThread> {
  const { fault, onDenied, ...settings } = options;
  const workerData: DoorWorkerData = { settings, ...(fault ? { fault } : {}) };
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData });
  const exited = new Promise<void>((resolve, reject) => {
    worker.once('error', reject).once('exit', () => resolve());
  });
  exited.catch(() => {});

  // Replies come in the order of the messages.
  const waiting: ((reply: DoorReply) => void)[] = [];
  worker.on('message', (message: DoorReply | DoorNews) => {
    if (message.type === 'denied') onDenied?.(message.denial);
    else waiting.shift()?.(message);
  });
  const next = (): Promise<DoorReply> => {
    const reply = new Promise<DoorReply>((resolve) => waiting.push(resolve));
    const ended = exited.then((): never => {
      throw new Error('The thread of the door has ended.');
    });
    return Promise.race([reply, ended]);
  };
  const send = (message: DoorMessage) => {
    worker.postMessage(message);
    return next();
  };

  const opened = await next();
  if (opened.type !== 'open') throw new Error('The door did not open.');
  return {
    url: opened.url,
    port: opened.port,
    exited,
    async addIdentity(accessKeyId, name, role) {
      await send({ type: 'identity', accessKeyId, name, ...(role && { role }) });
    },
    async addSecret(arn, value) {
      await send({ type: 'secret', arn, value });
    },
    async close() {
      worker.postMessage({ type: 'close' } satisfies DoorMessage);
      await exited;
    },
  };
}
