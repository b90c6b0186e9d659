// What makes `migrate` use each of its grants: a deployment, with a statement still to run, or with one that fails.
import { createHash } from 'node:crypto';
import { LOGIN_ROLES } from '../../../infra/ledger.ts';
import { split } from '../../../shared/migration.ts';
import { migrationFiles } from '../../support/cluster.ts';
import { invoked, type Rig, type Stimuli, type Stimulus } from '../least-privilege.ts';

const deployed = invoked('migrate');

/** Makes the database forget the statements of a file from one on; returns how it remembers them. */
async function forget(
  { stack }: Rig,
  from: (statements: string[]) => number,
): Promise<() => Promise<unknown>> {
  for (const { name, text } of await migrationFiles()) {
    const statements = split(text);
    const at = from(statements);
    if (at < 0) continue;
    const note = (applied: number) =>
      stack.database.query('update schema_migrations set applied = $2, checksum = $3 where name = $1', [
        ...[name, applied],
        createHash('sha256').update(statements.slice(0, applied).join('\u0000')).digest('hex'),
      ]);
    await note(at);
    return async () => {
      await note(statements.length);
      await stack.database.query('delete from schema_migration_lease');
    };
  }
  throw new Error('No migration has such a statement.');
}

/** What can be granted or commented twice. */
const unfinished: Stimulus = async (rig) => {
  const remember = await forget(rig, (statements) =>
    /^(grant|comment) /i.test(statements.at(-1) ?? '') ? statements.length - 1 : -1,
  );
  return () => rig.invoke('migrate').finally(remember);
};

/** What is there already cannot be created again. */
const failing: Stimulus = async (rig) => {
  const remember = await forget(rig, (statements) =>
    statements.findIndex((statement) => /^create table /i.test(statement)),
  );
  return () => rig.invoke('migrate').finally(remember);
};

export default {
  'rds-data:ExecuteStatement on local-cluster': deployed,
  'rds-data:BeginTransaction on local-cluster': unfinished,
  'rds-data:CommitTransaction on local-cluster': unfinished,
  'rds-data:RollbackTransaction on local-cluster': failing,
  'secretsmanager:GetSecretValue on LedgerMasterSecret': deployed,
  ...Object.fromEntries(
    LOGIN_ROLES.map((role) => [
      `secretsmanager:GetSecretValue on Ledger${role.replaceAll('_', '')}Secret`,
      deployed,
    ]),
  ),
} satisfies Stimuli;
