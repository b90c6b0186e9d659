// How the console is served: the rewrite that CloudFront and the local stack share, caching, headers and settings.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { consoleFiles, rewriteFunction } from '../../local/http/console.ts';

const folder = mkdtempSync(join(tmpdir(), 'console-files-'));
const issuer = {
  url: 'http://127.0.0.1:9',
  authorization_endpoint: 'http://127.0.0.1:9/oauth2/authorize',
  token_endpoint: 'http://127.0.0.1:9/oauth2/token',
};
let url: string;
let policy = '';
let server: ReturnType<typeof createServer>;
beforeAll(async () => {
  mkdirSync(join(folder, 'assets'));
  writeFileSync(join(folder, 'index.html'), '<!doctype html><title>console</title>');
  writeFileSync(join(folder, 'theme.js'), '1');
  writeFileSync(join(folder, 'assets/index-abc.js'), '2');
  const files = consoleFiles(folder, { stage: 'local', region: 'eu-west-1', issuer });
  server = createServer((request, response) => {
    const answer = files(request) ?? { status: 599, headers: {}, body: 'the routes' };
    response.writeHead(answer.status, answer.headers).end(answer.body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  await new Promise((resolve) => server.close(resolve));
  rmSync(folder, { recursive: true });
});
const get = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
  fetch(`${url}${path}`, { method, headers, redirect: 'manual' });

/** What is asked, and what CloudFront then asks the bucket for, or where it sends the browser. */
const rewrites: [asked: string, becomes: string][] = [
  ['/console', '/console/index.html'],
  ['/console/', '/console/index.html'],
  ['/console/sites/s_9f2', '/console/index.html'],
  ['/console/sites/s_9f2/invoices/2026-10', '/console/index.html'],
  ['/console/signed-in?code=a.b&state=c', '/console/index.html'],
  ['/console/assets/index-abc.js', '/console/assets/index-abc.js'],
  ['/console/assets/gone.js', '/console/assets/gone.js'],
  ['/console/theme.js', '/console/theme.js'],
  ['/config.json', '/config.json'],
  ['/finance/withdrawals', '302 /console/finance/withdrawals'],
  [
    '/finance/withdrawals?state=paid&a=1&a=2&q=%C3%A9',
    '302 /console/finance/withdrawals?state=paid&a=1&a=2&q=%C3%A9',
  ],
  ['/consoles', '/consoles'],
  ['/api/v1/finance/withdrawals', '/api/v1/finance/withdrawals'],
];
test.each(rewrites)('%s becomes %s', (asked, becomes) => {
  const [uri = '', query = ''] = asked.split('?');
  const querystring: Record<string, { value: string; multiValue?: { value: string }[] }> = {};
  for (const [name = '', value = ''] of query
    .split('&')
    .filter(Boolean)
    .map((part) => part.split('='))) {
    const values = [...(querystring[name]?.multiValue ?? []), { value }];
    querystring[name] = { value: values[0]?.value ?? '', multiValue: values };
  }
  const answer = rewriteFunction()({ request: { method: 'GET', uri, querystring } });
  const said = 'statusCode' in answer ? `${answer.statusCode} ${answer.headers.location?.value}` : answer.uri;
  expect(said).toBe(becomes);
});

test('every page is the one document, asked for each time, and a hashed file is kept for ever', async () => {
  for (const path of ['/console', '/console/sites/x', '/console/player/wallet']) {
    const page = await get(path);
    expect([page.status, page.headers.get('content-type'), page.headers.get('cache-control')]).toEqual([
      200,
      'text/html; charset=utf-8',
      'no-cache',
    ]);
    expect(await page.text()).toContain('<title>console</title>');
  }
  const asset = await get('/console/assets/index-abc.js');
  expect(asset.headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
  expect(asset.headers.get('content-type')).toBe('text/javascript; charset=utf-8');
  expect((await get('/console/theme.js')).headers.get('cache-control')).toBe('no-cache');
  const again = await get('/console', { 'if-none-match': (await get('/console')).headers.get('etag') ?? '' });
  expect(again.status).toBe(304);
});

test('a file that is missing is 404 and never the document, and no path leads out of the folder', async () => {
  for (const path of [
    '/console/assets/gone.js',
    '/console/gone.svg',
    '/console/x/%2e%2e%2ftheme.js',
    '/console/assets/..%2f..%2fx.js',
  ])
    expect([path, (await get(path)).status]).toEqual([path, 404]);
});

test('the old address of the withdrawals leads to the page with its query', async () => {
  const answer = await get('/finance/withdrawals?state=paid&state=failed&q=a%20b');
  expect([answer.status, answer.headers.get('location')]).toEqual([
    302,
    '/console/finance/withdrawals?state=paid&state=failed&q=a%20b',
  ]);
});

test('the API, other methods and other paths are left to the routes', async () => {
  for (const path of [
    '/',
    '/api/health',
    '/consoles',
    '/api/v1/finance/withdrawals',
    '/finance/withdrawals/x',
  ])
    expect([path, (await get(path)).status]).toEqual([path, 599]);
  expect((await get('/console', {}, 'POST')).status).toBe(599);
});

test('a page may run its own files only, and call its origin and the issuer only', async () => {
  const { headers } = await get('/console/sites');
  policy = headers.get('content-security-policy') ?? '';
  expect(policy).not.toMatch(/unsafe|\*/);
  expect(policy.split('; ')).toEqual(
    expect.arrayContaining([
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      `connect-src 'self' ${issuer.url}`,
      "frame-ancestors 'none'",
      "require-trusted-types-for 'script'",
    ]),
  );
  expect(headers.get('referrer-policy')).toBe('no-referrer');
  expect(headers.get('x-content-type-options')).toBe('nosniff');
});

test('CloudFront sends the same policy', () => {
  const infra = readFileSync(join(import.meta.dirname, '../../infra/console-distribution.ts'), 'utf8');
  const [, list = ''] = /function contentSecurityPolicy[^[]*\[([^\]]*)\]/.exec(infra) ?? [];
  const there = [...list.matchAll(/["`]([^"`]+)["`],/g)].map(([, one]) =>
    one?.replace(/\$\{\w+\}/, issuer.url),
  );
  expect(there.toSorted()).toEqual(policy.split('; ').toSorted());
});

test('the settings name the stage, its issuer and a build that changes with the document', async () => {
  const answer = await get('/config.json');
  expect(answer.headers.get('cache-control')).toBe('no-cache');
  expect(await answer.json()).toEqual({
    stage: 'local',
    build: expect.stringMatching(/^[0-9a-f]{12}$/),
    region: 'eu-west-1',
    issuer: issuer.url,
    client_id: 'local-client',
    authorization_endpoint: issuer.authorization_endpoint,
    token_endpoint: issuer.token_endpoint,
    languages: ['en', 'tr'],
  });
});
