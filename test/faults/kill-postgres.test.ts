// Guarantee 1 when the database dies: SIGKILL of every Postgres process under load loses and doubles nothing that was acknowledged.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Postgres } from '../../local/postgres/postgres.ts';
import { cronSecretOf } from '../support/callers.ts';
import { random } from '../support/random.ts';
import { openStack, type TestStack } from '../support/stack.ts';
import { type Books, checkBooks, connect, drain, report } from './books.ts';
import { kills, newSite, startLoad } from './load.ts';
import { crashPostgres, restartPostgres } from './postgres-crash.ts';

const load_ms = { least: 300, spread: 900 };

let stack: TestStack;
let postgres: Postgres;
beforeAll(async () => {
  stack = await openStack({ fsync: true });
  postgres = stack.postgres;
});
afterAll(async () => {
  if (postgres !== stack.postgres) await postgres.stop(); // before the stack removes its files
  await stack.close();
});

test(`${kills} times SIGKILL of all Postgres processes under load: every acknowledged event is billed and delivered once`, async () => {
  const source = random(11);
  const { body: site } = await stack.admin('POST', '/sites', newSite);
  const load = startLoad(stack.url, site);
  const recovered_ms: number[] = [];
  await load.acknowledgedSince(0);
  for (let n = 0; n < kills; n += 1) {
    await sleep(load_ms.least + source.below(load_ms.spread));
    const killed = performance.now();
    await crashPostgres(postgres);
    postgres = await restartPostgres(stack);
    await load.acknowledgedSince(killed);
    recovered_ms.push(performance.now() - killed);
  }
  await sleep(load_ms.least);
  await load.stop();
  const database = await connect(stack.postgres.superuserUrl);
  let books: Books;
  try {
    await drain(database, stack.url, cronSecretOf(stack));
    books = await checkBooks(database, site, load);
  } finally {
    await database.end();
  }
  expect(load.in_doubt.size).toBeGreaterThan(0);
  report(
    {
      name: 'kill-postgres',
      title: 'Postgres killed under load',
      what: 'Six clients send single events and batches, and repeat what was not answered. SIGKILL ends the postmaster and all its children at once; Postgres starts again on the same files.',
    },
    load,
    books,
    recovered_ms,
  );
}, 600_000);
