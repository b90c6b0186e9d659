// Once for the whole test run: the synthesized app, one Postgres, and one database migrated as in AWS, through the Data API.
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { createDataApi } from '../../local/data-api/server.ts';
import { createDatabase, MASTER, startPostgres } from '../../local/postgres/postgres.ts';
import { synth } from '../../scripts/synth.ts';
import { dataApi } from '../../shared/adapters/data-api.ts';
import { migrate } from '../../shared/migration.ts';

const masterPassword = 'master-of-the-test-cluster';
export const templateName = 'kernel_template';
const clusterArn = 'arn:aws:rds:eu-central-1:000000000000:cluster:test';
const secretArn = 'arn:aws:secretsmanager:eu-central-1:000000000000:secret:master';

declare module 'vitest' {
  interface ProvidedContext {
    superuserUrl: string;
    masterPassword: string;
    /** The cloud assembly of stage dev, which every embedded stack of the run reads. */
    assembly: string;
  }
}

export default async function setup(project: TestProject) {
  const directory = await mkdtemp(join(tmpdir(), 'kernel-test-'));
  const assembly = join(directory, 'cdk.out');
  const synthesized = synth('dev', assembly);
  const postgres = await startPostgres({ directory, masterPassword });
  await createDatabase(postgres.superuserUrl, templateName);
  const secret = { username: MASTER, password: masterPassword };
  const api = createDataApi({
    clusterArn,
    host: '127.0.0.1',
    port: postgres.port,
    resolveSecret: async (arn) => (arn === secretArn ? secret : undefined),
  });
  const server = createServer((request, response) => void api.handle(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  Object.assign(process.env, {
    AWS_REGION: 'eu-central-1',
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
    AWS_ENDPOINT_URL_RDS_DATA: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
  });
  const database = dataApi({
    DATABASE_CLUSTER_ARN: clusterArn,
    DATABASE_SECRET_ARN: secretArn,
    DATABASE_NAME: templateName,
  });
  await migrate(database, await migrationFiles());
  server.closeAllConnections();
  server.close();
  await api.close();
  project.provide('superuserUrl', postgres.superuserUrl);
  project.provide('masterPassword', masterPassword);
  await synthesized;
  project.provide('assembly', assembly);
  return async () => {
    await postgres.stop();
    await rm(directory, { recursive: true, force: true });
    if (postgres.home !== directory) await rm(postgres.home, { recursive: true, force: true });
  };
}

export async function migrationFiles() {
  const folder = join(import.meta.dirname, '../../migrations');
  const names = (await readdir(folder)).filter((name) => /^\d{4}_.*\.sql$/.test(name));
  return Promise.all(names.map(async (name) => ({ name, text: await readFile(join(folder, name), 'utf8') })));
}
