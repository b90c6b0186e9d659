// Writes an HTTP request as the payload 2.0 event that a Lambda integration receives.
//
// Not reproduced: authorizer claims, client certificates, stage variables and the trace header's sampling.
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

export interface ApiIdentity {
  apiId: string;
  accountId: string;
  domainName: string;
  /** "$default" or a name, which then is the first segment of every path. */
  stage: string;
}

export interface EventInput {
  request: IncomingMessage;
  /** As sent, without the query. */
  path: string;
  query: string;
  body: Buffer;
  routeKey: string;
  pathParameters: Record<string, string>;
  requestId: string;
  api: ApiIdentity;
}

/** Hop-by-hop headers end at the gateway. */
const DROPPED = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
  'expect',
  'te',
  'cookie',
]);

export function payloadEvent(input: EventInput): Record<string, unknown> {
  const { request, query, body, routeKey, pathParameters, requestId, api } = input;
  // An HTTP API hands over the path decoded and the query string as it came (middleapi/standard-server#93).
  const path = decodeURIComponent(input.path);
  const sourceIp = request.socket.remoteAddress ?? '127.0.0.1';
  const { headers, cookies } = readHeaders(request, sourceIp, api);
  const now = new Date();
  return {
    version: '2.0',
    routeKey,
    rawPath: path,
    rawQueryString: query,
    ...(cookies.length > 0 && { cookies }),
    headers,
    ...(query !== '' && { queryStringParameters: queryParameters(query) }),
    requestContext: {
      accountId: api.accountId,
      apiId: api.apiId,
      domainName: api.domainName,
      domainPrefix: api.domainName.split('.')[0],
      http: {
        method: request.method,
        path,
        protocol: `HTTP/${request.httpVersion}`,
        sourceIp,
        userAgent: headers['user-agent'] ?? '',
      },
      requestId,
      routeKey,
      stage: api.stage,
      time: commonLogTime(now),
      timeEpoch: now.getTime(),
    },
    ...(Object.keys(pathParameters).length > 0 && { pathParameters }),
    ...bodyOf(body, headers['content-type']),
  };
}

function readHeaders(
  request: IncomingMessage,
  sourceIp: string,
  api: ApiIdentity,
): { headers: Record<string, string>; cookies: string[] } {
  const headers: Record<string, string> = {};
  const cookies: string[] = [];
  const raw = request.rawHeaders; // node's own `headers` drops some repeated ones
  for (let i = 0; i < raw.length; i += 2) {
    const name = (raw[i] ?? '').toLowerCase();
    const value = raw[i + 1] ?? '';
    if (name === 'cookie') cookies.push(...value.split(/;\s*/).filter((one) => one !== ''));
    if (DROPPED.has(name)) continue;
    headers[name] = headers[name] === undefined ? value : `${headers[name]},${value}`;
  }
  const before = headers['x-forwarded-for'];
  headers['x-forwarded-for'] = before === undefined ? sourceIp : `${before}, ${sourceIp}`;
  headers['x-forwarded-port'] = String(request.socket.localPort ?? '');
  headers['x-forwarded-proto'] = 'http';
  headers['x-amzn-trace-id'] ??= `Root=1-${randomUUID()}`;
  headers['content-length'] ??= '0';
  headers.host ??= api.domainName;
  return { headers, cookies };
}

function queryParameters(query: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [name, value] of new URLSearchParams(query)) {
    found[name] = found[name] === undefined ? value : `${found[name]},${value}`;
  }
  return found;
}

/**
 * Text only for text/* and three application types, base64 for everything else, a form or no type at all included: as
 * observed on the service (ministackorg/ministack#766, denoland/deno_registry2#33), the documentation lists no types.
 */
const TEXT = /^(text\/[^;]+|application\/(json|xml|javascript))\s*(;|$)/i;

function bodyOf(body: Buffer, contentType = ''): { body?: string; isBase64Encoded: boolean } {
  if (body.length === 0) return { isBase64Encoded: false };
  if (TEXT.test(contentType)) return { body: body.toString('utf8'), isBase64Encoded: false };
  return { body: body.toString('base64'), isBase64Encoded: true };
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** As in "12/Mar/2020:19:03:58 +0000". */
function commonLogTime(date: Date): string {
  const [year = '', month = '', day = ''] = date.toISOString().slice(0, 10).split('-');
  return `${day}/${MONTHS[Number(month) - 1]}/${year}:${date.toISOString().slice(11, 19)} +0000`;
}
