// The connections to Postgres: a small pool for each database and role, those of open transactions apart from the rest.
import pg from 'pg';
import { DataApiError, isSqlError, toConnectError } from './errors.ts';

export type Target = { database: string; username: string; password: string };
export type Pools = {
  /** Runs one piece of work on a connection for single statements. */
  use<T>(target: Target, work: (client: pg.PoolClient) => Promise<T>): Promise<T>;
  /** Hands out a connection that its holder must release. */
  hold(target: Target): Promise<pg.PoolClient>;
  /** Asks Postgres, over a connection of its own, to give up what a connection is doing. */
  cancel(target: Target, client: pg.PoolClient): Promise<void>;
  close(): Promise<void>;
};
export type PoolOptions = { host: string; port: number; maxConnections?: number };

const CONNECT_MS = 10_000;
const IDLE_MS = 10_000;
const CLOSE_MS = 2_000;

export function createPools(options: PoolOptions): Pools {
  const pools = new Map<string, pg.Pool>();
  const config = (target: Target): pg.ClientConfig => ({
    host: options.host,
    port: options.port,
    database: target.database,
    user: target.username,
    password: target.password,
    application_name: 'data-api',
    connectionTimeoutMillis: CONNECT_MS,
  });

  // A transaction keeps its connection between calls, and enough of them would leave none for anybody else.
  const poolOf = (purpose: 'single' | 'transaction', target: Target): pg.Pool => {
    const key = [purpose, target.database, target.username, target.password].join('\0');
    let pool = pools.get(key);
    if (!pool) {
      const max = options.maxConnections ?? 16;
      pool = new pg.Pool({ ...config(target), max, idleTimeoutMillis: IDLE_MS, allowExitOnIdle: true });
      // Without listeners the loss of the server would end this process; the next call reports it instead.
      pool.on('error', () => {});
      pool.on('connect', (client) => client.on('error', () => {}));
      pools.set(key, pool);
    }
    return pool;
  };
  const connect = (pool: pg.Pool) =>
    pool.connect().catch((error: unknown) => {
      throw toConnectError(error);
    });

  return {
    async use(target, work) {
      const client = await connect(poolOf('single', target));
      try {
        const result = await work(client);
        // SQL that opened a transaction itself must not leave it open for the next caller.
        client.release(client.getTransactionStatus() !== 'I');
        return result;
      } catch (error) {
        client.release(!isReusable(error));
        throw error;
      }
    },
    hold: (target) => connect(poolOf('transaction', target)),
    async cancel(target, client) {
      const other = new pg.Client(config(target));
      other.on('error', () => {});
      await other.connect();
      const { processID } = client as unknown as { processID: number };
      await other.query('SELECT pg_cancel_backend($1)', [processID]).finally(() => other.end());
    },
    async close() {
      const ended = Promise.all([...pools.values()].map((pool) => pool.end()));
      // A statement that waits for a lock does not hold up the end; its connection goes down with the process.
      await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, CLOSE_MS).unref())]);
    },
  };
}

/** After a plain SQL error the connection is as good as before; after anything else that is not known. */
function isReusable(error: unknown): boolean {
  if (error instanceof DataApiError) return false;
  return isSqlError(error) && (error as { severity?: string }).severity === 'ERROR';
}
