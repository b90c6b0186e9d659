// One question to a function of the ledger that answers in JSON.
import type { Database, Parameter } from './ports.ts';

/** The one jsonb that a call such as `site_quota(:site::uuid)` returns, of any length; null when it returns nothing. */
export async function ask(database: Database, call: string, parameters: Record<string, Parameter> = {}) {
  // In parts, because the Data API takes no row above 64 KiB; a character has at most four bytes.
  const sql = `with said as materialized (select ${call}::text result)
    select substr(result, n * 16000 + 1, 16000) part from said, generate_series(0, (length(result) - 1) / 16000) n order by n`;
  const rows = await database.query<{ part: string }>(sql, parameters);
  return JSON.parse(rows.map(({ part }) => part).join('') || 'null');
}

/** The jsonb of each row that a call returns. */
export async function askMany(database: Database, call: string, parameters: Record<string, Parameter> = {}) {
  const rows = await database.query<{ result: string }>(`select r::text result from ${call} r`, parameters);
  return rows.map(({ result }) => JSON.parse(result));
}
