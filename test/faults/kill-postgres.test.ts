// Guarantee 1 when the database dies: SIGKILL of every Postgres process under load loses and doubles nothing that was acknowledged.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Postgres, startPostgres } from '../../local/postgres/postgres.ts';
import { databaseName } from '../../local/start.ts';
import { random } from '../support/random.ts';
import { openStack, type TestStack } from '../support/stack.ts';
import { type Books, checkBooks, connect, drain, report } from './books.ts';
import { kills, newSite, startLoad } from './load.ts';

const load_ms = { least: 300, spread: 900 };

let stack: TestStack;
let postgres: Postgres;
beforeAll(async () => {
  stack = await openStack();
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
    for (const pid of treeOf(postgres.pid)) sigkill(pid);
    await postgres.exited;
    postgres = await startPostgres({
      directory: join(stack.directory, 'postgres'),
      masterPassword: stack.state.secret(secretId('AWS::SecretsManager::SecretTargetAttachment', '')),
      database: databaseName,
      port: stack.postgres.port,
    });
    await load.acknowledgedSince(killed);
    recovered_ms.push(performance.now() - killed);
  }
  await sleep(load_ms.least);
  await load.stop();
  const database = await connect(stack.postgres.superuserUrl);
  let books: Books;
  try {
    const cronSecret = stack.state.secret(secretId('AWS::SecretsManager::Secret', 'CronSecret'));
    await drain(database, stack.url, cronSecret);
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

function secretId(type: string, part: string): string {
  return stack.resource(type, part).ref.split(':').at(-1) ?? '';
}

/** The process and all that it started, as of now. */
function treeOf(root: number): number[] {
  const rows = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' })
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number));
  const found = [root];
  for (const pid of found) found.push(...rows.flatMap(([one = 0, parent]) => (parent === pid ? [one] : [])));
  return found;
}

function sigkill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
}
