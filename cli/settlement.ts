// The commands on settlement: whether the overage of a site's frozen invoices is charged to its wallet, and what was.
import { type Command, decimal, required, text, UsageError } from './command.ts';
import { print, printJson, shown, table } from './output.ts';
import { sitePath } from './site.ts';

interface Settlement {
  currency: string | null;
  from: string | null;
  overage_price_per_1k: string | null;
  balances: Record<string, string>;
  settled: {
    year_month: string;
    overage_count: string;
    price_per_1k: string;
    amount_minor: string;
    currency: string;
    snapshot_hash: string;
  }[];
}

const path = (site: string) => `${sitePath(site)}/settlement`;

function report(settlement: Settlement): void {
  const balances = Object.entries(settlement.balances).map(([currency, minor]) => `${minor} ${currency}`);
  print(
    table([
      ['currency', settlement.currency ?? 'off'],
      ['from', shown(settlement.from)],
      ['price per 1000', shown(settlement.overage_price_per_1k)],
      ['balance in minor units', shown(balances)],
    ]),
  );
  if (settlement.settled.length === 0) return;
  const rows = settlement.settled.map((one) => [
    ...[one.year_month, one.overage_count, one.price_per_1k, one.amount_minor, one.currency],
    one.snapshot_hash,
  ]);
  print(`\n${table(rows, ['MONTH', 'OVERAGE', 'PER 1000', 'MINOR', 'CURRENCY', 'INVOICE'])}`);
}

const show: Command = {
  words: 'settlement show',
  usage: '<site>',
  summary: "show how a site's overage is charged, and what was",
  positionals: 1,
  options: {},
  async run({ args, json, api }) {
    const answer = await api().get<{ settlement: Settlement }>(path(args[0] ?? ''));
    if (json) printJson(answer);
    else report(answer.settlement);
    return 0;
  },
};

const set: Command = {
  words: 'settlement set',
  usage: '<site> --currency C --price-per-1k P | --off',
  summary: "charge the overage of a site's invoices to its wallet, from this month's on, or not any more",
  positionals: 1,
  options: {
    currency: { type: 'string', value: 'C', help: 'for example USD' },
    'price-per-1k': { type: 'string', value: 'P', help: 'of a thousand events, for example 0.50' },
    off: { type: 'boolean', help: 'charge nothing from now on' },
  },
  async run({ args, values, json, api }) {
    const off = values.off === true;
    if (off && (text(values, 'currency') ?? text(values, 'price-per-1k')) !== undefined)
      throw new UsageError('Option --off excludes --currency and --price-per-1k.');
    if (!off) required(values, 'price-per-1k');
    const body = off
      ? { currency: null }
      : {
          currency: required(values, 'currency'),
          overage_price_per_1k: decimal(values, 'price-per-1k', true),
        };
    const answer = await api().send<{ settlement: Settlement }>('PUT', path(args[0] ?? ''), body);
    if (json) printJson(answer);
    else report(answer.settlement);
    return 0;
  },
};

export const settlementCommands = [show, set];
