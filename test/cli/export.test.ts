// What export does on its own when the stack is slow and the store is not well: polls, goes on, asks for a new link, trusts no byte.
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { kernel } from './run-kernel.ts';

const content = Buffer.from(`header\n${'a,b,3,ACCEPTED,true\n'.repeat(20_000)}end`);
const hash = createHash('sha256').update(content).digest('hex');
const folder = mkdtempSync(join(tmpdir(), 'kernel-export-'));
const file = join(folder, 'out.csv');

/** Answers of the store, in order; the last one stays. */
type Store = (request: IncomingMessage, response: ServerResponse, from: number) => void;
let store: Store[];
/** How often the stack says that it is still building. */
let building: number;
let seen: {
  asked: string[];
  ranges: (string | undefined)[];
  polledAt: number[];
  tokens: (string | undefined)[];
};
let url: string;

const whole: Store = (_, response, from) => {
  const range = { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` };
  response.writeHead(from > 0 ? 206 : 200, from > 0 ? range : {}).end(content.subarray(from));
};
const dropped: Store = (_, response, from) => {
  response.writeHead(from > 0 ? 206 : 200, {
    'content-length': content.length - from,
    ...(from > 0 && { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` }),
  });
  response.write(content.subarray(from, from + 100_000), () => setTimeout(() => response.destroy(), 20));
};
const expired: Store = (_, response) => response.writeHead(403).end();
const withoutRanges: Store = (_, response) => response.writeHead(200).end(content);
const wrong: Store = (_, response) => response.writeHead(200).end(Buffer.alloc(content.length, 'x'));

function stack(request: IncomingMessage, response: ServerResponse): void {
  seen.asked.push(request.url ?? '');
  const found = { ok: true, export_id: '7', row_count: '20000', rows_done: '9000', export_hash: hash };
  if (building > 0) {
    building -= 1;
    seen.polledAt.push(Date.now());
    const location = '/api/billing/dispute-export?site_id=s&year_month=2026-01&export_id=7';
    response.writeHead(202, { location, 'retry-after': '1' }).end(JSON.stringify(found));
    return;
  }
  const links = { url: `${url}/object`, manifest_url: `${url}/manifest`, bytes: String(content.length) };
  response
    .writeHead(200, { 'content-type': 'application/json; charset=utf-8', 'x-opsmantik-export-hash': hash })
    .end(JSON.stringify({ ...found, ...links }));
}

const server = createServer((request, response) => {
  if (request.url === '/manifest') response.end('{"manifest":true}');
  else if (request.url !== '/object') stack(request, response);
  else {
    seen.tokens.push(request.headers.authorization);
    seen.ranges.push(request.headers.range);
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    (store.length > 1 ? store.shift() : store[0])?.(request, response, from);
  }
});

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(() => {
  seen = { asked: [], ranges: [], polledAt: [], tokens: [] };
  building = 0;
  for (const left of [file, `${file}.part`, `${file}.manifest.json`]) rmSync(left, { force: true });
});

const run = () =>
  kernel(['export', 's', '--month', '2026-01', '--out', file, '--json'], {
    KERNEL_URL: url,
    KERNEL_TOKEN: 'secret-token',
  });

test('polls the place that a 202 names, as seldom as it asks, and then downloads', async () => {
  store = [whole];
  building = 2;
  expect((await run()).code).toBe(0);
  expect(seen.asked.slice(1)).toEqual(
    Array(2).fill('/api/billing/dispute-export?site_id=s&year_month=2026-01&export_id=7'),
  );
  expect((seen.polledAt[1] ?? 0) - (seen.polledAt[0] ?? 0)).toBeGreaterThanOrEqual(990);
  expect(readFileSync(file).equals(content)).toBe(true);
  expect(readFileSync(`${file}.manifest.json`, 'utf8')).toBe('{"manifest":true}');
});

test('never shows its token to the store', async () => {
  store = [whole];
  await run();
  expect(seen.tokens).toEqual([undefined]);
});

test('goes on with a range after each dropped connection and after an expired link, of the same export', async () => {
  store = [dropped, dropped, expired, whole];
  const { code, stdout, stderr } = await run();
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ export_hash: hash, rows: 20_001, bytes: content.length });
  expect(seen.ranges).toHaveLength(4);
  const starts = seen.ranges.map((range) => Number(/\d+/.exec(range ?? '0')?.[0]));
  expect(starts).toEqual(starts.toSorted((a, b) => a - b)); // a connection may drop before its first byte
  expect(starts[3]).toBe(starts[2]);
  expect(starts[3]).toBeGreaterThan(0);
  expect(seen.asked.slice(1).every((path) => path.endsWith('&export_id=7'))).toBe(true);
  expect(stderr).toMatch(/^retry 3 in .* s: the store answered HTTP 403; .*out\.csv\.part keeps \d+ bytes$/m);
});

test('a store that knows no ranges is read from the beginning', async () => {
  store = [dropped, withoutRanges];
  expect((await run()).code).toBe(0);
  expect(readFileSync(file).equals(content)).toBe(true);
});

test('bytes with another hash are never given the name that was asked for', async () => {
  store = [wrong];
  const { code, stderr } = await run();
  expect(code).toBe(1);
  expect(stderr).toContain(`but ${hash} was announced`);
  expect([existsSync(file), existsSync(`${file}.part`)]).toEqual([false, false]);
});
