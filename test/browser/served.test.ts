// What is served and shipped: the file at /tracker.js with its hash, the example page, the size, and the package that a project installs.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { chromium } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { demoSite } from '../../local/demo-site.ts';
import { demoUsers } from '../../local/issuer.ts';
import { packTracker } from '../../scripts/pack-tracker.ts';
import { version } from '../../tracker/wire.ts';
import { openStack, type TestStack } from '../support/stack.ts';
import { eventually, executablePath, inBrowser } from './shop.ts';

const root = join(import.meta.dirname, '../..');
const gzip_bytes_max = 2_048;

let stack: TestStack;
beforeAll(async () => {
  stack = await openStack();
});
afterAll(() => stack.close());

test.each(['browser.mjs', 'tracker.js'])(`%s has at most ${gzip_bytes_max} bytes with gzip`, (name) => {
  const file = readFileSync(join(root, 'dist/tracker', name));
  expect(gzipSync(file, { level: 9 }).length).toBeLessThanOrEqual(gzip_bytes_max);
});

test('the package depends on nothing, and its version is the one that the tracker tells', () => {
  const manifest = JSON.parse(readFileSync(join(root, 'tracker/package.json'), 'utf8'));
  expect(manifest.version).toBe(version);
  expect(Object.keys(manifest).filter((key) => /dependencies/i.test(key))).toEqual([]);
});

test('/tracker.js has an ETag, and /tracker.json the hash that pins it and the name that keeps it', async () => {
  const script = await fetch(`${stack.url}/tracker.js`);
  const etag = script.headers.get('etag') ?? '';
  expect(etag).toMatch(/^"[\w-]{27}"$/);
  expect(Object.fromEntries(script.headers)).toMatchObject({
    'content-type': 'text/javascript; charset=utf-8',
    'access-control-allow-origin': '*',
    'x-content-type-options': 'nosniff',
  });
  const again = await fetch(`${stack.url}/tracker.js`, { headers: { 'if-none-match': `"x", W/${etag}` } });
  expect([again.status, await again.text()]).toEqual([304, '']);
  const text = await script.text();
  const about = (await (await fetch(`${stack.url}/tracker.json`)).json()) as { version: string };
  const integrity = `sha384-${createHash('sha384').update(text).digest('base64')}`;
  expect(about).toMatchObject({ version, integrity, bytes: text.length });
  const kept = await fetch(`${stack.url}/tracker-${about.version}.js`);
  expect(kept.headers.get('cache-control')).toContain('immutable');
  expect(await kept.text()).toBe(text);
  for (const path of ['/tracker-0.0.0.js', '/tracker.js/x', '/server.mjs'])
    expect((await fetch(`${stack.url}${path}`)).status).toBe(404);
  expect((await fetch(`${stack.url}/tracker.js`, { method: 'POST' })).status).toBe(404);
});

inBrowser(
  'the example page counts its view and each click, from either name of the machine',
  async () => {
    const admin = demoUsers.find(({ role }) => role === 'platform-admin') as (typeof demoUsers)[0];
    const { public_id } = await demoSite(stack.url, await stack.issuer.token(admin));
    const usage = async () => (await stack.admin('GET', `/sites/${public_id}/usage`)).body.ledger.billable;
    const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
    const page = await browser.newPage();
    const errors: string[] = [];
    page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
    page.on('pageerror', (error) => errors.push(String(error)));
    let counted = 0;
    for (const url of [stack.url, stack.url.replace('127.0.0.1', 'localhost')]) {
      await page.goto(`${url}/example`);
      for (let n = 0; n < 2; n++) await page.getByRole('button').click();
      await page.goto('about:blank');
      counted += 3;
      await eventually(usage, String(counted));
    }
    expect(errors).toEqual([]);
    await browser.close();
  },
  60_000,
);

test('the package that is packed has types for both builds, and its server build runs on this Node', async () => {
  const project = mkdtempSync(join(tmpdir(), 'tracker-project-'));
  const installed = join(project, 'node_modules/@revenue-kernel/tracker');
  mkdirSync(installed, { recursive: true });
  writeFileSync(join(installed, 'package.json'), readFileSync(join(root, 'tracker/package.json')));
  await packTracker(join(installed, 'dist'));
  writeFileSync(
    join(project, 'use.mts'),
    `import { createTracker } from '@revenue-kernel/tracker';
import { createClient, type Outcome } from '@revenue-kernel/tracker/server';
interface Events { shop: { buy: { value: number } } }
export const tracker = createTracker<Events>({ site: 's' });
tracker.track('shop', 'buy', { value: 1 });
// @ts-expect-error the value is needed
tracker.track('shop', 'buy');
export const told: Promise<Outcome> = createClient<Events>({ site: 's', key: 'k', url: 'u' }).track('shop', 'buy', { value: 2 });
`,
  );
  const compiler = join(root, 'node_modules/.bin/tsc');
  const settings = [
    '--noEmit',
    '--strict',
    '--module',
    'nodenext',
    '--target',
    'es2022',
    '--lib',
    'es2022,dom',
  ];
  execFileSync(compiler, [...settings, '--types', '', 'use.mts'], { cwd: project, stdio: 'pipe' });
  const program = `const { createClient } = await import('@revenue-kernel/tracker/server');
    const { status } = await createClient({ site: 's', key: 'k', url: 'http://127.0.0.1:1/', give_up_ms: 1 }).track('a', 'b');
    console.log(status);`;
  const said = execFileSync(process.execPath, ['--input-type=module', '-e', program], { cwd: project });
  expect(String(said).trim()).toBe('unknown');
  rmSync(project, { recursive: true, force: true });
}, 60_000);
