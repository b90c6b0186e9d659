// A Postgres of its own for one test file, gone with its files afterwards.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { type Postgres, startPostgres } from '../../local/postgres/postgres.ts';

export const MASTER_PASSWORD = 'a-master-password';

export async function openPostgres(): Promise<Postgres & { remove(): Promise<void> }> {
  const directory = await mkdtemp(join(tmpdir(), 'revenue-kernel-test-'));
  const postgres = await startPostgres({ directory, masterPassword: MASTER_PASSWORD });
  return {
    ...postgres,
    async remove() {
      await postgres.stop();
      await rm(postgres.home, { recursive: true, force: true });
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** The rows of the last of some statements, each run over a direct connection. */
export async function sql(url: string, ...statements: string[]): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  try {
    let rows: Record<string, unknown>[] = [];
    for (const statement of statements) rows = (await client.query(statement)).rows;
    return rows;
  } finally {
    await client.end();
  }
}
