// A Data API in front of a Postgres that runs already, and the adapter's databases through it, as the migrator uses them.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createDataApi, type DataApiOptions } from '../../local/data-api/server.ts';
import { MASTER } from '../../local/postgres/postgres.ts';
import { dataApi } from '../../shared/adapters/data-api.ts';
import type { TransactionalDatabase } from '../../shared/migration.ts';

const clusterArn = 'arn:aws:rds:eu-central-1:000000000000:cluster:test';
const secretArn = 'arn:aws:secretsmanager:eu-central-1:000000000000:secret:master';

/** Short, so that a test need not wait long until the transaction of a caller that died is rolled back. */
const transaction_idle_ms = 1_000;

export interface MountedDataApi {
  /** The database of that name, as its master. */
  database(name: string): TransactionalDatabase;
  close(): Promise<void>;
}

/** Points the SDK of this process at it; one at a time. */
export async function mountDataApi(
  port: number,
  masterPassword: string,
  fault?: NonNullable<DataApiOptions['fault']>,
): Promise<MountedDataApi> {
  const secret = { username: MASTER, password: masterPassword };
  const api = createDataApi({
    clusterArn,
    host: '127.0.0.1',
    port,
    resolveSecret: async (arn) => (arn === secretArn ? secret : undefined),
    transactionIdleMs: transaction_idle_ms,
    ...(fault && { fault }),
  });
  const server = createServer((request, response) => void api.handle(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  Object.assign(process.env, {
    AWS_REGION: 'eu-central-1',
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
    AWS_ENDPOINT_URL_RDS_DATA: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
  });
  return {
    database: (name) =>
      dataApi({ DATABASE_CLUSTER_ARN: clusterArn, DATABASE_SECRET_ARN: secretArn, DATABASE_NAME: name }),
    async close() {
      server.closeAllConnections();
      server.close();
      await api.close();
    },
  };
}
