// A stack that was migrated once for the whole run; each test file begins with a copy of its database and secrets.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { homeOf } from '../../local/postgres/cluster.ts';
import { startLocal } from '../../local/start.ts';

export interface MigratedStack {
  directory: string;
  /** Where its Postgres keeps its files. */
  home: string;
}

export async function migrateStack(directory: string, assembly: string): Promise<MigratedStack> {
  const stack = await startLocal({ directory, assembly });
  await stack.close();
  return { directory, home: stack.postgres.home };
}

/** Fills an empty folder, from which a start finds nothing left to migrate. */
export function copyMigratedStack(from: MigratedStack, directory: string): void {
  mkdirSync(directory, { recursive: true });
  copyFileSync(join(from.directory, 'state.json'), join(directory, 'state.json'));
  // Node's own copy would lose the owner, which is not the one who starts it.
  execFileSync('cp', ['-a', `${from.home}/.`, homeOf(join(directory, 'postgres'))]);
}
