// One question to a function of the ledger that answers in JSON.
import type { Database, Parameter } from './ports.ts';

/** The one jsonb that a call such as `site_quota(:site::uuid)` returns; null when it returns nothing. */
export async function ask(database: Database, call: string, parameters: Record<string, Parameter> = {}) {
  const [row] = await database.query<{ result: string }>(`select ${call}::text result`, parameters);
  return JSON.parse(row?.result ?? 'null');
}

/** The jsonb of each row that a call returns. */
export async function askMany(database: Database, call: string, parameters: Record<string, Parameter> = {}) {
  const rows = await database.query<{ result: string }>(`select r::text result from ${call} r`, parameters);
  return rows.map(({ result }) => JSON.parse(result));
}
