// The local HTTP API: the event a function receives, the response a client gets, and the gateway's own answers.
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { type Api, createHttpApi, type HttpApi, type HttpApiOptions } from '../../local/http/http-api.ts';
import { compileRoutes } from '../../local/http/routes.ts';
import type { InvokeResult } from '../../local/lambda/functions.ts';

const open: HttpApi[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one.close({ graceMs: 100 });
});

interface Event {
  [key: string]: unknown;
  headers: Record<string, string>;
  requestContext: Record<string, unknown> & { http: Record<string, string> };
}

type Handler = (event: Event, timeoutMs: number | undefined) => InvokeResult | Promise<InvokeResult>;
const echo: Handler = (event) => ({ ok: true, value: event });
const ok =
  (value: unknown): Handler =>
  () => ({ ok: true, value });

async function start(
  handler: Handler,
  api: Partial<Api> = {},
  more: Partial<HttpApiOptions> = {},
): Promise<string> {
  const routes = [{ routeKey: '$default', functionName: 'f' }];
  const server = await createHttpApi({
    apis: [{ apiId: 'abc', routes, ...api }],
    functions: { invoke: async (_name, event, options) => handler(event as Event, options?.timeoutMs) },
    port: 0,
    ...more,
  });
  open.push(server);
  return server.url;
}

const failure = (kind: 'handled' | 'timeout' | 'throttled' | 'rejected', errorType = 'Error'): Handler => {
  return () => ({ ok: false, kind, errorType, errorMessage: 'no' });
};

describe('the event', () => {
  it('has the form of payload 2.0', async () => {
    const url = await start(echo, { routes: [{ routeKey: 'POST /api/{site}/events', functionName: 'f' }] });
    const response = await fetch(`${url}/api/a%20b/events?x=1&y=2&x=3&z=%C3%BC+u`, {
      method: 'POST',
      body: '{"ü":1}',
      headers: {
        'Content-Type': 'application/json; charset=utf-8',
        'X-Forwarded-For': '203.0.113.9',
        'User-Agent': 't',
      },
    });
    const event = (await response.json()) as Event;
    expect(event).toMatchObject({
      version: '2.0',
      routeKey: 'POST /api/{site}/events',
      rawPath: '/api/a b/events',
      rawQueryString: 'x=1&y=2&x=3&z=%C3%BC+u',
      queryStringParameters: { x: '1,3', y: '2', z: 'ü u' },
      pathParameters: { site: 'a b' },
      body: '{"ü":1}',
      isBase64Encoded: false,
      headers: {
        'content-type': 'application/json; charset=utf-8',
        'content-length': '8',
        'x-forwarded-for': '203.0.113.9, 127.0.0.1',
      },
      requestContext: {
        accountId: '000000000000',
        apiId: 'abc',
        domainName: 'localhost',
        routeKey: 'POST /api/{site}/events',
        stage: '$default',
        http: {
          method: 'POST',
          path: '/api/a b/events',
          protocol: 'HTTP/1.1',
          sourceIp: '127.0.0.1',
          userAgent: 't',
        },
      },
    });
    expect(event.requestContext.time).toMatch(/^\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d \+0000$/);
    expect(event.requestContext.requestId).toBe(response.headers.get('apigw-requestid'));
    for (const absent of ['cookies', 'stageVariables']) expect(event).not.toHaveProperty(absent);
    expect(event.headers).not.toHaveProperty('connection');
  });

  it('leaves out body, query and path parameters that a request does not have', async () => {
    const event = (await (await fetch(await start(echo))).json()) as Event;
    for (const absent of ['body', 'queryStringParameters', 'pathParameters'])
      expect(event).not.toHaveProperty(absent);
    expect(event).toMatchObject({
      routeKey: '$default',
      rawPath: '/',
      rawQueryString: '',
      isBase64Encoded: false,
    });
  });

  it('joins repeated headers with a comma and lists cookies apart', async () => {
    const url = await start(echo);
    const headers = { 'X-Many': ['a', 'b'], Authorization: ['one', 'two'], Cookie: ['a=1; b=2', 'c=3'] };
    const event = await new Promise<Event>((resolve, reject) => {
      httpRequest(url, { headers }, async (response) => {
        resolve(JSON.parse(Buffer.concat(await response.toArray()).toString()) as Event);
      })
        .on('error', reject)
        .end();
    });
    expect(event.headers).toMatchObject({ 'x-many': 'a,b' });
    expect(event.cookies).toEqual(['a=1', 'b=2', 'c=3']);
    expect(event.headers).not.toHaveProperty('cookie');
  });
});

describe('the event of a special request', () => {
  it.each([
    ['application/octet-stream', true],
    ['application/x-www-form-urlencoded', true],
    ['image/png', true],
    ['text/csv', false],
    ['application/xml', false],
    ['application/javascript', false],
  ])('carries a %s body as base64: %s', async (type, isBase64Encoded) => {
    const url = await start(echo);
    const response = await fetch(url, {
      method: 'POST',
      body: Buffer.from('a=b'),
      headers: { 'content-type': type },
    });
    expect(await response.json()).toMatchObject({ body: isBase64Encoded ? 'YT1i' : 'a=b', isBase64Encoded });
  });

  it('has the stage in its path unless the stage is $default', async () => {
    const routes = [{ routeKey: 'GET /x', functionName: 'f' }];
    const url = await start(echo, { routes, stage: 'dev' });
    expect(await (await fetch(`${url}/dev/x`)).json()).toMatchObject({
      rawPath: '/dev/x',
      requestContext: { stage: 'dev' },
    });
    expect((await fetch(`${url}/x`)).status).toBe(404);
  });
});

describe('the response', () => {
  it.each([
    [{ a: 1 }, '{"a":1}'],
    ['hello', 'hello'],
    [null, 'null'],
  ])('without a status code is 200 and JSON: %j', async (value, body) => {
    const response = await fetch(await start(ok(value)));
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/json']);
    expect(await response.text()).toBe(body);
  });

  it('carries status, headers, cookies and base64 bytes', async () => {
    const bytes = Buffer.from([0, 255, 254]);
    const headers = { 'Content-Type': 'image/png', 'X-Number': 5, 'Content-Length': '999' };
    const cookies = ['a=1; Path=/', 'b=2'];
    const value = {
      statusCode: 201,
      headers,
      cookies,
      body: bytes.toString('base64'),
      isBase64Encoded: true,
    };
    const response = await fetch(await start(ok(value)));
    expect(response.status).toBe(201);
    expect(response.headers.getSetCookie()).toEqual(cookies);
    expect(response.headers.get('x-number')).toBe('5');
    expect(Buffer.from(await response.arrayBuffer())).toEqual(bytes);
  });

  it('without a content type is plain text, and a HEAD request gets no body', async () => {
    const url = await start(ok({ statusCode: 200, body: 'hi' }));
    expect((await fetch(url)).headers.get('content-type')).toBe('text/plain;charset=UTF-8');
    const head = await fetch(url, { method: 'HEAD' });
    expect([head.headers.get('content-length'), await head.text()]).toEqual(['2', '']);
  });

  it.each([
    [{ statusCode: 'abc' }],
    [{ statusCode: 200, body: { a: 1 } }],
    [{ statusCode: 200, headers: { a: 'x\ny' } }],
  ])('that is malformed is 500: %j', async (value) => {
    const response = await fetch(await start(ok(value)));
    expect(response.status).toBe(500);
    expect(await response.json()).toEqual({ message: 'Internal Server Error' });
  });

  it.each([
    ['an error', failure('handled'), 500, 'Internal Server Error'],
    ['a timeout of the function', failure('timeout', 'Sandbox.Timedout'), 500, 'Internal Server Error'],
    ['a timeout of the integration', failure('timeout', 'CallerTimeout'), 503, 'Service Unavailable'],
    ['throttling', failure('throttled'), 503, 'Service Unavailable'],
    ['an event over 6 MB', failure('rejected', 'RequestTooLargeException'), 413, 'Request Entity Too Large'],
  ])('to %s is the one of an HTTP API', async (_name, handler, status, text) => {
    const response = await fetch(await start(handler));
    expect(response.status).toBe(status);
    expect(await response.json()).toEqual({ message: text });
  });
});

describe('the gateway', () => {
  it('passes the timeout of the integration, 30 seconds unless told', async () => {
    const seen: unknown[] = [];
    const handler: Handler = (_event, timeoutMs) => {
      seen.push(timeoutMs);
      return { ok: true, value: 1 };
    };
    await fetch(await start(handler));
    await fetch(await start(handler, { routes: [{ routeKey: 'GET /', functionName: 'f', timeoutMs: 900 }] }));
    expect(seen).toEqual([30_000, 900]);
  });

  it('answers 404 where no route matches and 400 to a path that cannot be decoded', async () => {
    const url = await start(echo, { routes: [{ routeKey: 'GET /a', functionName: 'f' }] });
    const missing = await fetch(`${url}/b`);
    expect([missing.status, await missing.json()]).toEqual([404, { message: 'Not Found' }]);
    expect((await fetch(`${url}/a`, { method: 'POST' })).status).toBe(404);
    expect((await fetch(`${url}/%E0%A4%A`)).status).toBe(400);
  });

  it('answers 413 to a body over 10 MB, announced or not', async () => {
    const url = await start(ok(1));
    const body = Buffer.alloc(10_485_761, 97);
    for (const sent of [body, new Blob([body]).stream()]) {
      const init = { method: 'POST', body: sent, duplex: 'half' } as RequestInit;
      const response = await fetch(url, init);
      expect([response.status, await response.json()]).toEqual([
        413,
        { message: 'Request Entity Too Large' },
      ]);
    }
    expect((await fetch(url, { method: 'POST', body: body.subarray(1) })).status).toBe(200);
  });

  it('serves static answers before the routes', async () => {
    const url = await start(
      ok(1),
      {},
      {
        static: (request) =>
          request.url === '/tracker.js' ? { status: 200, headers: { etag: '"1"' }, body: 'code' } : undefined,
      },
    );
    const response = await fetch(`${url}/tracker.js`);
    expect([response.headers.get('etag'), await response.text()]).toEqual(['"1"', 'code']);
    expect(await (await fetch(`${url}/other`)).json()).toBe(1);
  });

  it('keeps connections open and survives clients that break off or talk nonsense', async () => {
    const url = await start(async () => {
      await new Promise((resolve) => setTimeout(resolve, 30));
      return { ok: true, value: 'late' };
    });
    const port = Number(new URL(url).port);
    for (const text of ['POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc', 'nonsense\r\n\r\n']) {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => undefined);
      await new Promise((resolve) => socket.write(text, resolve));
      setTimeout(() => socket.destroy(), 5);
    }
    const cut = new AbortController();
    const abandoned = fetch(url, { signal: cut.signal }).catch(() => 'cut');
    setTimeout(() => cut.abort(), 10);
    expect(await abandoned).toBe('cut');
    const response = await fetch(url);
    expect([response.headers.get('connection'), await response.text()]).toEqual(['keep-alive', 'late']);
  });

  it('refuses a taken port in one sentence that says what to do', async () => {
    const port = Number(new URL(await start(echo)).port);
    await expect(start(echo, {}, { port })).rejects.toThrow(
      `Port ${port} is taken: stop what listens there or choose another with PORT=${port + 1} npm start.`,
    );
  });
});

describe('with a CORS configuration the gateway', () => {
  const cors = {
    AllowOrigins: ['https://shop.example', 'http://*'],
    AllowMethods: ['POST', 'GET'],
    AllowHeaders: ['content-type'],
    ExposeHeaders: ['x-id'],
    MaxAge: 300,
  };
  const preflight = (origin: string): RequestInit => ({
    method: 'OPTIONS',
    headers: { origin, 'access-control-request-method': 'POST' },
  });

  it('answers a preflight itself', async () => {
    const url = await start(failure('handled'), { cors });
    const response = await fetch(`${url}/x`, preflight('https://shop.example'));
    expect(response.status).toBe(204);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'access-control-allow-origin': 'https://shop.example',
      'access-control-allow-methods': 'POST,GET',
      'access-control-allow-headers': 'content-type',
      'access-control-max-age': '300',
    });
    const other = await fetch(url, preflight('https://evil.example'));
    expect(other.headers.get('access-control-allow-origin')).toBeNull();
    const wildcard = await fetch(url, preflight('http://any.example'));
    expect(wildcard.headers.get('access-control-allow-origin')).toBe('http://any.example');
  });

  it('replaces the CORS headers of the function', async () => {
    const headers = { 'Access-Control-Allow-Origin': '*', 'Access-Control-Allow-Headers': 'x' };
    const url = await start(ok({ statusCode: 200, headers, body: '' }), { cors });
    const allowed = await fetch(url, { headers: { origin: 'https://shop.example' } });
    expect(allowed.headers.get('access-control-allow-origin')).toBe('https://shop.example');
    expect(allowed.headers.get('access-control-expose-headers')).toBe('x-id');
    expect(allowed.headers.get('access-control-allow-headers')).toBeNull();
    const refused = await fetch(url, { headers: { origin: 'https://evil.example' } });
    expect(refused.headers.get('access-control-allow-origin')).toBeNull();
  });

  it('is absent, the function answers OPTIONS and its headers stay', async () => {
    const headers = { 'Access-Control-Allow-Origin': '*' };
    const response = await fetch(
      await start(ok({ statusCode: 200, headers })),
      preflight('https://a.example'),
    );
    expect([response.status, response.headers.get('access-control-allow-origin')]).toEqual([200, '*']);
  });
});

describe('a route', () => {
  const keys = [
    'ANY /api/{proxy+}',
    'GET /api/{id}',
    'GET /api/sync',
    'ANY /api/sync',
    '$default',
    'GET /api/{id}/x',
  ];
  const find = compileRoutes(keys.map((routeKey) => ({ routeKey, functionName: 'f' })));
  it.each([
    ['GET', '/api/sync', 'GET /api/sync', {}],
    ['POST', '/api/sync', 'ANY /api/sync', {}],
    ['GET', '/api/7', 'GET /api/{id}', { id: '7' }],
    ['GET', '/api/7/x', 'GET /api/{id}/x', { id: '7' }],
    ['POST', '/api/7', 'ANY /api/{proxy+}', { proxy: '7' }],
    ['GET', '/api/7/y/z', 'ANY /api/{proxy+}', { proxy: '7/y/z' }],
    ['GET', '/api/', '$default', {}],
    ['GET', '/', '$default', {}],
  ])('for %s %s is %s', (method, path, routeKey, pathParameters) => {
    expect(find(method, path)).toEqual({ route: { routeKey, functionName: 'f' }, pathParameters });
  });

  it('whose key is not understood is an error that names it', () => {
    expect(() => compileRoutes([{ routeKey: '$connect', functionName: 'f' }])).toThrow(
      /route key "\$connect"/,
    );
  });
});
