// SQS by fauxqs, with queue URLs that lead back to the door, beside the objects of S3, which fauxqs serves as well.
//
// Not reproduced: message move tasks and permissions of SQS, several messages of one FIFO group in one batch.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { buildFauxqs, make } from './fauxqs.ts';
import { openObjects } from './objects.ts';

export type Queues = {
  handle(request: IncomingMessage, response: ServerResponse, body: Buffer): void;
  /** A call of S3, by the path of bucket and key. */
  objects(request: IncomingMessage, response: ServerResponse): void;
  close(): Promise<void>;
};
export type QueuesOptions = { region: string; url: string; directory?: string; objectDirectory?: string };

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
export async function createQueues(options: QueuesOptions): Promise<Queues> {
  const { region, url, directory } = options;
  const sqsStore = await make<SqsStore>('sqs/sqsStore.js', 'SqsStore');
  const snsStore = await make<object>('sns/snsStore.js', 'SnsStore');
  sqsStore.region = region;
  sqsStore.buildQueueUrl = (name) => queueUrl(url, name);
  const persistence = directory === undefined ? undefined : await persist(directory, sqsStore, snsStore);
  const objects = await openObjects(options.objectDirectory);
  const app = await buildFauxqs({ sqsStore, snsStore, s3Store: objects.store });
  const handleObjects = objects.mount(app);
  await app.ready();
  return {
    handle(request, response, body) {
      // The SDK may send to the path of the queue's URL, which the body names as well.
      app.routing(again(request, body), response);
    },
    objects: handleObjects,
    async close() {
      await app.close();
      persistence?.close();
    },
  };
}

/** A request whose body has been read, once more from its beginning. */
function again(request: IncomingMessage, body: Buffer): IncomingMessage {
  const { method, headers, rawHeaders, httpVersion, httpVersionMajor, httpVersionMinor, socket } = request;
  const head = { method, headers, rawHeaders, httpVersion, httpVersionMajor, httpVersionMinor, socket };
  return Object.assign(Readable.from([body], { objectMode: false }), { ...head, url: '/' }) as never;
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
