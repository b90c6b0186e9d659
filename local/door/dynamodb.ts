// DynamoDB by dynalite, mounted on the door's server instead of listening by itself.
//
// Not reproduced: transactions, expiry by TTL, PartiQL, streams, backups, capacity and throttling, and the old item in the
// error of a failed condition.
import { EventEmitter } from 'node:events';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createRequire } from 'node:module';

export type DynamoDb = {
  handle(request: IncomingMessage, response: ServerResponse, body: Buffer): void;
  close(): Promise<void>;
};
export type DynamoDbOptions = { region: string; path?: string };

type Store = {
  db: { open(): Promise<void> };
  tableDb: { awsRegion: string };
  lifecycleManager: { gracefulClose(done: (error?: Error) => void): void };
};
type Database = { create(options: object): Store };

const require = createRequire(import.meta.url);

export async function createDynamoDb({ region, path }: DynamoDbOptions): Promise<DynamoDb> {
  const immediate = { createTableMs: 0, deleteTableMs: 0, updateTableMs: 0 };
  const { server, store } = create({ ...immediate, ...(path === undefined ? {} : { path }) });
  // It opens in the background; a directory that is in use is better said now than at the first call.
  await store.db.open();
  store.tableDb.awsRegion = region;
  return {
    handle(request, response, body) {
      // Dynalite throws when a caller goes away while sending, so it gets a request that is complete already.
      const { headers, method, url } = request;
      const complete = Object.assign(new EventEmitter(), { headers, method, url });
      server.emit('request', complete, response);
      complete.emit('data', body);
      complete.emit('end');
    },
    close: () =>
      new Promise((resolve, reject) => {
        store.lifecycleManager.gracefulClose((error) => (error ? reject(error) : resolve()));
      }),
  };
}

/** Its `close` needs a listening server, and nothing else gives access to the files: so the store is caught at its making. */
function create(options: object): { server: Server; store: Store } {
  const database = require('dynalite/db/index.js') as Database;
  const dynalite = require('dynalite') as (options: object) => Server;
  const original = database.create;
  let store: Store | undefined;
  database.create = (given) => {
    store = original(given);
    return store;
  };
  try {
    const server = dynalite(options);
    if (!store) throw new Error('dynalite made no store: its internals have changed.');
    return { server, store };
  } finally {
    database.create = original;
  }
}
