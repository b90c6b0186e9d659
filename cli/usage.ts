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

export type Tracker = {
  loss: { arrived: string; lost: string; reported: Record<string, string>; rate: string };
  requests: { batches: string; retried: string; retry_rate: string };
  clocks: { minutes_off: string; hours_off: string };
  sdks: { sdk: string; batches: string }[];
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

/** What the site's trackers say of themselves; nothing when it has none. */
function trackerReport({ loss, requests, clocks, sdks }: Tracker): string {
  if (requests.batches === '0') return '';
  const dropped = Object.entries(loss.reported).map(([reason, events]) => `${events} ${reason}`);
  return table(
    [
      ['lost', `${loss.lost}, with ${loss.arrived} arrived (${loss.rate})`],
      ['dropped', dropped.join(', ') || '0'],
      ['retries', `${requests.retried} of ${requests.batches} requests (${requests.retry_rate})`],
      ['clocks off', `${clocks.minutes_off} by minutes, ${clocks.hours_off} by hours`],
      ['versions', sdks.map(({ sdk, batches }) => `${sdk} (${batches})`).join(', ')],
    ],
    ['TRACKERS', ''],
  );
}

const usage: Command = {
  words: 'usage',
  usage: '<site> [--month YYYY-MM]',
  summary: "show a site's month from ledger, usage row and counter; exit 3 when they differ",
  positionals: 1,
  options: { month: { type: 'string', value: 'YYYY-MM', help: 'the month in UTC (default: this month)' } },
  async run({ args, values, json, api }) {
    const asked = month(values);
    const read = <T>(part: string) =>
      api().get<T>(`${sitePath(args[0] ?? '')}/${part}${asked === undefined ? '' : `?month=${asked}`}`);
    const answer = await read<Usage>('usage');
    const tracker = await read<Tracker>('tracker');
    if (json) printJson({ ...answer, tracker });
    else print([report(answer), trackerReport(tracker)].filter(Boolean).join('\n\n'));
    if (agrees(answer)) return 0;
    note('Drift: ledger, usage row and counter do not say the same.');
    return EXIT_DRIFT;
  },
};

export const usageCommands = [usage];
