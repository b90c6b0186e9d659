// Shows what the replay does on its own: same ids and bytes each time, retries, resumption, honest counts.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { finished, kernel, SAMPLE, startKernel } from './run-kernel.ts';
import { type ScriptedStack, SITE, scriptedStack, TOKEN } from './scripted-stack.ts';

let directory: string;
let stack: ScriptedStack;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'replay-'));
  stack = await scriptedStack();
});

afterEach(async () => {
  await stack.close();
  rmSync(directory, { recursive: true, force: true });
});

const state = () => join(directory, 'state.json');
const command = (log: string, ...more: string[]) => [
  ...['replay', log, '--site', SITE.public_id, '--url', stack.url, '--token', TOKEN],
  ...['--state', state(), '--json', ...more],
];
const posts = () => stack.seen.filter((seen) => seen.method === 'POST');
const sent = (body: string) => (JSON.parse(body) as { events: Record<string, unknown>[] }).events;

test('every line becomes one event, and a second run is all duplicates', async () => {
  const first = await kernel(command(SAMPLE));
  expect(first).toMatchObject({ code: 0, stderr: '' });
  expect(JSON.parse(first.stdout)).toMatchObject({
    ...{ site: SITE.public_id, lines: 200, sent: 200, accepted: 200, overage: 0, duplicate: 0 },
    ...{ rejected: 0, conflict: 0, invalid: 0, skipped: 0, batches: 2, retries: 0 },
  });
  const second = await kernel(command(SAMPLE, '--batch', '37', '--concurrency', '1'));
  expect(JSON.parse(second.stdout)).toMatchObject({ accepted: 0, duplicate: 200, conflict: 0, batches: 6 });
  expect(existsSync(state())).toBe(false);
});

test('a site named by its UUID and one named by its public id give the same payloads', async () => {
  await kernel(command(SAMPLE));
  const other = await kernel(command(SAMPLE).map((word) => (word === SITE.public_id ? SITE.id : word)));
  expect(JSON.parse(other.stdout)).toMatchObject({ site: SITE.public_id, duplicate: 200, conflict: 0 });
});

test('an event carries the time of the log in meta and never the address of the client', async () => {
  await kernel(command(SAMPLE, '--concurrency', '1'));
  const [event] = sent(posts()[0]?.body ?? '');
  expect(event).toMatchObject({
    s: SITE.public_id,
    url: 'https://shop.example/',
    ec: 'page',
    ea: 'view',
    el: 'GET 200',
  });
  expect(event?.i).toMatch(/^log-1-[0-9a-f]{16}$/);
  expect(event).not.toHaveProperty('t');
  expect(event).toMatchObject({
    meta: { time: '2026-01-05T00:05:40.000Z', method: 'GET', status: 200, line: 1 },
  });
  expect(posts()[0]?.body).not.toContain(readFileSync(SAMPLE, 'utf8').split(' ')[0]);
  expect(posts()[0]?.headers.origin).toBe('https://shop.example');
});

test('with a key the request carries the key and no origin', async () => {
  await kernel(command(SAMPLE, '--key', 'rk_secret'));
  expect(posts()[0]?.headers.authorization).toBe('Bearer rk_secret');
  expect(posts()[0]?.headers.origin).toBeUndefined();
});

test('without an admin token a key is enough, and the URLs begin with the given origin', async () => {
  const args = [
    'replay',
    SAMPLE,
    '--site',
    'pub_shop',
    '--key',
    'k',
    '--origin',
    'https://a.example',
    '--json',
  ];
  const run = await kernel([...args, '--url', stack.url, '--state', state()]);
  expect(run.code).toBe(0);
  expect(stack.seen.every((seen) => seen.url === '/api/sync')).toBe(true);
  expect(sent(posts()[0]?.body ?? '')[0]?.url).toBe('https://a.example/');
});

test('a 503 is sent again after its Retry-After, and nothing is counted twice', async () => {
  const times: number[] = [];
  stack.script = (seen) => {
    if (seen.method !== 'POST') return undefined;
    times.push(Date.now());
    if (times.length > 1) return undefined;
    return { status: 503, headers: { 'retry-after': '1' }, body: { ok: false, error: 'Busy', code: 'busy' } };
  };
  const run = await kernel(command(SAMPLE, '--concurrency', '1'));
  expect(JSON.parse(run.stdout)).toMatchObject({ accepted: 200, duplicate: 0, retries: 1 });
  expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThanOrEqual(1000);
  expect(run.stderr).toContain('retry 1 in');
  expect(run.stderr).toContain('Busy (HTTP 503, code busy)');
});

test('a rate limit and a dropped connection are sent again', async () => {
  let n = 0;
  stack.script = (seen) => {
    if (seen.method !== 'POST') return undefined;
    n += 1;
    if (n === 1) return 'drop';
    if (n > 2) return undefined;
    const headers = { 'x-opsmantik-ratelimit': '1', 'retry-after': new Date().toUTCString() };
    return { status: 429, headers, body: { ok: false, error: 'Rate limit' } };
  };
  const run = await kernel(command(SAMPLE, '--concurrency', '1'));
  expect(run.code).toBe(0);
  expect(JSON.parse(run.stdout)).toMatchObject({ accepted: 200, retries: 2 });
});

test('a refusal by quota is counted event by event and not sent again', async () => {
  stack.script = (seen) => {
    if (seen.method !== 'POST') return undefined;
    const cycle = ['overage', 'rejected_quota', 'invalid', 'conflict'];
    const results = sent(seen.body).map((_, i) => ({ status: cycle[i % 4], code: 'some_code' }));
    return { status: 429, headers: { 'x-opsmantik-quota-exceeded': '1' }, body: { ok: false, results } };
  };
  const run = await kernel(command(SAMPLE));
  const each = { accepted: 50, overage: 50, rejected: 50, invalid: 50, conflict: 50 };
  expect(JSON.parse(run.stdout)).toMatchObject({ sent: 200, retries: 0, batches: 2, ...each });
  expect(run.stderr).toContain('line 3: invalid (some_code)');
});

test('a stack that stays down ends the run after 8 attempts with exit 1 and the line to resume at', async () => {
  let n = 0;
  stack.script = (seen) => {
    if (seen.method !== 'POST') return undefined;
    n += 1;
    const body = { ok: false, status: 'billing_gate_closed' };
    return n === 1 ? undefined : { status: 500, headers: { 'retry-after': '0' }, body };
  };
  const run = await kernel(command(SAMPLE, '--concurrency', '1', '--batch', '50'));
  expect(run.code).toBe(1);
  expect(n).toBe(9);
  expect(JSON.parse(run.stdout)).toMatchObject({ accepted: 50, retries: 7 });
  expect(run.stderr).toContain('Lines 51 to 100 could not be sent: 8 attempts failed.');
  stack.script = () => undefined;
  const again = await kernel(command(SAMPLE));
  expect(again.stderr).toContain('Resuming at line 51');
  expect(JSON.parse(again.stdout)).toMatchObject({ from_line: 51, lines: 150, accepted: 150, duplicate: 0 });
  expect(stack.ledger.size).toBe(200);
});

test('an interrupted run exits 130, says how to resume, and the next run sends the rest', async () => {
  let n = 0;
  const child = startKernel(command(SAMPLE, '--concurrency', '1', '--batch', '20'));
  stack.script = (seen) => {
    if (seen.method !== 'POST') return undefined;
    n += 1;
    if (n <= 3) return undefined;
    child.kill('SIGINT');
    return 'hang';
  };
  const run = await finished(child);
  expect(run).toMatchObject({ code: 130, stdout: '' });
  expect(run.stderr).toContain('Interrupted. Run the same command again to resume at line 61.');
  stack.script = () => undefined;
  const again = await kernel(command(SAMPLE));
  expect(JSON.parse(again.stdout)).toMatchObject({ from_line: 61, accepted: 140, duplicate: 0 });
  expect(existsSync(state())).toBe(false);
});

test('--restart begins at line 1 and --from-line at the line it names', async () => {
  stack.script = (seen) => {
    if (seen.method !== 'POST' || posts().length < 2) return undefined;
    return { status: 403, body: { ok: false, error: 'The origin is not allowed.', code: 'origin_denied' } };
  };
  const stopped = await kernel(command(SAMPLE, '--concurrency', '1'));
  expect(stopped.code).toBe(1);
  expect(stopped.stderr).toContain('The origin is not allowed (HTTP 403, code origin_denied)');
  expect(existsSync(state())).toBe(true);
  stack.script = () => undefined;
  const tail = await kernel(command(SAMPLE, '--from-line', '191', '--state', join(directory, 'other.json')));
  expect(JSON.parse(tail.stdout)).toMatchObject({ lines: 10, accepted: 10 });
  const restarted = await kernel(command(SAMPLE, '--restart'));
  expect(JSON.parse(restarted.stdout)).toMatchObject({ lines: 200, accepted: 90, duplicate: 110 });
});

test('a line without its closing quote is sent, and lines that cannot be parsed are counted and named', async () => {
  const log = join(directory, 'odd.log');
  const good = readFileSync(SAMPLE, 'utf8').split('\n').slice(0, 2);
  const open =
    '192.0.2.1 - - [05/Jan/2026:12:05:17 +0000] "GET /x.py HTTP/1.1" 200 235 "-" "Bot (+http://b/b.html';
  const broken = '192.0.2.1 - - [05/Jan/2026:12:05:17 +0000] "-" 408 - "-" "-"';
  writeFileSync(log, [good[0], broken, open, ...Array<string>(30).fill('nonsense'), good[1]].join('\n'));
  const run = await kernel(command(log));
  expect(run.code).toBe(0);
  expect(JSON.parse(run.stdout)).toMatchObject({ lines: 34, sent: 3, accepted: 3, skipped: 31 });
  const named = run.stderr.split('\n').filter((line) => line.startsWith('line '));
  expect(named).toHaveLength(20);
  expect(named[0]).toBe('line 2: no request');
  expect(run.stderr).toContain('more lines cannot be parsed');
});

test('a pace of 400 events a second takes at least the time it names', async () => {
  const run = await kernel(command(SAMPLE, '--rate', '400', '--batch', '50'));
  expect((JSON.parse(run.stdout) as { seconds: number }).seconds).toBeGreaterThanOrEqual(0.37);
});
