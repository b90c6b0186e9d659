// SQS and S3 by fauxqs, mounted on the door's server, with queue URLs that lead back to the door.
//
// Not reproduced: message move tasks and permissions of SQS, several messages of one FIFO group in one batch; Object Lock,
// versions, encryption and life cycles of S3, whose objects are kept in memory and are gone after a restart.
import { existsSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

export type Queues = {
  handle(request: IncomingMessage, response: ServerResponse): void;
  /** A call of S3, by the path of bucket and key. */
  objects(request: IncomingMessage, response: ServerResponse): void;
  close(): Promise<void>;
};
export type QueuesOptions = { region: string; url: string; directory?: string };

export const ACCOUNT_ID = '000000000000';

export const queueUrl = (doorUrl: string, name: string): string => `${doorUrl}/${ACCOUNT_ID}/${name}`;
export const queueArn = (region: string, name: string): string =>
  `arn:aws:sqs:${region}:${ACCOUNT_ID}:${name}`;

type Queue = { name: string; url: string; persistence?: Persistence };
type SqsStore = {
  region: string;
  persistence?: Persistence;
  queues: Map<string, Queue>;
  buildQueueUrl(name: string): string;
};
type Persistence = {
  db: { exec(sql: string): void };
  loadSqsAndSns(sqs: SqsStore, sns: object): void;
  close(): void;
};
type App = {
  ready(): Promise<unknown>;
  routing(request: IncomingMessage, response: ServerResponse): void;
  close(): Promise<unknown>;
};

/**
 * `startFauxqs` would listen on all interfaces and name queues by a host that cannot be resolved, so the parts are put
 * together here. They are internal to fauxqs, whose version is pinned for that.
 */
export async function createQueues({ region, url, directory }: QueuesOptions): Promise<Queues> {
  const { buildApp } = (await load('app.js')) as { buildApp(options: object): App };
  const sqsStore = await make<SqsStore>('sqs/sqsStore.js', 'SqsStore');
  const snsStore = await make<object>('sns/snsStore.js', 'SnsStore');
  const s3Store = await make<object>('s3/s3Store.js', 'S3Store');
  sqsStore.region = region;
  sqsStore.buildQueueUrl = (name) => queueUrl(url, name);
  const persistence = directory === undefined ? undefined : await persist(directory, sqsStore, snsStore);
  const app = buildApp({ logger: false, stores: { sqsStore, snsStore, s3Store } });
  await app.ready();
  return {
    handle(request, response) {
      // The SDK may send to the path of the queue's URL, which the body names as well.
      request.url = '/';
      app.routing(request, response);
    },
    objects: (request, response) => app.routing(request, response),
    async close() {
      await app.close();
      persistence?.close();
    },
  };
}

async function persist(directory: string, store: SqsStore, snsStore: object): Promise<Persistence> {
  const persistence = await make<Persistence>('persistence.js', 'PersistenceManager', directory);
  // Enough for the death of this process at any moment, at a fraction of the time; only a power cut may lose the last.
  persistence.db.exec('PRAGMA synchronous = NORMAL');
  persistence.loadSqsAndSns(store, snsStore);
  store.persistence = persistence;
  // The stored URLs are of the previous start's port.
  const loaded = [...store.queues.values()];
  store.queues.clear();
  for (const queue of loaded) {
    queue.persistence = persistence;
    queue.url = store.buildQueueUrl(queue.name);
    store.queues.set(queue.url, queue);
  }
  return persistence;
}

/** The package exports only its front file, so the others are found by its folder. */
function load(file: string): Promise<Record<string, unknown>> {
  const folders = createRequire(import.meta.url).resolve.paths('fauxqs') ?? [];
  const paths = folders.map((folder) => join(folder, 'fauxqs', 'dist', file));
  const path = paths.find((candidate) => existsSync(candidate));
  if (!path) throw new Error(`fauxqs has no ${file}: run \`npm ci\`, or its internals have changed.`);
  return import(pathToFileURL(path).href);
}

async function make<T>(file: string, name: string, ...args: unknown[]): Promise<T> {
  const Class = (await load(file))[name] as new (...args: unknown[]) => T;
  return new Class(...args);
}
