// Once for a whole run of the tests: the synthesized app, one Postgres, and one database migrated as in AWS, through the Data API.
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { createDatabase, startPostgres } from '../../local/postgres/postgres.ts';
import { synth } from '../../scripts/synth.ts';
import { migrate } from '../../shared/migration.ts';
import { mountDataApi } from './data-api.ts';
import { type MigratedStack, migrateStack } from './migrated-stack.ts';

const masterPassword = 'master-of-the-test-cluster';
export const templateName = 'kernel_template';

declare module 'vitest' {
  interface ProvidedContext {
    superuserUrl: string;
    masterPassword: string;
    /** The cloud assembly of stage dev, which every embedded stack of the run reads. */
    assembly: string;
    migratedStack: MigratedStack;
  }
}

export default async function setup({ vitest }: TestProject) {
  const project = vitest.getRootProject();
  if ('superuserUrl' in project.getProvidedContext()) return; // another project of the run has set it up for both
  const directory = await mkdtemp(join(tmpdir(), 'kernel-test-'));
  const assembly = join(directory, 'cdk.out');
  const synthesized = synth('dev', assembly);
  const postgres = await startPostgres({ directory, masterPassword, fsync: false });
  await createDatabase(postgres.superuserUrl, templateName);
  const api = await mountDataApi(postgres.port, masterPassword);
  const options = { whole_files: true };
  await migrate(api.database(templateName), await migrationFiles(), undefined, options);
  await api.close();
  project.provide('superuserUrl', postgres.superuserUrl);
  project.provide('masterPassword', masterPassword);
  await synthesized;
  project.provide('assembly', assembly);
  const migrated = await migrateStack(join(directory, 'stack'), assembly);
  project.provide('migratedStack', migrated);
  return async () => {
    await postgres.stop();
    await rm(directory, { recursive: true, force: true });
    for (const home of [postgres.home, migrated.home]) await rm(home, { recursive: true, force: true });
  };
}

export async function migrationFiles() {
  const folder = join(import.meta.dirname, '../../migrations');
  const names = (await readdir(folder)).filter((name) => /^\d{4}_.*\.sql$/.test(name));
  return Promise.all(names.map(async (name) => ({ name, text: await readFile(join(folder, name), 'utf8') })));
}
