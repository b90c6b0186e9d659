// The command that shows a site's month from its three sources and exits 3 when they do not say the same.
import { type Command, month } from './command.ts';
import { note, print, printJson, shown, table } from './output.ts';
import { sitePath } from './site.ts';

export type Usage = {
  site_id: string;
  public_id: string;
  year_month: string;
  ledger: { billable: string; overage: string; rejected: string; rows: string };
  usage_row: { event_count: string; overage_count: string; last_synced_at?: string } | null;
  counter: { used: string; as_of: string } | null;
  events: { delivered: string };
  outbox: { waiting: string };
  limit: string;
  remaining: string;
  drift: string;
};

const EXIT_DRIFT = 3;

/** Ledger, usage row and counter must name one number; a row that is not there counts as zero. */
export function agrees(usage: Pick<Usage, 'ledger' | 'usage_row' | 'counter'>): boolean {
  const ledger = BigInt(usage.ledger.billable);
  return BigInt(usage.usage_row?.event_count ?? 0) === ledger && BigInt(usage.counter?.used ?? 0) === ledger;
}

function report(usage: Usage): string {
  return [
    `${usage.public_id} (${usage.site_id}), ${usage.year_month}`,
    '',
    table(
      [
        ['ledger', usage.ledger.billable, usage.ledger.overage, usage.ledger.rejected],
        ['usage row', usage.usage_row?.event_count ?? '0', usage.usage_row?.overage_count ?? '0', ''],
        ['counter', usage.counter?.used ?? '0', '', ''],
      ].map((row) => row.map(String)),
      ['SOURCE', 'BILLABLE', 'OVERAGE', 'REJECTED'],
    ),
    '',
    table(
      [
        ['limit', shown(usage.limit)],
        ['remaining', shown(usage.remaining)],
        ['ledger rows', shown(usage.ledger.rows)],
        ['delivered', shown(usage.events.delivered)],
        ['waiting', shown(usage.outbox.waiting)],
        ['drift', shown(usage.drift)],
      ],
      ['', ''],
    ).trimStart(),
  ].join('\n');
}

const usage: Command = {
  words: 'usage',
  usage: '<site> [--month YYYY-MM]',
  summary: "show a site's month from ledger, usage row and counter; exit 3 when they differ",
  positionals: 1,
  options: { month: { type: 'string', value: 'YYYY-MM', help: 'the month in UTC (default: this month)' } },
  async run({ args, values, json, api }) {
    const asked = month(values);
    const answer = await api().get<Usage>(
      `${sitePath(args[0] ?? '')}/usage${asked === undefined ? '' : `?month=${asked}`}`,
    );
    if (json) printJson(answer);
    else print(report(answer));
    if (agrees(answer)) return 0;
    note('Drift: ledger, usage row and counter do not say the same.');
    return EXIT_DRIFT;
  },
};

export const usageCommands = [usage];
