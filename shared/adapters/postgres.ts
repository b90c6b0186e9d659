// Database straight over Postgres, through RDS Proxy: one TLS connection, in the role of the function's own secret.
import { setTimeout as wait } from 'node:timers/promises';
import pg from 'pg';
import type { ProxyEnvironment } from '../config.ts';
import { KernelError, sqlError } from '../errors.ts';
import type { Database, Parameter } from '../ports.ts';
import type { LedgerOptions } from './ledger.ts';
import { numbered } from './named-parameters.ts';
import { type Answered, toRows } from './postgres-values.ts';
import { secretsManager } from './secrets.ts';

const attempts_max = 2;
const connection_timeout_ms = 2_000;
const request_timeout_ms = 5_000;
/** An instance may have slept for longer than anybody on the way keeps a silent connection. */
const idle_ms_max = 60_000;
/** Before a call is repeated: of two that waited for each other, the other one goes on meanwhile. */
const pause_ms = 50;
const port_default = 5432;

/** Nothing is told to Postgres when a connection begins: what RDS Proxy does not know of, it refuses or pins. */
export function postgres(environment: ProxyEnvironment, options: LedgerOptions = {}): Database {
  const connection = createConnection(environment, options.request_timeout_ms ?? request_timeout_ms);
  const attempts = options.attempts ?? attempts_max;
  let last: Promise<unknown> = Promise.resolve();
  const run = async (statement: Statement) => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await connection.run(statement);
      } catch (error) {
        if (attempt >= attempts || !mayRepeat(error)) throw toKernelError(error);
        await wait(pause_ms);
      }
    }
  };
  return {
    query<Row>(sql: string, parameters: Record<string, Parameter> = {}) {
      // One at a time: the wait for one's turn is not part of the time that a statement may take.
      const turn = last.then(async () => toRows<Row>(await run(bind(sql, parameters))));
      last = turn.catch(() => undefined);
      return turn;
    },
  };
}

type Statement = Pick<ReturnType<typeof bind>, 'text' | 'values' | 'types'>;

function createConnection(environment: ProxyEnvironment, timeout_ms: number) {
  const [host = '', port] = environment.DATABASE_HOST.split(':');
  let secrets = secretsManager();
  let open: { client: pg.Client; used_at_ms: number } | undefined;

  const drop = (client: pg.Client) => {
    if (open?.client === client) open = undefined;
    client.end().catch(() => undefined);
  };
  const login = async () => {
    try {
      return JSON.parse(await secrets.get(environment.DATABASE_SECRET_ARN)) as Record<string, string>;
    } catch (cause) {
      throw new KernelError('ledger_unavailable', 'The ledger cannot be reached.', { cause });
    }
  };
  const connect = async (): Promise<pg.Client> => {
    const { username, password } = await login();
    const client = new pg.Client({
      host,
      port: Number(port ?? port_default),
      user: username ?? '',
      password: password ?? '',
      database: environment.DATABASE_NAME,
      ssl: true, // checked against the certificate authorities that Node knows, as those of RDS Proxy are
      connectionTimeoutMillis: connection_timeout_ms,
      query_timeout: timeout_ms,
      keepAlive: true,
    });
    client.on('error', () => drop(client));
    try {
      await client.connect();
    } catch (error) {
      drop(client);
      throw error;
    }
    return client;
  };
  /** A password that was changed is in the secret, not in what was kept of it. */
  const connectAnew = (error: unknown) => {
    if (!/^28/.test(stateOf(error) ?? '')) throw error;
    secrets = secretsManager();
    return connect();
  };

  return {
    async run(statement: Statement): Promise<Answered> {
      if (open && Date.now() - open.used_at_ms > idle_ms_max) drop(open.client);
      const client = open?.client ?? (await connect().catch(connectAnew));
      open = { client, used_at_ms: Date.now() };
      try {
        // The extended protocol also without parameters: it is the one that takes a single statement only.
        const config = { ...statement, rowMode: 'array', queryMode: 'extended' };
        const answer = await client.query(config as unknown as pg.QueryArrayConfig);
        if (open?.client === client) open.used_at_ms = Date.now();
        return answer as unknown as Answered;
      } catch (error) {
        if (!isRefusal(error)) drop(client);
        throw error;
      }
    },
  };
}

/** The types that the Data API gives to parameters, so that a statement means the same on both ways. */
const oid = { unknown: 0, boolean: 16, varchar: 1043 };
const asText = () => (text: string) => text;

function bind(sql: string, parameters: Record<string, Parameter>) {
  const { text, names } = numbered(sql);
  const values = names.map((name) => {
    const value = parameters[name];
    if (value === undefined) throw new KernelError('internal', `A statement lacks its parameter ${name}.`);
    return value === null ? null : String(value);
  });
  const oids = names.map((name) => {
    const value = parameters[name];
    return value === null ? oid.unknown : typeof value === 'boolean' ? oid.boolean : oid.varchar;
  });
  // The driver sends a list of types as those of the parameters, and asks the same object how to read results.
  return { text, values, types: Object.assign(oids, { getTypeParser: asText }) };
}

type DriverError = Error & { code?: string; severity?: string };

function stateOf(error: unknown): string | undefined {
  const { code, severity } = error as DriverError;
  return severity !== undefined && /^[0-9A-Z]{5}$/.test(code ?? '') ? code : undefined;
}

/** Postgres said no to one statement; the connection is as good as before. */
function isRefusal(error: unknown): boolean {
  return stateOf(error) !== undefined && (error as DriverError).severity === 'ERROR';
}

/**
 * Whether a call of the kernel, which is repeatable, is worth repeating: its connection is gone, or it was undone as one of
 * two that waited for each other. Not after a timeout, for the first one may be at work still.
 */
function mayRepeat(error: unknown): boolean {
  if (error instanceof KernelError || /timeout/i.test((error as Error).message)) return false;
  return !isRefusal(error) || stateOf(error) === '40P01';
}

function toKernelError(error: unknown): KernelError {
  if (error instanceof KernelError) return error;
  const state = stateOf(error);
  if (state !== undefined && isRefusal(error)) {
    return sqlError(state, (error as Error).message.split('\n')[0] ?? '', error);
  }
  return new KernelError('ledger_unavailable', 'The ledger cannot be reached.', { cause: error });
}
