// A door between page and kernel that a test can break: it keeps requests out, loses answers, or answers in the kernel's place.
import {
  request as ask,
  createServer,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

/** What happens to a request: it passes, nobody is there, its answer is lost on the way, or the door answers. */
export type Fault =
  | 'pass'
  | 'down'
  | 'lose'
  | { status: number; headers?: OutgoingHttpHeaders; body?: object };

export interface Passage {
  method: string;
  path: string;
  type: string | undefined;
  origin: string | undefined;
  body: string;
  /** Of the answer; 0 where there was none. */
  status: number;
}

export interface Door {
  url: string;
  /** Asked for each request of events. */
  fault: (body: string) => Fault;
  /** Requests of events so far. */
  passages: Passage[];
  /** The address that the kernel sees: another one is another client to its rate limit. */
  address: string;
  /** Seconds that a Retry-After of the kernel is cut to. */
  retry_after_max_s: number;
  close(): Promise<void>;
}

export async function openDoor(kernel: string): Promise<Door> {
  const sockets = new Set<Socket>();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('error', () => undefined);
    request.on('end', () => pass(door, kernel, request, Buffer.concat(chunks), response));
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const door: Door = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    fault: () => 'pass',
    passages: [],
    address: '127.0.0.1',
    retry_after_max_s: Number.POSITIVE_INFINITY,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return door;
}

function pass(
  door: Door,
  kernel: string,
  request: IncomingMessage,
  body: Buffer,
  response: ServerResponse,
): unknown {
  const { method = '', url: path = '', headers } = request;
  const events = path.startsWith('/api/sync');
  const told: Passage = {
    ...{ method, path, type: headers['content-type'], origin: headers.origin },
    ...{ body: body.toString(), status: 0 },
  };
  if (events) door.passages.push(told);
  const fault = events ? door.fault(told.body) : 'pass';
  if (fault === 'down') return request.socket.destroy();
  if (typeof fault === 'object') {
    told.status = fault.status;
    response.writeHead(fault.status, { ...cors(headers.origin), ...fault.headers });
    return response.end(JSON.stringify(fault.body ?? { ok: false }));
  }
  const { hostname, port } = new URL(kernel);
  const onward = ask({ hostname, port, method, path, headers, localAddress: door.address }, (answer) => {
    const parts: Buffer[] = [];
    answer.on('data', (part: Buffer) => parts.push(part));
    answer.on('end', () => {
      if (fault === 'lose') return void request.socket.destroy();
      const wait_s = Number(answer.headers['retry-after'] ?? 0);
      if (wait_s > door.retry_after_max_s) answer.headers['retry-after'] = String(door.retry_after_max_s);
      told.status = answer.statusCode ?? 0;
      response.writeHead(told.status, answer.headers);
      response.end(Buffer.concat(parts));
    });
  });
  onward.on('error', () => request.socket.destroy());
  return onward.end(body);
}

/** As the kernel answers, so that the page may read a refusal. */
function cors(origin: string | undefined): OutgoingHttpHeaders {
  return {
    'content-type': 'application/json',
    'access-control-allow-origin': origin ?? '*',
    'access-control-expose-headers': 'retry-after, x-opsmantik-ratelimit, x-opsmantik-quota-exceeded',
  };
}
