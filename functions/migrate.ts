// At deploy, before new code serves: applies the migrations, gives the login roles the passwords of their secrets, and new flags the stage's default.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { dataApi } from '../shared/adapters/data-api.ts';
import { database_variables, environment, type MigrateEnvironment } from '../shared/config.ts';
import { migrate } from '../shared/migration.ts';
import { scramVerifier } from '../shared/scram.ts';
import { logger, observed } from './runtime.ts';

const statement_timeout_ms = 50_000; // the Data API itself stops a statement after 45 s

const env = environment<MigrateEnvironment>('STAGE', ...database_variables, 'ROLE_SECRET_ARNS');
const database = dataApi(env, { request_timeout_ms: statement_timeout_ms });
const secrets = new SecretsManagerClient({});

export const handler = observed(async () => {
  const log = (sentence: string) => logger.info(sentence);
  const results = await migrate(database, await migrationFiles(), log, { whole_files: true });
  for (const [role, arn] of Object.entries(JSON.parse(env.ROLE_SECRET_ARNS) as Record<string, string>)) {
    const { SecretString } = await secrets.send(new GetSecretValueCommand({ SecretId: arn }));
    const { password } = JSON.parse(SecretString ?? '{}') as { password?: string };
    if (!password) throw new Error(`The secret of the role ${role} holds no password.`);
    await database.query('select set_role_verifier(:role::name, :verifier)::text role', {
      role,
      verifier: scramVerifier(password),
    });
  }
  await database.query('select apply_stage_defaults(:stage) applied', { stage: env.STAGE });
  const applied = results.filter(({ statements }) => statements > 0);
  logger.info('migrated', { files: results.length, applied });
  return { ok: true, files: results.length, applied };
});

async function migrationFiles() {
  const directory = join(import.meta.dirname, 'migrations');
  const names = (await readdir(directory)).filter((name) => name.endsWith('.sql'));
  return Promise.all(
    names.map(async (name) => ({ name, text: await readFile(join(directory, name), 'utf8') })),
  );
}
