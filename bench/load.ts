// A load of HTTP requests from a thread of its own, each connection one request after the other, latencies kept.
import { randomUUID } from 'node:crypto';
import { Agent, request } from 'node:http';
import { parentPort, Worker, workerData } from 'node:worker_threads';

export interface Load {
  url: string;
  method: string;
  /** Events in a body; 0 sends none. */
  batch: number;
  connections: number;
  ms: number;
  sites: string[];
}

export interface LoadResult {
  requests: number;
  events: number;
  failed: number;
  latencies_ms: number[];
  seconds: number;
}

/** Runs the load to its end. */
export function drive(load: Load): Promise<LoadResult> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./load.ts', import.meta.url), { workerData: load });
    worker.once('message', resolve).once('error', reject);
  });
}

if (parentPort && workerData) parentPort.postMessage(await run(workerData as Load));

async function run(load: Load): Promise<LoadResult> {
  const agent = new Agent({ keepAlive: true, maxSockets: load.connections });
  const started = performance.now();
  const end = started + load.ms;
  const latencies_ms: number[] = [];
  let failed = 0;
  await Promise.all(
    Array.from({ length: load.connections }, async (_, i) => {
      const site = load.sites[i % load.sites.length] ?? '';
      while (performance.now() < end) {
        const body = load.batch === 0 ? '' : bodyOf(site, load.batch);
        const sent = performance.now();
        const status = await send(load, agent, body);
        latencies_ms.push(performance.now() - sent);
        if (status !== 200) failed++;
      }
    }),
  );
  agent.destroy();
  const requests = latencies_ms.length;
  return {
    requests,
    events: (requests - failed) * load.batch,
    failed,
    latencies_ms,
    seconds: (performance.now() - started) / 1000,
  };
}

function bodyOf(site: string, batch: number): string {
  const events = Array.from({ length: batch }, () => ({
    s: site,
    i: randomUUID(),
    url: 'https://example.com/presentations/2026/images/dashboard.png',
    ec: 'page',
    ea: 'view',
    el: 'GET 200',
    ev: 203_023,
    meta: { time: '2026-01-05T10:05:03.000Z', method: 'GET', status: 200 },
  }));
  return JSON.stringify(batch === 1 ? events[0] : { events });
}

function send({ url, method }: Load, agent: Agent, body: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = {
      origin: 'https://example.com',
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
    };
    const sent = request(url, { method, agent, headers }, (response) => {
      response.resume().once('end', () => resolve(response.statusCode ?? 0));
    });
    sent.once('error', reject);
    sent.end(body);
  });
}
