// The death of the whole database: SIGKILL of the postmaster and all its children, and its start on the same files.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { type Postgres, startPostgres } from '../../local/postgres/postgres.ts';
import { databaseName } from '../../local/start.ts';
import type { TestStack } from '../support/stack.ts';

export async function crashPostgres(postgres: Postgres): Promise<void> {
  for (const pid of treeOf(postgres.pid)) sigkill(pid);
  await postgres.exited;
}

/** On the files and the port of the stack's own. */
export function restartPostgres(stack: TestStack): Promise<Postgres> {
  const { ref } = stack.resource('AWS::SecretsManager::SecretTargetAttachment', '');
  return startPostgres({
    directory: join(stack.directory, 'postgres'),
    masterPassword: stack.state.secret(ref.split(':').at(-1) ?? ''),
    database: databaseName,
    port: stack.postgres.port,
  });
}

/** The process and all that it started, as of now. */
function treeOf(root: number): number[] {
  const rows = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' })
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number));
  const found = [root];
  for (const pid of found) found.push(...rows.flatMap(([one = 0, parent]) => (parent === pid ? [one] : [])));
  return found;
}

function sigkill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
}
