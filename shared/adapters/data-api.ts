// Database over the RDS Data API: one statement, one commit; the secret decides the database role.
import { setTimeout as wait } from 'node:timers/promises';
import {
  type ArrayValue,
  BeginTransactionCommand,
  CommitTransactionCommand,
  ExecuteStatementCommand,
  type ExecuteStatementCommandOutput,
  type Field,
  RDSDataClient,
  RollbackTransactionCommand,
  type SqlParameter,
} from '@aws-sdk/client-rds-data';
import type { DataApiEnvironment } from '../config.ts';
import { KernelError, sqlError } from '../errors.ts';
import type { TransactionalDatabase } from '../migration.ts';
import type { Parameter } from '../ports.ts';
import type { LedgerOptions } from './ledger.ts';

/** Two calls of two attempts each end before ingest's own limit of 25 s; an attempt outlasts the lock timeout of 3 s. */
const attempts_max = 2;
const connection_timeout_ms = 1_000;
const request_timeout_ms = 5_000;
/** Before a call is repeated: of two that waited for each other, the other one goes on meanwhile. */
const pause_ms = 50;

export function dataApi(environment: DataApiEnvironment, options: LedgerOptions = {}): TransactionalDatabase {
  const clientOf = (maxAttempts: number) =>
    new RDSDataClient({
      maxAttempts,
      requestHandler: {
        connectionTimeout: connection_timeout_ms,
        requestTimeout: options.request_timeout_ms ?? request_timeout_ms,
        throwOnRequestTimeout: true,
      },
    });
  const attempts = options.attempts ?? attempts_max;
  const client = clientOf(attempts);
  /** For statements of a transaction: one whose reply was lost has run, and a second attempt would run it again. */
  const once = clientOf(1);
  const target = {
    resourceArn: environment.DATABASE_CLUSTER_ARN,
    secretArn: environment.DATABASE_SECRET_ARN,
    database: environment.DATABASE_NAME,
  };

  const execute = async (sql: string, parameters: Record<string, Parameter> = {}, transactionId?: string) => {
    try {
      return await (transactionId ? once : client).send(
        new ExecuteStatementCommand({
          ...target,
          sql,
          parameters: Object.entries(parameters).map(toSqlParameter),
          includeResultMetadata: true,
          resultSetOptions: { decimalReturnType: 'STRING', longReturnType: 'STRING' },
          ...(transactionId && { transactionId }),
        }),
      );
    } catch (error) {
      throw toKernelError(error);
    }
  };

  return {
    async query<Row>(sql: string, parameters?: Record<string, Parameter>) {
      const answer = await execute(sql, parameters).catch(async (error: KernelError) => {
        if (attempts === 1 || !mayRepeat(error.cause)) throw error;
        await wait(pause_ms);
        return execute(sql, parameters);
      });
      return toRows<Row>(answer);
    },
    async atomically(statements) {
      const { transactionId } = await client.send(new BeginTransactionCommand(target)).catch((error) => {
        throw toKernelError(error);
      });
      const transaction = { resourceArn: target.resourceArn, secretArn: target.secretArn, transactionId };
      try {
        for (const { sql, parameters, rows } of statements) {
          const { numberOfRecordsUpdated } = await execute(sql, parameters, transactionId);
          if (rows && rows.count !== numberOfRecordsUpdated)
            throw new KernelError('conflict', rows.otherwise);
        }
        await client.send(new CommitTransactionCommand(transaction));
      } catch (error) {
        await client.send(new RollbackTransactionCommand(transaction)).catch(() => undefined); // it may be gone already
        throw toKernelError(error);
      }
    },
  };
}

function toSqlParameter([name, value]: [string, Parameter]): SqlParameter {
  if (value === null) return { name, value: { isNull: true } };
  if (typeof value === 'boolean') return { name, value: { booleanValue: value } };
  return { name, value: { stringValue: String(value) } };
}

function toRows<Row>(output: ExecuteStatementCommandOutput): Row[] {
  const names = (output.columnMetadata ?? []).map((column) => column.label ?? column.name ?? '');
  return (output.records ?? []).map(
    (record) => Object.fromEntries(record.map((field, i) => [names[i], toValue(field)])) as Row,
  );
}

function toValue(field: Field): unknown {
  if (field.isNull) return null;
  if (field.arrayValue) return toList(field.arrayValue);
  return (
    field.stringValue ?? field.booleanValue ?? field.longValue ?? field.doubleValue ?? field.blobValue ?? null
  );
}

/** Integers as strings, as everywhere; those of an array come as numbers, whatever was asked for. */
function toList({ stringValues, booleanValues, longValues, doubleValues }: ArrayValue): unknown[] {
  const exact = longValues?.map((value) => {
    if (Number.isSafeInteger(value)) return String(value);
    throw new KernelError('internal', 'The ledger answered with an array of large numbers.');
  });
  const list = stringValues ?? booleanValues ?? exact ?? doubleValues;
  if (list) return list;
  throw new KernelError('internal', 'The ledger answered with an array of arrays.');
}

/** The SQLSTATE of a statement that Postgres refused. */
function stateOf({ name, message }: Error): string | undefined {
  return name === 'DatabaseErrorException' ? /SQLState: (\w{5})/.exec(message)?.[1] : undefined;
}

/**
 * What the SDK does not repeat by itself and a call of the kernel, which is repeatable, is worth repeating after: a
 * statement that was undone as one of two that waited for each other, a connection that broke behind the Data API, a secret
 * that it could not read at once. A cluster that resumes takes longer than anybody waits.
 */
function mayRepeat(cause: unknown): boolean {
  const { name, message } = cause as Error;
  const state = stateOf(cause as Error);
  return (
    (state !== undefined && /^(40P01|40001|57P0[123]|08...)$/.test(state)) ||
    (name === 'BadRequestException' && /communications link failure/i.test(message)) ||
    name === 'SecretsErrorException'
  );
}

/** The deployment is at fault, and no repetition helps: a person must look. */
const misconfigured = new Set([
  'AccessDeniedException',
  'DatabaseNotFoundException',
  'ForbiddenException',
  'HttpEndpointNotEnabledException',
  'InvalidSecretException',
  'NotFoundException',
]);
/** 1 MiB an answer, 64 KB a row, 4 MiB a request. */
const over_limit = /response size limit|packet for query is too large|request is too large/i;

function toKernelError(error: unknown): KernelError {
  if (error instanceof KernelError) return error;
  const { name, message } = error as Error;
  const state = stateOf(error as Error);
  if (state !== undefined) {
    return sqlError(state, /^ERROR: (.*?)(?:; SQLState|\n|$)/s.exec(message)?.[1] ?? message, error);
  }
  // Of these two the statement has run: its caller asks for too much, and would do so again.
  if (name === 'UnsupportedResultException' || over_limit.test(message)) {
    return new KernelError('internal', 'The answer of the ledger cannot be passed on.', { cause: error });
  }
  const sentence = misconfigured.has(name)
    ? `The ledger is not open to this function: ${name}.`
    : 'The ledger cannot be reached.';
  return new KernelError('ledger_unavailable', sentence, { cause: error });
}
