// Writes migrations/schema.sql from a database that the migrations made, or with --check fails when the file is stale.
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { startPostgres } from '../local/postgres/postgres.ts';
import { split } from '../shared/migration.ts';
import { schemaText } from './schema.ts';

const folder = join(import.meta.dirname, '../migrations');
const file = join(folder, 'schema.sql');

/** The schema that the migrations in the folder make, in a database of its own. */
export async function currentSchema(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'kernel-schema-'));
  const postgres = await startPostgres({ directory, masterPassword: 'master-of-a-throw-away-database' });
  const master = new URL(postgres.superuserUrl);
  master.username = 'kernel_master';
  master.password = 'master-of-a-throw-away-database';
  const client = new pg.Client({ connectionString: master.href });
  try {
    await client.connect();
    const names = (await readdir(folder)).filter((name) => /^\d{4}_.*\.sql$/.test(name)).sort();
    for (const name of names)
      for (const statement of split(await readFile(join(folder, name), 'utf8')))
        await client.query(statement);
    return await schemaText(client);
  } finally {
    await client.end();
    await postgres.stop();
    await rm(directory, { recursive: true, force: true });
    if (postgres.home !== directory) await rm(postgres.home, { recursive: true, force: true });
  }
}

if (process.argv[1] === import.meta.filename) {
  const schema = await currentSchema();
  if (!process.argv.includes('--check')) {
    await writeFile(file, schema);
  } else if ((await readFile(file, 'utf8').catch(() => '')) !== schema) {
    process.stderr.write('migrations/schema.sql is stale: run "npm run schema" and commit it.\n');
    process.exit(1);
  }
}
