// How the tests run a reconciliation of the wallets to its end, and plant what it should find.
import type pg from 'pg';

// biome-ignore lint/suspicious/noExplicitAny: tests read fields of many shapes
export type Row = Record<string, any>;

interface Wish {
  limit?: number;
  key?: string;
  policy?: string;
  every?: boolean;
}

/** Begins a run, or takes one up, and works on it page by page to its end. */
export async function reconcile(
  client: pg.ClientBase,
  { limit = 2000, key, policy = 'ledger_is_right', every = false }: Wish = {},
): Promise<Row> {
  const begun = await client.query(`select begin_reconciliation(null, 'test', $1, $2) run`, [key, policy]);
  let run: Row = begun.rows[0].run;
  while (run.status === 'running') {
    const { rows } = await client.query('select reconcile_wallets($1, $2, $3) run', [
      run.run_id,
      limit,
      every,
    ]);
    run = rows[0].run;
  }
  return run;
}

/** The reports of a run, its own first. */
export async function reports(client: pg.ClientBase, run: Row): Promise<Row[]> {
  const { rows } = await client.query('select list_reports($1, $2) report', [run.date, run.run_no]);
  return rows.map(({ report }) => report);
}

/** Changes rows past every trigger, as only a superuser at the database itself can. */
export async function plant(superuser: pg.ClientBase, sql: string): Promise<void> {
  await superuser.query('set session_replication_role = replica');
  try {
    await superuser.query(sql);
  } finally {
    await superuser.query('reset session_replication_role');
  }
}
