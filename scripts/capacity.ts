// Prints what a rate of events takes and costs (`npm run capacity -- --events 1000 --batch 100`); --write renews the tables of docs/scaling.md.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  type Access,
  capacity,
  cheaperAccess,
  eventsPerAcu,
  figure,
  firstRate,
  inputs,
  needs,
} from './capacity-model.ts';

export const page = join(import.meta.dirname, '../docs/scaling.md');
const rates = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000];
const batches = [1, 100];
/** At which costs are broken down. */
const usual_rate = 1_000;

/** The tables of the page by their names. */
export function tables(): Record<string, string> {
  return {
    load: table(
      [
        ...['events/s', 'batch', 'calls/s', 'ingest instances', 'ACU', 'I/O per s', 'DynamoDB writes/s'],
        ...['SQS requests/s', 'way', 'storage', 'USD a month', 'USD per million', 'needs'],
      ],
      batches.flatMap((batch) => rates.map((events) => loadRow(events, batch))),
    ),
    cost: costTable(),
    vendors: vendorTable(),
    steps: stepsTable(),
    inputs: table(
      ['input', 'value', 'what it is, and whose word'],
      Object.entries(inputs).map(([name, [value, source]]) => [`\`${name}\``, String(value), source]),
    ),
  };
}

/** The page with its tables renewed. */
export function renewed(text: string): string {
  return Object.entries(tables()).reduce(
    (page, [name, made]) =>
      page.replace(
        new RegExp(`(<!-- table: ${name} -->\n)[^]*?(<!-- end -->)`),
        (_all, begin: string, end: string) => `${begin}${made}\n${end}`,
      ),
    text,
  );
}

function loadRow(events: number, batch: number): string[] {
  const access = cheaperAccess(events, batch);
  const found = capacity({ events, batch, access });
  const small = (value: number) => figure(value, value < 10 ? 1 : 0);
  return [
    figure(events),
    figure(batch),
    figure(found.calls_s, found.calls_s < 10 ? 2 : 0),
    small(found.ingest_instances),
    small(found.acus),
    figure(found.ios_s),
    small(found.writes_s),
    small(found.sqs_s),
    access,
    found.io_optimized ? 'I/O-Optimized' : 'standard',
    figure(found.usd_month),
    figure(found.usd_per_million, 2),
    needs({ events, batch, access }).join(', '),
  ];
}

function costTable(): string {
  const ways = [
    [1, 'data-api'],
    [1, 'proxy'],
    [100, 'data-api'],
    [100, 'proxy'],
  ] as const;
  const found = ways.map(([batch, access]) => capacity({ events: usual_rate, batch, access }));
  const millions = (found[0]?.usd_month ?? 0) / (found[0]?.usd_per_million ?? 1);
  const items = Object.keys(found[0]?.usd ?? {});
  return table(
    [
      'USD per million events',
      ...ways.map(([batch, access]) => `${batch === 1 ? 'single' : batch}, ${access}`),
    ],
    [
      ...items.map((item) => [item, ...found.map(({ usd }) => figure((usd[item] ?? 0) / millions, 3))]),
      ['**together**', ...found.map(({ usd_per_million }) => `**${figure(usd_per_million, 2)}**`)],
    ],
  );
}

function vendorTable(): string {
  const own = (batch: number) =>
    figure(
      capacity({ events: usual_rate, batch, access: cheaperAccess(usual_rate, batch) }).usd_per_million,
      2,
    );
  return table(
    ['whom', 'USD per million events', 'and of what is billed', 'source'],
    [
      [
        'this stack, single events',
        own(1),
        'nothing',
        'the model, at 1,000 events/s; without the people who run it',
      ],
      ['this stack, batches of 100', own(100), 'nothing', 'the same'],
      ['Metronome Startup', '40.00', '0.8 %', 'stripe.com/pricing, September 2026: $0.04 per 1,000 events'],
      ['Stripe Billing', '0.00', '0.7 %', 'the same page; up to 100 million events a month'],
      [
        'Amberflo Growth',
        '500.00',
        '0.54 %',
        'a copy of its prices, not checked: $5 per further 10,000 events',
      ],
      ['Orb, Lago Cloud, Kong Metering & Billing', 'on request', 'on request', 'no public figures'],
    ],
  );
}

function stepsTable(): string {
  const from = (is: (events: number) => boolean) => {
    const rate = firstRate(is);
    return rate === undefined ? 'never' : `${figure(rate, rate < 10 ? 1 : 0)} events/s`;
  };
  const of = (batch: number, events: number, access: Access = cheaperAccess(events, batch)) =>
    capacity({ events, batch, access });
  const both = (is: (events: number, batch: number) => boolean) =>
    batches.map((batch) => from((events) => is(events, batch)));
  const { site_commits_s, acu_max } = inputs;
  return table(
    ['step', 'single events: from', 'batches of 100: from'],
    [
      [
        'a site must batch',
        `${figure(site_commits_s[0])} events/s of one site`,
        `${figure(site_commits_s[0] * 100)} events/s of one site`,
      ],
      [
        'the direct way is cheaper than the Data API',
        ...both((events, batch) => cheaperAccess(events, batch) === 'proxy'),
      ],
      ['I/O-Optimized is cheaper than standard', ...both((events, batch) => of(batch, events).io_optimized)],
      [
        'more instances of ingest than an account has at first',
        ...both((events, batch) => of(batch, events).ingest_instances > inputs.lambda_concurrency[0]),
      ],
      [
        'more calls than the HTTP API admits at first',
        ...both((events, batch) => of(batch, events).calls_s > inputs.http_rate[0]),
      ],
      [
        `one writer of ${acu_max[0]} ACU is full`,
        ...both((events, batch) => of(batch, events).acus > acu_max[0]),
      ],
    ],
  );
}

function table(head: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

function print(events: number, batch: number): void {
  const shown = (['data-api', 'proxy'] as const).map((access) => ({
    access,
    ...capacity({ events, batch, access }),
  }));
  const names = Object.keys(shown[0] ?? {}).filter((name) => !['usd', 'access'].includes(name));
  const write = (name: string, ...cells: string[]) =>
    process.stdout.write(`${name.padEnd(30)}${cells.map((cell) => cell.padStart(16)).join('')}\n`);
  const text = (value: unknown) => (typeof value === 'number' ? figure(value, 2) : String(value));
  write(`${figure(events)} events/s by ${figure(batch)}`, ...shown.map(({ access }) => access));
  for (const name of names) write(name, ...shown.map((one) => text(one[name as keyof typeof one])));
  for (const item of Object.keys(shown[0]?.usd ?? {}))
    write(`  ${item}`, ...shown.map(({ usd }) => text(usd[item])));
  write('events/s of one ACU', text(eventsPerAcu(batch)));
  const access = cheaperAccess(events, batch);
  process.stdout.write(
    `\ncheaper: ${access}. Needs: ${needs({ events, batch, access }).join(', ') || 'the defaults'}.\n`,
  );
  process.stdout.write('An estimate: the inputs and where they come from stand in docs/scaling.md.\n');
}

if (process.argv[1] === import.meta.filename) {
  const { values } = parseArgs({
    options: {
      events: { type: 'string', default: String(usual_rate) },
      batch: { type: 'string', default: '1' },
      write: { type: 'boolean', default: false },
    },
  });
  const [events, batch] = [Number(values.events), Number(values.batch)];
  if (values.write) writeFileSync(page, renewed(readFileSync(page, 'utf8')));
  else if (events > 0 && events <= 1_000_000 && Number.isInteger(batch) && batch >= 1 && batch <= 500)
    print(events, batch);
  else {
    process.stderr.write('Give --events from 1 to 1000000 a second and --batch from 1 to 500.\n');
    process.exitCode = 1;
  }
}
