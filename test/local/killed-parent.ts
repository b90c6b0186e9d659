// Starts Postgres, commits a row, says so, and then waits to be killed: the other half of a test.
import { setTimeout as sleep } from 'node:timers/promises';
import { startPostgres } from '../../local/postgres/postgres.ts';
import { sql } from './open-postgres.ts';

const postgres = await startPostgres({ directory: process.argv[2] ?? '', masterPassword: 'any' });
await sql(postgres.superuserUrl, 'CREATE TABLE kept (id int)', 'INSERT INTO kept VALUES (1)');
process.stdout.write(`${postgres.pid}\n`);
await sleep(60_000);
