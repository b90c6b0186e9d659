// A real Postgres 17 on this machine, set up as a new Aurora cluster is: a master role that is no superuser, and its database.
//
// Not reproduced: Aurora's storage and its commit latency, readers and failover, scaling and pausing, IAM authentication, TLS,
// the extensions and the role rds_superuser of RDS.
import pg from 'pg';
import { openCluster } from './cluster.ts';
import { startServer } from './process.ts';

export type PostgresOptions = {
  /** Holds the data and the superuser's password; created when missing. */
  directory: string;
  /** Password of the role `kernel_master`, set anew at each start. */
  masterPassword: string;
  database?: string;
  port?: number;
  /** False spares the disk: what was committed survives the death of any process, not that of the machine. */
  fsync?: boolean;
  log?: (line: string) => void;
};

export type Postgres = {
  port: number;
  /** Points at the application database; for tools and tests, never for the application. */
  superuserUrl: string;
  pid: number;
  /** Where the files are, which differs from `directory` when root runs it below a private folder. */
  home: string;
  /** Settles when the server ends, whoever ended it. */
  exited: Promise<void>;
  stop(): Promise<void>;
};

export const MASTER = 'kernel_master';

export async function startPostgres(options: PostgresOptions): Promise<Postgres> {
  const database = options.database ?? 'kernel';
  const cluster = openCluster(options.directory);
  const { port: asked, fsync = true, log = () => {} } = options;
  const server = await startServer(cluster, { port: asked, fsync, log });
  const superuserUrl = urlOf(`postgres://postgres:${cluster.password}@127.0.0.1:${server.port}`, database);
  try {
    await prepare(superuserUrl, database, options.masterPassword);
  } catch (error) {
    await server.stop();
    throw error;
  }
  const { port, pid, exited } = server;
  return { port, superuserUrl, pid, home: cluster.home, exited, stop: server.stop };
}

/** A further database of the master role; a copy of `template` when that is given, which nobody may use meanwhile. */
export async function createDatabase(superuserUrl: string, name: string, template?: string): Promise<void> {
  const copy = template ? ` TEMPLATE ${pg.escapeIdentifier(template)}` : '';
  await run(superuserUrl, 'postgres', [
    `CREATE DATABASE ${pg.escapeIdentifier(name)} OWNER ${MASTER}${copy}`,
  ]);
  // A copy has the owner of its template's schema already.
  if (!template) await run(superuserUrl, name, [`ALTER SCHEMA public OWNER TO ${MASTER}`]);
}

async function prepare(superuserUrl: string, database: string, masterPassword: string): Promise<void> {
  const attributes = 'LOGIN NOSUPERUSER CREATEROLE CREATEDB NOBYPASSRLS NOREPLICATION';
  const found = await run(superuserUrl, 'postgres', [
    `DO $$ BEGIN CREATE ROLE ${MASTER}; EXCEPTION WHEN duplicate_object THEN NULL; END $$`,
    `ALTER ROLE ${MASTER} ${attributes} PASSWORD ${pg.escapeLiteral(masterPassword)}`,
    // The application's roles have no business in the maintenance databases.
    'REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC',
    `SELECT 1 FROM pg_database WHERE datname = ${pg.escapeLiteral(database)}`,
  ]);
  if (!found) await createDatabase(superuserUrl, database);
  else await run(superuserUrl, database, [`ALTER SCHEMA public OWNER TO ${MASTER}`]);
}

/** The number of rows of the last statement. */
async function run(superuserUrl: string, database: string, statements: string[]): Promise<number> {
  const client = new pg.Client({ connectionString: urlOf(superuserUrl, database) });
  await client.connect();
  try {
    let rows = 0;
    for (const statement of statements) rows = (await client.query(statement)).rowCount ?? 0;
    return rows;
  } finally {
    await client.end();
  }
}

function urlOf(url: string, database: string): string {
  const target = new URL(url);
  target.pathname = `/${encodeURIComponent(database)}`;
  return target.href;
}
