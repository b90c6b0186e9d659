// What ingest remembers of a site, on a real database and a clock of the test: a revoked key works 30 s at most, a wrong one is never kept.
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { createKey, createSite, revokeKey } from '../../shared/administration.ts';
import type { Database } from '../../shared/ports.ts';
import { authorize, site_cache_ms, siteLookup } from '../../shared/site.ts';
import { type MountedDataApi, mountDataApi } from '../support/data-api.ts';
import { openDatabase, type TestDatabase } from '../support/database.ts';

let engine: TestDatabase;
let api: MountedDataApi;
let database: Database;
beforeAll(async () => {
  engine = await openDatabase();
  const { port, pathname } = new URL(engine.url);
  api = await mountDataApi(Number(port), inject('masterPassword'));
  database = api.database(pathname.slice(1));
});
afterAll(async () => {
  await api.close();
  await engine.close();
});

/** A lookup with its own cache, a clock that stands until it is set, and the number of questions to the database. */
function open() {
  let now_ms = Date.UTC(2026, 0, 1);
  let asked = 0;
  const counting: Database = {
    query: (...call) => {
      asked++;
      return database.query(...call);
    },
  };
  return {
    lookup: siteLookup(counting, { now: () => new Date(now_ms) }),
    pass: (time_ms: number) => {
      now_ms += time_ms;
    },
    asked: () => asked,
  };
}

async function siteWithKey() {
  const site = await createSite(
    database,
    { name: 'Cached', origins: ['https://example.com'], api_key: true },
    'test',
  );
  return { ...site, api_key: String(site.api_key), key_id: String(site.key_id) };
}

test('a revoked key stops working everywhere within 30 seconds', async () => {
  const site = await siteWithKey();
  const { lookup, pass } = open();
  const enter = async () => authorize(await lookup(site.public_id, site.api_key), undefined, site.api_key);
  await enter();
  await revokeKey(database, site.id, site.key_id, 'test');
  pass(site_cache_ms - 1);
  await enter();
  pass(1);
  await expect(enter()).rejects.toMatchObject({ code: 'api_key_invalid' });
  expect(site_cache_ms).toBe(30_000);
});

test('a key revoked before it was ever seen does not work at all', async () => {
  const site = await siteWithKey();
  await revokeKey(database, site.id, site.key_id, 'test');
  const found = await open().lookup(site.public_id, site.api_key);
  expect(() => authorize(found, 'https://example.com', site.api_key)).toThrow(/not a live key/);
});

test('the oldest key stops working within 30 seconds of a rotation, the new one works at once', async () => {
  const site = await siteWithKey();
  await createKey(database, site.id, false, 'test');
  const { lookup, pass } = open();
  const enter = async (key: string) => authorize(await lookup(site.public_id, key), undefined, key);
  await enter(site.api_key);
  const { api_key } = await createKey(database, site.id, true, 'test');
  await enter(api_key);
  pass(site_cache_ms);
  await enter(api_key);
  await expect(enter(site.api_key)).rejects.toMatchObject({ code: 'api_key_invalid' });
});

test('a good key is asked for once in 30 seconds', async () => {
  const site = await siteWithKey();
  const { lookup, pass, asked } = open();
  for (let n = 0; n < 5; n++) await lookup(site.public_id, site.api_key);
  expect(asked()).toBe(1);
  pass(site_cache_ms);
  await lookup(site.public_id, site.api_key);
  expect(asked()).toBe(2);
});

test('a wrong key is not remembered, so that a flood of them pushes out no good entry, and works as soon as it is a key', async () => {
  const site = await siteWithKey();
  const { lookup, asked } = open();
  const key = `rk_${'later'.repeat(8)}`;
  expect((await lookup(site.public_id, key)).key_hash).toBeNull();
  expect((await lookup(site.public_id, key)).key_hash).toBeNull();
  expect(asked()).toBe(2);
  const hash = createHash('sha256').update(key).digest('hex');
  await database.query('select create_api_key(:site, :hash, :prefix, false, :actor)::text', {
    ...{ site: site.id, hash, prefix: 'rk_later', actor: 'test' },
  });
  expect((await lookup(site.public_id, key)).key_hash).toBe(hash);
  await lookup(site.public_id, key);
  expect(asked()).toBe(3);
});
