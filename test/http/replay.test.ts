// The operator's command against the whole stack: an access log becomes billed events, each line once however often it is replayed.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { demoUsers } from '../../local/issuer.ts';
import { kernel, SAMPLE } from '../cli/run-kernel.ts';
import { sharedStack } from '../support/shared-stack.ts';
import type { TestStack } from '../support/stack.ts';

const lines = 200;

/** The proof that the requirements ask for, as they write it. */
const proof = `SELECT i.site_id, i.year_month, i.billable_count, u.event_count
  FROM (SELECT site_id, year_month, count(*)::int AS billable_count
          FROM ingest_idempotency WHERE billable = true GROUP BY 1, 2) i
  LEFT JOIN site_usage_monthly u ON u.site_id = i.site_id AND u.year_month = i.year_month
 ORDER BY i.billable_count DESC`;

let stack: TestStack;
let directory: string;
let target: string[];
beforeAll(async () => {
  stack = await sharedStack();
  directory = await mkdtemp(join(tmpdir(), 'kernel-replay-'));
  const token = await stack.issuer.token(
    demoUsers.find(({ role }) => role === 'platform-admin') as (typeof demoUsers)[0],
  );
  target = ['--url', stack.url, '--token', token, '--json'];
});
afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
});

async function run(...args: string[]) {
  const { code, stdout, stderr } = await kernel([...args, ...target]);
  return { code, stderr, out: stdout === '' ? {} : JSON.parse(stdout) };
}
const replay = (site: string, ...more: string[]) =>
  run('replay', SAMPLE, '--site', site, '--batch', '50', '--state', join(directory, site), ...more);

async function newSite(limit: number): Promise<{ id: string; public_id: string; api_key: string }> {
  const { code, out } = await run(
    ...['site', 'create', '--name', 'Replayed', '--origin', 'https://shop.example', '--limit', `${limit}`],
  );
  expect(code).toBe(0);
  return out;
}

async function proved(site: string) {
  const { rows } = await stack.database.query(proof);
  return rows.filter(({ site_id }) => site_id === site);
}

test('a log of 200 lines is billed 200 times by the first replay and never again, and every side agrees', async () => {
  const site = await newSite(1_000);
  const first = await replay(site.public_id);
  expect(first).toMatchObject({
    code: 0,
    out: { lines, sent: lines, accepted: lines, duplicate: 0, skipped: 0 },
  });
  const second = await replay(site.id, '--key', site.api_key);
  expect(second).toMatchObject({ code: 0, out: { sent: lines, accepted: 0, duplicate: lines, conflict: 0 } });
  await stack.delivered();

  const usage = await run('usage', site.public_id);
  expect(usage).toMatchObject({
    code: 0,
    out: {
      ledger: { billable: '200', overage: '0', rejected: '0' },
      usage_row: { event_count: '200' },
      counter: { used: '200' },
      events: { delivered: '200' },
      outbox: { waiting: '0' },
      drift: '0',
    },
  });
  const year_month = usage.out.year_month;
  expect(await proved(site.id)).toEqual([
    { site_id: site.id, year_month, billable_count: lines, event_count: String(lines) },
  ]);
  const { rows } = await stack.database.query(
    `select count(*)::int events, count(distinct payload ->> 'i')::int ids,
            (select count(*)::int from ingest_idempotency l
              where l.site_id = $1 and l.billable and not exists (select from events d where d.id = l.id)) missing
       from events where site_id = $1`,
    [site.id],
  );
  expect(rows).toEqual([{ events: lines, ids: lines, missing: 0 }]);
});

test('a limit of 50 admits 50 lines and rejects 150, again and again', async () => {
  const site = await newSite(50);
  expect(await replay(site.public_id)).toMatchObject({ code: 0, out: { accepted: 50, rejected: 150 } });
  expect(await replay(site.public_id)).toMatchObject({
    code: 0,
    out: { accepted: 0, duplicate: 50, rejected: 150 },
  });
  await stack.delivered();
  expect(await stack.counts(site.id)).toEqual({
    billable: 50,
    usage: 50,
    outbox: 0,
    events: 50,
    counter: 50,
  });
  expect(await proved(site.id)).toMatchObject([{ billable_count: 50, event_count: '50' }]);
});

test('usage exits 3 and says so when the usage row does not say what the ledger says', async () => {
  const site = await newSite(1_000);
  await stack.sync(
    { s: site.public_id, i: 'one', url: 'https://shop.example/' },
    { origin: 'https://shop.example' },
  );
  expect((await run('usage', site.public_id)).code).toBe(0);
  await stack.database.query(
    'update site_usage_monthly set event_count = event_count + 1 where site_id = $1',
    [site.id],
  );
  const usage = await run('usage', site.public_id);
  expect(usage).toMatchObject({ code: 3, out: { drift: '1' } });
  expect(usage.stderr).toMatch(/drift/i);
});
