// An RDS Data API over a Postgres on this machine: the same calls, types, limits and errors, for one cluster.
//
// Not reproduced: IAM and the signature (the door's business), resuming a paused cluster, throttling, the limit of 24
// hours for a transaction, `Detail:` and `Position:` lines in error messages, and table and schema names in metadata.
// Session settings (`SET`, `set_config(…, false)`) can be met by a later caller of the same role here.
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { DataApiError, refuse, toDataApiError } from './errors.ts';
import { type Call, createOperations, type Operation } from './operations.ts';
import { createPools, type Target } from './pools.ts';
import { createTransactions } from './transactions.ts';

/** What a fault does to a call: nothing, cut its connection, or answer it with an error of that name. */
export type FaultOutcome = 'ok' | 'drop' | { error: string; status?: number; message?: string };
export type FaultPoint = 'before' | 'after';
export type DataApiCall = { operation: string; identity: string; sql?: string };

export type DataApiOptions = {
  clusterArn: string;
  host: string;
  port: number;
  resolveSecret(secretArn: string): Promise<{ username: string; password: string } | undefined>;
  transactionIdleMs?: number;
  statementTimeoutMs?: number;
  /** Of each role in each database, once for single statements and once for transactions. */
  maxConnections?: number;
  /** Throws when the caller may not: asked first of all. */
  authorize?: (identity: string, operation: string, call: Pick<Call, 'resourceArn' | 'secretArn'>) => void;
  /** Asked before anything runs, and after it is committed but not yet answered. */
  fault?: (point: FaultPoint, call: DataApiCall) => Promise<FaultOutcome> | undefined;
};

export type DataApi = {
  handle(request: IncomingMessage, response: ServerResponse, identity?: string): Promise<void>;
  close(): Promise<void>;
};

const REQUEST_BYTES_MAX = 4 * 1024 * 1024;
const RESPONSE_BYTES_MAX = 1024 * 1024;
/** What the real one uses when a call names no database. */
const DATABASE = 'postgres';

export function createDataApi(options: DataApiOptions): DataApi {
  const pools = createPools(options);
  const transactions = createTransactions(pools, options.transactionIdleMs ?? 180_000);
  const operations = createOperations(pools, transactions, options.statementTimeoutMs ?? 45_000);

  const answer = async (path: string, body: Buffer, identity: string): Promise<string | undefined> => {
    const operation = operations[path];
    if (!operation) throw refuse('NotFoundException', `There is no operation ${path}.`);
    const call = parse(body);
    options.authorize?.(identity, operation.name, call);
    const { fault } = options;
    if (!fault) return run(operation, call, options);
    const described = {
      operation: operation.name,
      identity,
      ...(call.sql === undefined ? {} : { sql: call.sql }),
    };
    if (isDropped(await fault('before', described))) return undefined;
    const reply = await run(operation, call, options);
    return isDropped(await fault('after', described)) ? undefined : reply;
  };

  return {
    async handle(request, response, identity = '') {
      const body = await read(request);
      if (body === 'gone') return;
      try {
        if (body === 'too large') throw new DataApiError('BadRequestException', 'Request is too large', 413);
        // When the caller goes away meanwhile, the statement still finishes.
        const reply = await answer(request.url ?? '', body, identity);
        if (reply === undefined) response.destroy();
        else send(response, 200, reply);
      } catch (error) {
        const { name, message, status, detail } = toDataApiError(error);
        send(response, status, JSON.stringify({ message, ...detail }), name);
      }
    },
    async close() {
      transactions.close();
      await pools.close();
    },
  };
}

async function run(operation: Operation, call: Call, options: DataApiOptions): Promise<string> {
  const reply = JSON.stringify(await operation.run(call, await targetOf(call, options)));
  if (Buffer.byteLength(reply) > RESPONSE_BYTES_MAX) {
    throw refuse('BadRequestException', 'Database returned more than the allowed response size limit');
  }
  return reply;
}

async function targetOf(
  { resourceArn, secretArn, database }: Call,
  options: DataApiOptions,
): Promise<Target> {
  if (resourceArn !== options.clusterArn) {
    throw refuse('DatabaseNotFoundException', `There is no database cluster ${resourceArn}.`);
  }
  const secret = await options.resolveSecret(secretArn ?? '');
  if (!secret) throw refuse('SecretsErrorException', "Secrets Manager can't find the specified secret.");
  return { database: database ?? DATABASE, username: secret.username, password: secret.password };
}

function isDropped(outcome: FaultOutcome | undefined): boolean {
  if (typeof outcome !== 'object') return outcome === 'drop';
  throw new DataApiError(outcome.error, outcome.message ?? 'Injected fault', outcome.status);
}

function parse(body: Buffer): Call {
  try {
    return JSON.parse(body.toString('utf8') || '{}') as Call;
  } catch {
    throw refuse('BadRequestException', 'The request is not JSON.');
  }
}

function read(request: IncomingMessage): Promise<Buffer | 'gone' | 'too large'> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      // The rest is still read, for a caller that writes would not see an early answer.
      if (bytes <= REQUEST_BYTES_MAX) chunks.push(chunk);
    });
    request.on('end', () => resolve(bytes > REQUEST_BYTES_MAX ? 'too large' : Buffer.concat(chunks)));
    request.on('error', () => resolve('gone'));
    request.on('close', () => resolve('gone'));
  });
}

function send(response: ServerResponse, status: number, body: string, error?: string): void {
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'x-amzn-requestid': randomUUID(),
    ...(error === undefined ? {} : { 'x-amzn-errortype': error }),
  });
  response.end(body);
}
