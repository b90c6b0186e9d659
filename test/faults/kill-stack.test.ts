// Guarantee 1 when everything dies: SIGKILL of the whole stack under load loses and doubles nothing that was acknowledged.
import { type ChildProcess, spawn } from 'node:child_process';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { freePort } from '../support/port.ts';
import { random } from '../support/random.ts';
import { type Books, checkBooks, connect, drain, report } from './books.ts';
import { kills, newSite, type Site, startLoad } from './load.ts';
import type { Ready } from './stack-process.ts';

const load_ms = { least: 500, spread: 1_000 };

let directory: string;
let port: number;
let child: ChildProcess;
let ready: Ready;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kernel-killed-'));
  await chmod(directory, 0o755); // the user of the database can walk to its files
  port = await freePort();
  ready = await start();
});
afterAll(async () => {
  await end();
  await rm(directory, { recursive: true, force: true, maxRetries: 100, retryDelay: 100 });
});

test(`${kills} times SIGKILL of the whole stack under load: every acknowledged event is billed and delivered once`, async () => {
  const source = random(13);
  const site = await createSite();
  const load = startLoad(ready.url, site);
  const recovered_ms: number[] = [];
  await load.acknowledgedSince(0);
  for (let n = 0; n < kills; n += 1) {
    await sleep(load_ms.least + source.below(load_ms.spread));
    const killed = performance.now();
    await end();
    ready = await start();
    await load.acknowledgedSince(killed);
    recovered_ms.push(performance.now() - killed);
  }
  await sleep(load_ms.least);
  await load.stop();
  const database = await connect(ready.superuser_url);
  let books: Books;
  try {
    await drain(database, ready.url, ready.cron_secret);
    books = await checkBooks(database, site, load);
    await checkCounter(site);
  } finally {
    await database.end();
  }
  expect(load.in_doubt.size).toBeGreaterThan(0);
  report(
    {
      name: 'kill-stack',
      title: 'The whole stack killed under load',
      what: 'Six clients send single events and batches, and repeat what was not answered. SIGKILL ends the process that holds HTTP, functions, queue, counters and Data API; Postgres is shut down by its watchdog. All start again on the same files.',
    },
    load,
    books,
    recovered_ms,
  );
}, 900_000);

/** Resolves when the stack is ready. */
async function start(): Promise<Ready> {
  const program = join(import.meta.dirname, 'stack-process.ts');
  const started = spawn(process.execPath, [program, directory, inject('assembly'), String(port)], {
    env: { ...process.env, TZ: 'UTC' },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  child = started;
  let errors = '';
  started.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    errors += chunk;
  });
  for await (const line of createInterface(started.stdout)) return JSON.parse(line) as Ready;
  throw new Error(`The stack did not become ready: ${errors}`);
}

async function end(): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

const admin = (path: string, request: RequestInit = {}) =>
  fetch(`${ready.url}/api/admin${path}`, {
    ...request,
    headers: { authorization: `Bearer ${ready.admin_token}`, 'content-type': 'application/json' },
  });

async function createSite(): Promise<Site> {
  const response = await admin('/sites', { method: 'POST', body: JSON.stringify(newSite) });
  expect(response.status).toBe(201);
  return (await response.json()) as Site;
}

/** The fast counter may have missed a commit; the next event sets it right. */
async function checkCounter({ id, public_id }: Site): Promise<void> {
  const response = await fetch(`${ready.url}/api/sync`, {
    method: 'POST',
    headers: { origin: 'https://example.com', 'content-type': 'application/json' },
    body: JSON.stringify({ s: public_id, i: 'the-last', url: 'https://example.com/' }),
  });
  expect(response.status).toBe(200);
  const usage = (await (await admin(`/sites/${id}/usage`)).json()) as {
    ledger: { billable: string };
    counter: { used: string };
    drift: string;
  };
  expect(usage.drift).toBe('0');
  expect(Number(usage.counter.used)).toBe(Number(usage.ledger.billable));
}
