// Serves the HTTP APIs of the template on one port and hands each request to its function as API Gateway does.
//
// Not reproduced: JWT and Lambda authorizers, throttling settings of a stage, access logs, custom domains, TLS and HTTP/2,
// parameter mapping, the 10 KB limit on all headers together, and integrations with anything but a Lambda function.
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Functions } from '../lambda/functions.ts';
import { applyCors, type CorsConfiguration, preflight } from './cors.ts';
import { type ApiIdentity, payloadEvent } from './event.ts';
import { type HttpResponse, message, responseOf } from './response.ts';
import { compileRoutes, type Match, type Route } from './routes.ts';

export interface Api extends Partial<ApiIdentity> {
  apiId: string;
  routes: Route[];
  cors?: CorsConfiguration | undefined;
}

export interface HttpApiOptions {
  /** The first one with a matching route answers. */
  apis: Api[];
  functions: Pick<Functions, 'invoke'>;
  /** 0 asks the system for a free one. */
  port: number;
  host?: string;
  /** Asked before the routes; `undefined` passes the request on. */
  static?: (request: IncomingMessage) => HttpResponse | Promise<HttpResponse | undefined> | undefined;
}

export interface HttpApi {
  port: number;
  /** "http://127.0.0.1:3000" */
  url: string;
  /** Takes no new connection, lets running requests end within the grace, then cuts them. */
  close(options?: { graceMs?: number }): Promise<void>;
}

const MAX_BODY_BYTES = 10_485_760;
const INTEGRATION_TIMEOUT_MS = 30_000;
/** Longer than clients keep an unused connection, so that the client closes first and never writes into a closed one. */
const KEEP_ALIVE_MS = 75_000;
const DEFAULT_GRACE_MS = 3_000;

type Target = { api: ApiIdentity; cors: CorsConfiguration | undefined; prefix: string };
type Selected = Target & { find: (method: string, path: string) => Match<Route> | undefined };

/** @throws Error with one sentence when the port is taken or a route key is not understood. */
export async function createHttpApi(options: HttpApiOptions): Promise<HttpApi> {
  const { host = '127.0.0.1' } = options;
  const apis = options.apis.map(select);
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) => {
    respond(request, response, apis, options).catch(() => {
      // Only a fault of this server itself comes here; the socket may already be gone.
      if (!response.headersSent) send(request, response, message(500, 'Internal Server Error'), randomUUID());
      else response.destroy();
    });
  });
  server.on('clientError', (_error, socket) => {
    if (!socket.writable) return void socket.destroy();
    socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
  });
  await listen(server, options.port, host);
  const { port } = server.address() as AddressInfo;
  return { port, url: `http://${host}:${port}`, close: ({ graceMs } = {}) => close(server, graceMs) };
}

function select(api: Api): Selected {
  const { apiId, accountId = '000000000000', domainName = 'localhost', stage = '$default' } = api;
  return {
    api: { apiId, accountId, domainName, stage },
    cors: api.cors,
    prefix: stage === '$default' ? '' : `/${stage}`,
    find: compileRoutes(api.routes),
  };
}

async function respond(
  request: IncomingMessage,
  response: ServerResponse,
  apis: Selected[],
  options: HttpApiOptions,
): Promise<void> {
  const requestId = randomUUID();
  const fixed = await options.static?.(request);
  if (fixed !== undefined) {
    request.resume();
    return send(request, response, fixed, requestId);
  }
  const body = await readBody(request);
  if (body === 'aborted') return;
  if (body === 'too large') {
    return send(request, response, message(413, 'Request Entity Too Large'), requestId, true);
  }
  send(request, response, await answer(request, body, apis, options, requestId), requestId);
}

async function answer(
  request: IncomingMessage,
  body: Buffer,
  apis: Selected[],
  options: HttpApiOptions,
  requestId: string,
): Promise<HttpResponse> {
  const [path = '/', ...rest] = (request.url ?? '/').split('?');
  if (!isDecodable(path)) return message(400, 'Bad Request');
  for (const { api, cors, prefix, find } of apis) {
    if (prefix !== '' && path !== prefix && !path.startsWith(`${prefix}/`)) continue;
    const early = cors && preflight(cors, request);
    if (early !== undefined) return early;
    const match = find(request.method ?? 'GET', path.slice(prefix.length) || '/');
    if (match === undefined) continue;
    const { route, pathParameters } = match;
    const query = rest.join('?');
    const input = { request, path, query, body, routeKey: route.routeKey, pathParameters, requestId, api };
    const timeoutMs = route.timeoutMs ?? INTEGRATION_TIMEOUT_MS;
    const result = await options.functions.invoke(route.functionName, payloadEvent(input), { timeoutMs });
    const response = responseOf(result);
    if (cors !== undefined) applyCors(cors, request, response);
    return response;
  }
  return message(404, 'Not Found');
}

function isDecodable(path: string): boolean {
  try {
    decodeURIComponent(path);
    return true;
  } catch {
    return false;
  }
}

function readBody(request: IncomingMessage): Promise<Buffer | 'too large' | 'aborted'> {
  if (Number(request.headers['content-length'] ?? 0) > MAX_BODY_BYTES) return Promise.resolve('too large');
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > MAX_BODY_BYTES) resolve('too large');
      else chunks.push(chunk);
    });
    request.on('end', () => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)));
    request.on('error', () => resolve('aborted'));
    request.on('close', () => resolve('aborted'));
  });
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  answer: HttpResponse,
  requestId: string,
  last = false,
): void {
  const { status, headers, body } = answer;
  const bodiless = request.method === 'HEAD' || status === 204 || status === 304;
  response.on('error', () => response.destroy());
  try {
    response.writeHead(status, {
      ...headers,
      'apigw-requestid': requestId,
      ...(status !== 204 && status !== 304 && { 'content-length': Buffer.byteLength(body) }),
      ...(last && { connection: 'close' }),
    });
  } catch {
    // A header that node refuses, such as one with a line break, is a malformed answer of the function.
    send(request, response, message(500, 'Internal Server Error'), requestId);
    return;
  }
  response.end(bodiless ? undefined : body);
  // The client of a refused body may still be writing: reading on lets it see the answer before the connection ends.
  if (last) request.resume();
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EADDRINUSE') return reject(error);
      reject(
        new Error(
          `Port ${port} is taken: stop what listens there or choose another with PORT=${port + 1} npm start.`,
        ),
      );
    });
    server.listen(port, host, () => {
      server.removeAllListeners('error');
      server.on('error', () => undefined);
      resolve();
    });
  });
}

async function close(server: Server, graceMs = DEFAULT_GRACE_MS): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), graceMs);
  await closed;
  clearTimeout(timer);
}
