// A small HTTP server that answers by script, for what the client does on its own: retries, resumption, exit codes.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export const SITE = { id: '6f1c0d2e-0000-4000-8000-000000000001', public_id: 'pub_shop' };
export const TOKEN = 'admin-token';

export type Seen = { method: string; url: string; headers: IncomingMessage['headers']; body: string };
export type Reply = { status: number; headers?: Record<string, string>; body?: unknown } | 'hang' | 'drop';
/** Returns the reply to one request, or undefined for the usual one. */
export type Script = (seen: Seen, n: number) => Reply | undefined;
type Event = { i: string };

export type ScriptedStack = {
  url: string;
  seen: Seen[];
  /** What was admitted: the payload bytes of each event id. */
  ledger: Map<string, string>;
  script: Script;
  close: () => Promise<void>;
};

function page(url: string): Reply {
  const other = { id: 'x', public_id: 'pub_other', name: 'Other', origins: [], status: 'ACTIVE' };
  const shop = { ...SITE, name: 'Shop', origins: ['https://shop.example'], status: 'ACTIVE' };
  const second = new URL(url, 'http://stack').searchParams.get('cursor') === 'two';
  return {
    status: 200,
    body: { ok: true, sites: second ? [shop] : [other], next_cursor: second ? null : 'two' },
  };
}

function ingest(stack: ScriptedStack, body: string): Reply {
  const { events } = JSON.parse(body) as { events: Event[] };
  const results = events.map((event) => {
    const payload = JSON.stringify(event);
    const before = stack.ledger.get(event.i);
    if (before !== undefined) return { id: event.i, status: before === payload ? 'duplicate' : 'conflict' };
    stack.ledger.set(event.i, payload);
    return { id: event.i, status: 'queued' };
  });
  return { status: 200, body: { ok: true, results } };
}

function usual(stack: ScriptedStack, seen: Seen): Reply {
  if (seen.method === 'POST' && seen.url === '/api/sync') return ingest(stack, seen.body);
  if (seen.headers.authorization !== `Bearer ${TOKEN}`) {
    const body = { ok: false, error: 'The token is not valid.', code: 'unauthorized', request_id: 'req-7' };
    return { status: 401, body };
  }
  if (seen.method === 'GET' && seen.url.startsWith('/api/admin/sites?')) return page(seen.url);
  return { status: 404, body: { ok: false, error: 'No such site.', code: 'not_found', request_id: 'req-8' } };
}

async function answer(
  stack: ScriptedStack,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const seen: Seen = {
    method: request.method ?? '',
    url: request.url ?? '',
    headers: request.headers,
    body: Buffer.concat(chunks).toString(),
  };
  stack.seen.push(seen);
  const reply = stack.script(seen, stack.seen.length) ?? usual(stack, seen);
  if (reply === 'hang') return;
  if (reply === 'drop') {
    response.destroy();
    return;
  }
  response.writeHead(reply.status, { 'content-type': 'application/json', ...reply.headers });
  response.end(JSON.stringify(reply.body ?? {}));
}

export async function scriptedStack(script: Script = () => undefined): Promise<ScriptedStack> {
  const server = createServer((request, response) => {
    answer(stack, request, response).catch(() => response.destroy());
  });
  const stack: ScriptedStack = {
    url: '',
    seen: [],
    ledger: new Map(),
    script,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  stack.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return stack;
}
