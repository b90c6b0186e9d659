// Database over the RDS Data API: one statement, one commit; the secret decides the database role.
import {
  BeginTransactionCommand,
  CommitTransactionCommand,
  ExecuteStatementCommand,
  type ExecuteStatementCommandOutput,
  type Field,
  RDSDataClient,
  RollbackTransactionCommand,
  type SqlParameter,
} from '@aws-sdk/client-rds-data';
import type { DatabaseEnvironment } from '../config.ts';
import { KernelError, sqlError } from '../errors.ts';
import type { TransactionalDatabase } from '../migration.ts';
import type { Parameter } from '../ports.ts';

/** Two calls of two attempts each end before ingest's own limit of 25 s; an attempt outlasts the lock timeout of 3 s. */
const attempts_max = 2;
const connection_timeout_ms = 1_000;
const request_timeout_ms = 5_000;

export interface DataApiOptions {
  attempts?: number;
  request_timeout_ms?: number;
}

export function dataApi(
  environment: DatabaseEnvironment,
  options: DataApiOptions = {},
): TransactionalDatabase {
  const clientOf = (maxAttempts: number) =>
    new RDSDataClient({
      maxAttempts,
      requestHandler: {
        connectionTimeout: connection_timeout_ms,
        requestTimeout: options.request_timeout_ms ?? request_timeout_ms,
        throwOnRequestTimeout: true,
      },
    });
  const client = clientOf(options.attempts ?? attempts_max);
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
      return toRows<Row>(await execute(sql, parameters));
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
  return (
    field.stringValue ?? field.booleanValue ?? field.longValue ?? field.doubleValue ?? field.blobValue ?? null
  );
}

function toKernelError(error: unknown): KernelError {
  if (error instanceof KernelError) return error;
  const { name, message } = error as Error;
  const state = /SQLState: (\w{5})/.exec(message)?.[1];
  if (name === 'DatabaseErrorException' && state) {
    return sqlError(state, /^ERROR: (.*?)(?:; SQLState|\n|$)/s.exec(message)?.[1] ?? message, error);
  }
  return new KernelError('ledger_unavailable', 'The ledger cannot be reached.', { cause: error });
}
