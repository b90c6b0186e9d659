// Flat memory: a long export and a reconciliation of many sites, each in a process of its own, need no more than they may.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import {
  askForExport,
  memory_max,
  plantDelivered,
  plantSites,
  type Surroundings,
  surround,
} from '../../bench/large-ledger.ts';
import { openDatabase, type TestDatabase } from '../support/database.ts';
import { monthsAgo } from '../support/frozen-month.ts';

const rows_planted = Number(process.env.ROWS ?? 200_000);
const sites_count = 100;
/** Of all sites but the one that is exported. */
const rows_beside = 10_000;
const current = monthsAgo(0);

let database: TestDatabase;
let surroundings: Surroundings;
let directory: string;
let small: string;
let large: string;
beforeAll(async () => {
  database = await openDatabase();
  directory = await mkdtemp(join(tmpdir(), 'kernel-memory-'));
  const { port, pathname } = new URL(database.url);
  const target = { port: Number(port), name: pathname.slice(1), masterPassword: inject('masterPassword') };
  surroundings = await surround(target, directory);
  [small = ''] = await plantSites(database.superuser, current, sites_count - 1, rows_beside);
  [large = ''] = await plantSites(database.superuser, current, 1, rows_planted);
});
afterAll(async () => {
  await surroundings?.close();
  await database?.close();
  await rm(directory, { recursive: true, force: true });
});

test(`an export of ${rows_planted} rows needs less than 300 MiB`, async () => {
  const ids = [
    await askForExport(database.superuser, small, current),
    await askForExport(database.superuser, large, current),
  ];
  const outcome = await surroundings.measured('export', ...ids);
  expect(outcome.rows).toBe(String(rows_planted));
  expect(outcome.growth).toBeLessThan(memory_max);
}, 300_000);

test(`a reconciliation of ${sites_count} sites with more rows than that finds all well in less than 300 MiB`, async () => {
  await plantDelivered(database.superuser, current);
  const outcome = await surroundings.measured('reconcile');
  expect(outcome).toMatchObject({ rows: String(rows_planted + rows_beside), wrong: 0, jobs: sites_count });
  expect(outcome.growth).toBeLessThan(memory_max);
}, 300_000);
