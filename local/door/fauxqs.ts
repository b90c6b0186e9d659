// The parts of fauxqs, an emulator of SQS and S3 that is mounted on the door's server instead of listening by itself.
//
// They are internal to fauxqs, whose version is pinned for that: its own start would listen on all interfaces and name
// queues by a host that cannot be resolved.
import { existsSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

export type Stores = { sqsStore: object; snsStore: object; s3Store: object };

type Reply = { statusCode: number; header(name: string, value: string): void; hijack(): void };
type OnSend = (request: { query: unknown }, reply: Reply, payload: unknown, done: () => void) => void;
export type Fauxqs = {
  /** Takes hooks before the first request only. */
  addHook(name: 'onSend', hook: OnSend): void;
  ready(): Promise<unknown>;
  routing(request: IncomingMessage, response: ServerResponse): void;
  close(): Promise<unknown>;
};

export async function buildFauxqs(stores: Stores): Promise<Fauxqs> {
  const { buildApp } = (await load('app.js')) as { buildApp(options: object): Fauxqs };
  return buildApp({ logger: false, stores });
}

/** An object of a class in one of its files. */
export async function make<T>(file: string, name: string, ...args: unknown[]): Promise<T> {
  const Class = (await load(file))[name] as new (...args: unknown[]) => T;
  return new Class(...args);
}

/** One of its files: the package exports only the front one, so the others are found by its folder. */
export function load(file: string): Promise<Record<string, unknown>> {
  const folders = createRequire(import.meta.url).resolve.paths('fauxqs') ?? [];
  const paths = folders.map((folder) => join(folder, 'fauxqs', 'dist', file));
  const path = paths.find((candidate) => existsSync(candidate));
  if (!path) throw new Error(`fauxqs has no ${file}: run \`npm ci\`, or its internals have changed.`);
  return import(pathToFileURL(path).href);
}
