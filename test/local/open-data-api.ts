// A Data API on a port of its own in front of a Postgres of its own, and the SDK's calls to it in short.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  BatchExecuteStatementCommand,
  BeginTransactionCommand,
  CommitTransactionCommand,
  ExecuteStatementCommand,
  type ExecuteStatementCommandInput,
  RollbackTransactionCommand,
  type SqlParameter,
} from '@aws-sdk/client-rds-data';
import { createDataApi, type DataApi, type DataApiOptions } from '../../local/data-api/server.ts';
import { awsClients } from './aws-clients.ts';
import { MASTER_PASSWORD, openPostgres, sql } from './open-postgres.ts';

const cluster = 'arn:aws:rds:eu-central-1:000000000000:cluster:kernel';
const roles: Record<string, { username: string; password: string }> = {
  master: { username: 'kernel_master', password: MASTER_PASSWORD },
  reader: { username: 'reader', password: 'r' },
  mistaken: { username: 'reader', password: 'wrong' },
};

export async function openDataApi(options: Partial<DataApiOptions> = {}) {
  const postgres = await openPostgres();
  await sql(
    postgres.superuserUrl.replace(/postgres:[0-9a-f]+@/, `kernel_master:${MASTER_PASSWORD}@`),
    "CREATE ROLE reader LOGIN PASSWORD 'r'",
    "CREATE TYPE mood AS ENUM ('calm', 'tense')",
    'CREATE TABLE typed (id uuid PRIMARY KEY, note text)',
    'CREATE TABLE counted (id int PRIMARY KEY)',
  );
  const api = await serve({ port: postgres.port, ...options });
  return {
    ...api,
    async close() {
      await api.close();
      await postgres.remove();
    },
  };
}

export async function serve(options: Partial<DataApiOptions> & { port: number }) {
  const dataApi: DataApi = createDataApi({
    clusterArn: cluster,
    host: '127.0.0.1',
    resolveSecret: async (arn) => roles[arn],
    ...options,
  });
  const server: Server = createServer((request, response) => void dataApi.handle(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { rdsData: client } = awsClients(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, 'any');
  const base = { resourceArn: cluster, secretArn: 'master', database: 'kernel' };
  type Extra = Partial<ExecuteStatementCommandInput>;
  const execute = (text: string, extra: Extra = {}, abortSignal?: AbortSignal) =>
    client.send(
      new ExecuteStatementCommand({ ...base, ...extra, sql: text }),
      abortSignal ? { abortSignal } : {},
    );
  return {
    execute,
    async count(from: string) {
      return (await execute(`SELECT count(*) FROM ${from}`)).records?.[0]?.[0]?.longValue;
    },
    async begin() {
      return (await client.send(new BeginTransactionCommand(base))).transactionId as string;
    },
    async commit(transactionId: string) {
      return (await client.send(new CommitTransactionCommand({ ...base, transactionId }))).transactionStatus;
    },
    async rollback(transactionId: string) {
      return (await client.send(new RollbackTransactionCommand({ ...base, transactionId })))
        .transactionStatus;
    },
    async batch(text: string, parameterSets: SqlParameter[][]) {
      return (await client.send(new BatchExecuteStatementCommand({ ...base, sql: text, parameterSets })))
        .updateResults;
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await dataApi.close();
    },
  };
}
