// Signed webhooks of the mock provider from a thread of its own, each connection one after the other, latencies kept.
import { Agent, request } from 'node:http';
import { parentPort, Worker, workerData } from 'node:worker_threads';
import { signMockPsp } from '../shared/adapters/mockpsp.ts';

export interface WebhookLoad {
  url: string;
  secret: string;
  connections: number;
  bodies: string[];
}

export interface WebhookResult {
  failed: number;
  latencies_ms: number[];
  seconds: number;
}

/** Sends every body once. */
export function sendWebhooks(load: WebhookLoad): Promise<WebhookResult> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./webhook-load.ts', import.meta.url), { workerData: load });
    worker.once('message', resolve).once('error', reject);
  });
}

if (parentPort && workerData) parentPort.postMessage(await run(workerData as WebhookLoad));

async function run({ url, secret, connections, bodies }: WebhookLoad): Promise<WebhookResult> {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  const waiting = bodies.values();
  const latencies_ms: number[] = [];
  let failed = 0;
  const started = performance.now();
  await Promise.all(
    Array.from({ length: connections }, async () => {
      for (const body of waiting) {
        const sent = performance.now();
        const status = await send(url, agent, body, signMockPsp(body, secret, Date.now()));
        latencies_ms.push(performance.now() - sent);
        if (status !== 200) failed++;
      }
    }),
  );
  agent.destroy();
  return { failed, latencies_ms, seconds: (performance.now() - started) / 1_000 };
}

function send(url: string, agent: Agent, body: string, signed: Record<string, string>): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = {
      ...{ 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
      ...signed,
    };
    const sent = request(url, { method: 'POST', agent, headers }, (response) => {
      response.resume().once('end', () => resolve(response.statusCode ?? 0));
    });
    sent.once('error', reject);
    sent.end(body);
  });
}
