// The migrator: plain SQL files, one statement a call, each statement and its record in one transaction; so a crash in the
// middle of a file resumes there. On an empty database, where nobody waits for a lock, a whole file is one transaction. An applied file that was edited is refused; a lease keeps a second migrator out.
import { createHash, randomUUID } from 'node:crypto';
import { postgreSplitterOptions, splitQuery } from 'dbgate-query-splitter';
import { KernelError } from './errors.ts';
import type { Database, Parameter } from './ports.ts';

const lease_s = 120;
const resume_wait_ms = 90_000;
const resume_pause_ms = 2_000;

/** A database with transactions of several statements; a rolling deploy is the only thing that needs one. */
export interface TransactionalDatabase extends Database {
  /**
   * Runs the statements in one transaction, each at most once; one that changes another number of rows than told undoes all.
   * @throws KernelError `ledger_unavailable` also when only the reply to the commit was lost.
   */
  atomically(statements: Statement[]): Promise<void>;
}

export interface Statement {
  sql: string;
  parameters?: Record<string, Parameter>;
  /** How many rows it must change, and the sentence when it changes more or fewer. */
  rows?: { count: number; otherwise: string };
}

export interface MigrationFile {
  name: string;
  text: string;
}

export interface MigrationResult {
  file: string;
  /** Statements run now; 0 when the file was applied already. */
  statements: number;
}

interface Applied {
  name: string;
  checksum: string;
  applied: string;
  statements: string;
}

/**
 * Applies what is missing, in the order of the files' names.
 * @param options whole_files: one transaction a file while the database is new; four times as fast.
 * @throws Error with one sentence: another migrator holds the lease, a file was edited, or a statement failed.
 */
export async function migrate(
  database: TransactionalDatabase,
  files: MigrationFile[],
  log: (sentence: string) => void = () => undefined,
  { whole_files = false } = {},
): Promise<MigrationResult[]> {
  await awake(database, log);
  await prepare(database);
  const holder = randomUUID();
  await takeLease(database, holder);
  try {
    const applied = new Map((await appliedFiles(database)).map((row) => [row.name, row]));
    const missing = [...applied.keys()].find((name) => !files.some((file) => file.name === name));
    if (missing)
      throw new Error(`The migration ${missing} was applied to this database but is not in this release.`);
    const results: MigrationResult[] = [];
    const fresh = whole_files && applied.size === 0;
    for (const file of [...files].sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const statements = split(file.text);
      if (fresh && (await applyWhole(database, file.name, statements, holder))) {
        results.push({ file: file.name, statements: statements.length });
        continue;
      }
      results.push(await applyFile(database, file, applied.get(file.name), holder));
    }
    return results;
  } finally {
    await database
      .query('delete from schema_migration_lease where holder = :holder', { holder })
      .catch(() => undefined);
  }
}

/** False when it failed, and then nothing of it is done: statement by statement it is told which one. */
async function applyWhole(
  database: TransactionalDatabase,
  name: string,
  statements: string[],
  holder: string,
): Promise<boolean> {
  const all = String(statements.length);
  const progress = { name, checksum: checksum(statements), applied: all, statements: all };
  const record = { sql: progressRecord, parameters: progress };
  const steps = [leaseRenewal(holder), ...statements.map((sql) => ({ sql })), record];
  return database.atomically(steps).then(
    () => true,
    () => isRecorded(database, progress),
  );
}

async function applyFile(
  database: TransactionalDatabase,
  file: MigrationFile,
  before: Applied | undefined,
  holder: string,
) {
  const statements = split(file.text);
  const done = Number(before?.applied ?? 0);
  if (before && checksum(statements.slice(0, done)) !== before.checksum) {
    throw new Error(`The migration ${file.name} was edited after it was applied: write a new file instead.`);
  }
  if (before && before.statements === before.applied && statements.length !== done) {
    throw new Error(`The migration ${file.name} was edited after it was applied: write a new file instead.`);
  }
  for (let i = done; i < statements.length; i++) {
    const progress = {
      name: file.name,
      checksum: checksum(statements.slice(0, i + 1)),
      applied: String(i + 1),
      statements: String(statements.length),
    };
    await database
      .atomically([
        leaseRenewal(holder),
        { sql: statements[i] as string },
        { sql: progressRecord, parameters: progress },
      ])
      .catch(async (cause: KernelError) => {
        if (cause.code === 'ledger_unavailable' && (await isRecorded(database, progress))) return; // only the reply was lost
        const reason = (cause.cause as Error | undefined)?.message ?? cause.message;
        throw new Error(`Statement ${i + 1} of ${file.name} failed: ${reason}`, { cause });
      });
  }
  return { file: file.name, statements: statements.length - done };
}

const progressRecord = `insert into schema_migrations (name, checksum, applied, statements)
  values (:name, :checksum, :applied::integer, :statements::integer)
  on conflict (name) do update set checksum = excluded.checksum, applied = excluded.applied,
    statements = excluded.statements, applied_at = clock_timestamp()`;

async function isRecorded(database: Database, progress: Applied): Promise<boolean> {
  const rows = await appliedFiles(database).catch(() => []);
  return rows.some(({ name, checksum, applied }) => {
    return (
      name === progress.name && checksum === progress.checksum && Number(applied) === Number(progress.applied)
    );
  });
}

/** Changes no row when the lease was lost, which undoes the step: two migrators never interleave. */
function leaseRenewal(holder: string): Statement {
  return {
    sql: `update schema_migration_lease set until = clock_timestamp() + make_interval(secs => :seconds::integer)
      where holder = :holder`,
    parameters: { holder, seconds: String(lease_s) },
    rows: { count: 1, otherwise: 'Another migrator has taken over.' },
  };
}

/** A lease whose row is locked is in use as well: by a step that runs, or by the open transaction of a migrator that died. */
async function takeLease(database: Database, holder: string): Promise<void> {
  const taken = await database.query(
    `with ended as (select from schema_migration_lease where until < clock_timestamp() for update skip locked)
     insert into schema_migration_lease as l (only_row, holder, until)
     select true, :holder, clock_timestamp() + make_interval(secs => :seconds::integer)
      where exists (select from ended) or not exists (select from schema_migration_lease)
     on conflict (only_row) do update set holder = excluded.holder, until = excluded.until where l.until < clock_timestamp()
     returning holder`,
    { holder, seconds: String(lease_s) },
  );
  if (taken.length === 0)
    throw new Error('Another migrator is at work; its lease ends within three minutes of its last step.');
}

async function prepare(database: TransactionalDatabase): Promise<void> {
  const [found] = await database.query(
    `select from pg_class where relname = 'schema_migration_lease' and relnamespace = 'public'::regnamespace`,
  );
  if (found) return;
  await database.atomically(
    [
      'select 1 from pg_advisory_xact_lock(7239)', // two first migrators would create the same tables
      `create table if not exists schema_migrations (
         name text primary key, checksum text not null, applied integer not null, statements integer not null,
         applied_at timestamptz not null default clock_timestamp())`,
      `comment on table schema_migrations is 'How far each migration file was applied; checksum covers its applied statements.'`,
      `create table if not exists schema_migration_lease (
         only_row boolean primary key check (only_row), holder text not null, until timestamptz not null)`,
      `comment on table schema_migration_lease is 'The migrator at work, until its lease ends.'`,
      'revoke all on schema_migrations, schema_migration_lease from public',
    ].map((sql) => ({ sql })),
  );
}

async function appliedFiles(database: Database): Promise<Applied[]> {
  return database.query<Applied>(
    'select name, checksum, applied, statements from schema_migrations order by name',
  );
}

/** A paused cluster takes up to half a minute to resume: wait for it instead of failing the deploy. */
async function awake(database: Database, log: (sentence: string) => void): Promise<void> {
  const end = Date.now() + resume_wait_ms;
  for (;;) {
    try {
      await database.query('select 1 awake');
      return;
    } catch (error) {
      const away = error instanceof KernelError && error.code === 'ledger_unavailable';
      if (!away || Date.now() > end) throw error;
      log('The database does not answer yet; trying again.');
      await new Promise((resolve) => setTimeout(resolve, resume_pause_ms));
    }
  }
}

/** The statements of a file; a statement that holds only comments is none. */
export function split(text: string): string[] {
  return splitQuery(text, postgreSplitterOptions)
    .map((item) => (typeof item === 'string' ? item : item.text).trim())
    .filter((statement) => statement.replace(/--[^\n]*/g, '').trim() !== '');
}

function checksum(statements: string[]): string {
  return createHash('sha256').update(statements.join('\u0000')).digest('hex');
}
