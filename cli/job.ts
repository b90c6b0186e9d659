// The commands that start a job now: what the schedules do, with the result of each item.
import { createApi } from './api.ts';
import { type Call, type Command, Failure, type Option, required, text } from './command.ts';
import { print, printJson, shown, table } from './output.ts';
import { findCronSecret } from './target.ts';

const secret: Record<string, Option> = {
  secret: {
    type: 'string',
    value: 'SECRET',
    help: 'the cron secret (default: KERNEL_CRON_SECRET, then .local)',
  },
};
const CALLS_MAX = 1_000;

type Answer = { ok: boolean } & Record<string, unknown>;

async function start({ target, values }: Call, path: string, body?: object): Promise<Answer> {
  const { url } = target();
  const api = createApi({ url, token: findCronSecret(values, url) });
  return api.send<Answer>('POST', `/api/cron/${path}`, body);
}

/** Prints the plain figures of an answer; `--json` the answer as it is. */
function report(answer: Answer, json: boolean): number {
  const figures = Object.entries(answer).filter(([, value]) => typeof value !== 'object');
  if (json) printJson(answer);
  else print(table(figures.map(([name, value]) => [name, shown(String(value))])));
  return answer.ok ? 0 : 1;
}

const recover: Command = {
  words: 'recover',
  usage: '',
  summary: 'deliver what the queue has lost or left behind',
  positionals: 0,
  options: secret,
  run: async (call) => report(await start(call, 'recover'), call.json),
};

const reconcile: Command = {
  words: 'reconcile',
  usage: '',
  summary: 'bring usage rows and counters back to the ledger; exit 3 when there was drift',
  positionals: 0,
  options: secret,
  async run(call) {
    const total = { ok: true, processed: 0, completed: 0, failed: 0, drifted: 0, results: [] as object[] };
    await start(call, 'reconcile-usage/enqueue');
    for (let i = 0; i < CALLS_MAX; i += 1) {
      const answer = await start(call, 'reconcile-usage/run');
      const results = answer.results as { usage_delta?: string; undelivered?: string; ledgerless?: string }[];
      total.processed += Number(answer.processed);
      total.completed += Number(answer.completed);
      total.failed += Number(answer.failed);
      total.drifted += results.filter((one) =>
        [one.usage_delta, one.undelivered, one.ledgerless].some((n) => n !== undefined && n !== '0'),
      ).length;
      total.results.push(...results);
      if (results.length === 0) break;
    }
    total.ok = total.failed === 0;
    const code = report(total, call.json);
    return code === 0 && total.drifted > 0 ? 3 : code;
  },
};

const backfill: Command = {
  words: 'backfill',
  usage: '--from YYYY-MM --to YYYY-MM [--site-id UUID] [--force]',
  summary: 'queue reconciliation of a range of open months',
  positionals: 0,
  options: {
    ...secret,
    from: { type: 'string', value: 'YYYY-MM', help: 'first month' },
    to: { type: 'string', value: 'YYYY-MM', help: 'last month, at most twelve in all' },
    'site-id': { type: 'string', value: 'UUID', help: 'one site only' },
    force: { type: 'boolean', help: 'also months that were checked and have not changed' },
  },
  async run(call) {
    const { values } = call;
    const site_id = text(values, 'site-id');
    const body = {
      from: required(values, 'from'),
      to: required(values, 'to'),
      ...(site_id && { site_id }),
      ...(values.force && { force: true }),
    };
    return report(await start(call, 'reconcile-usage/backfill', body), call.json);
  },
};

const freeze: Command = {
  words: 'freeze',
  usage: '[--month YYYY-MM]',
  summary: 'freeze the invoices of a month that has ended (default: last month)',
  positionals: 0,
  options: { ...secret, month: { type: 'string', value: 'YYYY-MM', help: 'the month in UTC' } },
  async run(call) {
    const month = text(call.values, 'month');
    const path = `invoice-freeze${month === undefined ? '' : `?year_month=${encodeURIComponent(month)}`}`;
    let answer = await start(call, path);
    for (let i = 0; answer.remaining === true && answer.ok; i += 1) {
      if (i === CALLS_MAX)
        throw new Failure('The freeze did not end: run the command again, it goes on where it stopped.');
      const next = await start(call, path);
      answer = {
        ...next,
        frozen: Number(answer.frozen) + Number(next.frozen),
        total_sites: Number(answer.total_sites) + Number(next.total_sites),
      };
    }
    return report(answer, call.json);
  },
};

export const jobCommands = [recover, reconcile, backfill, freeze];
