// The five operations of the Data API, each on one connection in the role that the caller's secret names.
import type { PoolClient, QueryArrayConfig, QueryArrayResult } from 'pg';
import { DataApiError, refuse } from './errors.ts';
import { type Bound, bind, type Parameter } from './parameters.ts';
import type { Pools, Target } from './pools.ts';
import { type ResultOptions, shape } from './results.ts';
import type { Transactions } from './transactions.ts';

export type Call = ResultOptions & {
  resourceArn?: string;
  secretArn?: string;
  database?: string;
  schema?: string;
  sql?: string;
  parameters?: Parameter[];
  parameterSets?: Parameter[][];
  transactionId?: string;
  continueAfterTimeout?: boolean;
};
export type Operation = { name: string; run(call: Call, target: Target): Promise<Record<string, unknown>> };

export function createOperations(pools: Pools, transactions: Transactions, timeoutMs: number) {
  const within = <T>(call: Call, target: Target, work: (client: PoolClient) => Promise<T>): Promise<T> =>
    call.transactionId
      ? transactions.use(call.transactionId, { username: target.username, database: call.database }, work)
      : pools.use(target, work);

  const limited = <T>(call: Call, target: Target, work: (client: PoolClient) => Promise<T>): Promise<T> =>
    withTimeout(timeoutMs, call.continueAfterTimeout === true, (started) =>
      within(call, target, (client) => {
        started(client, () => pools.cancel(target, client));
        return work(client);
      }),
    );

  const execute = async (call: Call, target: Target) => {
    const bound = bind(sqlOf(call), call.parameters);
    return shape(await limited(call, target, (client) => query(client, bound)), call);
  };

  const batchExecute = async (call: Call, target: Target) => {
    const sql = sqlOf(call);
    const sets = call.parameterSets?.length ? call.parameterSets : [[]];
    const bounds = sets.map((parameters) => bind(sql, parameters));
    await limited(call, target, (client) =>
      call.transactionId ? queryAll(client, bounds) : atomically(client, () => queryAll(client, bounds)),
    );
    // Postgres has no generated fields; the real one returns as many empty results as there were sets.
    return { updateResults: bounds.map(() => ({ generatedFields: [] })) };
  };

  const operations: Record<string, Operation> = {
    '/Execute': { name: 'ExecuteStatement', run: execute },
    '/BatchExecute': { name: 'BatchExecuteStatement', run: batchExecute },
    '/BeginTransaction': {
      name: 'BeginTransaction',
      run: async (_call, target) => ({ transactionId: await transactions.begin(target) }),
    },
    '/CommitTransaction': {
      name: 'CommitTransaction',
      async run(call, { username }) {
        await transactions.end(call.transactionId ?? '', { username }, 'COMMIT');
        return { transactionStatus: 'Transaction Committed' };
      },
    },
    '/RollbackTransaction': {
      name: 'RollbackTransaction',
      async run(call, { username }) {
        await transactions.end(call.transactionId ?? '', { username }, 'ROLLBACK');
        return { transactionStatus: 'Rollback Complete' };
      },
    },
  };
  return operations;
}

function sqlOf({ sql, schema }: Call): string {
  if (schema !== undefined) throw refuse('ValidationException', 'The schema parameter is not supported.');
  if (typeof sql !== 'string' || sql.trim() === '')
    throw refuse('ValidationException', 'The sql parameter is missing.');
  return sql;
}

const asText = () => (value: string) => value;

function query(client: PoolClient, { text, oids, values }: Bound): Promise<QueryArrayResult> {
  // The driver sends an array of types as those of the parameters, and asks the same object how to read results.
  const types = Object.assign(oids, { getTypeParser: asText });
  // The extended protocol also without parameters: it is the one that takes a single statement only.
  const config = { text, values, types, rowMode: 'array', queryMode: 'extended' };
  return client.query(config as unknown as QueryArrayConfig);
}

async function queryAll(client: PoolClient, bounds: Bound[]): Promise<void> {
  for (const bound of bounds) await query(client, bound);
}

async function atomically(client: PoolClient, work: () => Promise<void>): Promise<void> {
  await client.query('BEGIN');
  try {
    await work();
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  }
}

type Started = (client: PoolClient, cancel: () => Promise<void>) => void;

/** The time of a statement starts when it has a connection; then it is cancelled, or left alone if the caller said so. */
async function withTimeout<T>(ms: number, goOn: boolean, run: (started: Started) => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  let expired: DataApiError | undefined;
  const expiry = Promise.withResolvers<never>();
  const running = run((client, cancel) => {
    timer = setTimeout(() => {
      const { processID } = client as unknown as { processID: number };
      expired = new DataApiError('StatementTimeoutException', 'Request timed out', 400, {
        dbConnectionId: processID,
      });
      if (goOn) expiry.reject(expired);
      else cancel().catch(() => {});
    }, ms);
  });
  try {
    return await (goOn ? Promise.race([running, expiry.promise]) : running);
  } catch (error) {
    // Nobody waits for a statement that goes on after its reply.
    running.catch(() => {});
    throw expired ?? error;
  } finally {
    clearTimeout(timer);
  }
}
