// Months for the stimuli that archive and export: aged ones that may leave the ledger, and the open one with very many rows.
import { userOf } from '../../support/callers.ts';
import { freezeMonth, monthsAgo, plantRows } from '../../support/frozen-month.ts';
import type { TestStack } from '../../support/stack.ts';

export interface SiteMonth {
  id: string;
  month: string;
}

/** A month that was frozen half a year ago. */
export async function agedMonth(stack: TestStack, rows: number): Promise<SiteMonth> {
  const { id } = await siteOfOwner(stack);
  const month = monthsAgo(9);
  await plantRows(stack.database, id, month, rows);
  await freezeMonth(stack.database, id, month, 200);
  return { id, month };
}

/** The open month of a site, so long that its export is built into a file. */
export async function longMonth(stack: TestStack, rows: number): Promise<SiteMonth> {
  const { id } = await siteOfOwner(stack);
  const month = monthsAgo(0);
  await plantRows(stack.database, id, month, rows);
  return { id, month };
}

/** The id of an export of the month that is to be built. */
export async function requestedExport(stack: TestStack, { id, month }: SiteMonth): Promise<string> {
  const { rows } = await stack.database.query(
    `select request_dispute_export(month_state($1, $2), 'test') ->> 'export_id' id`,
    [id, month],
  );
  return rows[0].id;
}

export function exportPath({ id, month }: SiteMonth): string {
  return `/api/billing/dispute-export?site_id=${id}&year_month=${month}`;
}

async function siteOfOwner(stack: TestStack): Promise<{ id: string }> {
  const { body } = await stack.admin('POST', '/sites', {
    ...{ name: 'Months', origins: ['https://example.com'], user_id: userOf('owner').id },
    plan: { monthly_limit: '1000' },
  });
  return body;
}
