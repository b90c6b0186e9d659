// The command that lists a site's frozen invoices, with what corrects them.
import type { Command } from './command.ts';
import { print, printJson, shown, table } from './output.ts';

type Invoice = {
  year_month: string;
  event_count: string;
  overage_count: string;
  snapshot_hash: string;
  frozen_at: string;
  corrected_by?: { event_delta: string }[];
};

const invoices: Command = {
  words: 'invoices',
  usage: '<site>',
  summary: "list a site's frozen invoices, newest first",
  positionals: 1,
  options: {},
  async run({ args, json, api }) {
    const found: Invoice[] = [];
    const client = api();
    const path = `/api/sites/${encodeURIComponent(args[0] ?? '')}/invoices`;
    for (let cursor: string | null | undefined = ''; cursor != null; ) {
      const query: string = cursor === '' ? '?limit=120' : `?limit=120&cursor=${cursor}`;
      type Page = { invoices: Invoice[]; next_cursor?: string | null };
      const page: Page = await client.get<Page>(`${path}${query}`);
      found.push(...page.invoices);
      cursor = page.next_cursor === cursor ? null : page.next_cursor; // one that stands still would never end
    }
    if (json) printJson({ invoices: found });
    else print(table(found.map(row), ['MONTH', 'EVENTS', 'OVERAGE', 'CORRECTED BY', 'FROZEN', 'HASH']));
    return 0;
  },
};

function row({
  year_month,
  event_count,
  overage_count,
  corrected_by,
  frozen_at,
  snapshot_hash,
}: Invoice): string[] {
  const delta = (corrected_by ?? []).reduce((sum, one) => sum + BigInt(one.event_delta), 0n);
  return [
    year_month,
    event_count,
    overage_count,
    corrected_by?.length ? String(delta) : '-',
    shown(frozen_at),
    shown(snapshot_hash),
  ];
}

export const invoiceCommands = [invoices];
