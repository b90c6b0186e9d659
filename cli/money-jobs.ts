// The commands of revenue assurance: reconcile the wallets, apply missed events, take over wallets, follow backfills, examine money.
import { type Call, type Command, type Option, required, text, UsageError } from './command.ts';
import { note, print, printJson, shown, table } from './output.ts';

const EXIT_DRIFT = 3;
const CALLS_MAX = 1_000;
const DAY = 'YYYY-MM-DD';

interface Results {
  migrationId: string | null;
  processed: number;
  errors: number;
  total: number;
}
type Answer = Record<string, unknown>;

/** Prints the plain figures of an answer; `--json` the answer as it is. */
function report(answer: Answer, figures: object, json: boolean): void {
  if (json) printJson(answer);
  else print(table(Object.entries(figures).map(([name, value]) => [name, shown(String(value))])));
}

const assure: Command = {
  words: 'assure',
  usage: `[--date ${DAY}]`,
  summary: 'reconcile every wallet with its entries; exit 3 when there was drift',
  positionals: 0,
  options: { date: { type: 'string', value: DAY, help: 'the day in UTC (default: today)' } },
  async run({ values, json, api }) {
    const date = text(values, 'date');
    for (let i = 0; ; i += 1) {
      const answer = await api().send<Answer & { results: Record<string, number | string> }>(
        'POST',
        '/api/jobs/reconcile',
        date === undefined ? {} : { date },
      );
      if (answer.remaining === true && i < CALLS_MAX) continue; // a long run is taken up where it stopped
      const { run_no, status, findings } = answer;
      report(answer, { date: answer.date, run_no, status, ...answer.results, findings }, json);
      return answer.results.adjusted === 0 && answer.results.errors === 0 && findings === 0 ? 0 : EXIT_DRIFT;
    }
  },
};

const events: Command = {
  words: 'backfill events',
  usage: `--from ${DAY} --to ${DAY} [--type TYPE] [--dry-run] [--max-events N]`,
  summary: 'apply events of payment providers that were missed',
  positionals: 0,
  options: {
    type: { type: 'string', value: 'TYPE', help: 'webhook_replay (default) or reversal_backfill' },
    from: { type: 'string', value: DAY, help: 'first day in UTC' },
    to: { type: 'string', value: DAY, help: 'last day in UTC' },
    'dry-run': { type: 'boolean', help: 'say what would be done and do nothing' },
    'max-events': { type: 'string', value: 'N', help: 'at most so many events (default: 1000)' },
  },
  async run({ values, json, api }) {
    const answer = await api().send<Answer & { results: Results; plan?: Plan[] }>(
      'POST',
      '/api/jobs/backfill',
      {
        type: text(values, 'type') ?? 'webhook_replay',
        startDate: required(values, 'from'),
        endDate: required(values, 'to'),
        dryRun: values['dry-run'] === true,
        maxEvents: count(values['max-events'], 'max-events', 1_000),
      },
    );
    if (!json && answer.plan) print(table(answer.plan.map(planned), ['EVENT', 'TYPE', 'WOULD']));
    report(answer, answer.results, json);
    return answer.results.errors === 0 ? 0 : 1;
  },
};

interface Plan {
  event_id: string;
  type: string;
  action?: string;
  error?: string;
}

function planned({ event_id, type, action, error }: Plan): string[] {
  return [event_id, type, error ?? action ?? ''];
}

function count(value: Call['values'][string], name: string, usual: number): number {
  if (value === undefined) return usual;
  if (typeof value !== 'string' || !/^[1-9]\d{0,8}$/.test(value))
    throw new UsageError(`Option --${name} must be a whole number above zero.`);
  return Number(value);
}

const flag = (help: string): Option => ({ type: 'boolean', help });

const wallets: Command = {
  words: 'backfill wallets',
  usage: '[--tenant-id T] [--batch-size N] [--dry-run] [--force --hash HASH|--confirm] [--include-pending]',
  summary: 'take the balances of the system before over into the ledger',
  positionals: 0,
  options: {
    'tenant-id': { type: 'string', value: 'T', help: 'the tenant (default: default)' },
    'batch-size': { type: 'string', value: 'N', help: 'wallets in a commit (default: 1000)' },
    'dry-run': flag('say what would be done, with its hash, and do nothing'),
    force: flag('also wallets in which money has moved: bring them to the legacy balance'),
    hash: { type: 'string', value: 'HASH', help: 'of a dry run of the last 24 hours with the same options' },
    confirm: flag('instead of the hash'),
    'include-pending': flag('also wallets with a pending hold, which stays'),
  },
  async run({ values, json, api }) {
    const hash = text(values, 'hash');
    const body = {
      tenantId: text(values, 'tenant-id') ?? 'default',
      batchSize: count(values['batch-size'], 'batch-size', 1_000),
      dryRun: values['dry-run'] === true,
      force: values.force === true,
      includePending: values['include-pending'] === true,
      confirm: values.confirm === true,
      ...(hash && { hash }),
    };
    let answer = await api().send<Answer & { summary: Answer }>('POST', '/api/jobs/backfill-wallets', body);
    for (let i = 0; answer.status === 'running' && i < CALLS_MAX; i += 1)
      answer = await api().send('POST', '/api/jobs/backfill-wallets', {
        ...body,
        migrationId: answer.migrationId,
      });
    report(answer, answer.summary, json);
    return String(answer.summary.errors) === '0' ? 0 : 1;
  },
};

const migrations: Command = {
  words: 'migrations',
  usage: '',
  summary: 'list the backfills, the newest first',
  positionals: 0,
  options: {},
  async run({ json, api }) {
    const answer = await api().get<{ migrations: Record<string, string>[] }>('/api/admin/dataMigrations');
    if (json) printJson(answer);
    else {
      const rows = answer.migrations.map((one) =>
        ['id', 'status', 'processedCount', 'errorCount', 'totalCount'].map((name) => one[name] ?? ''),
      );
      print(table(rows, ['ID', 'STATUS', 'PROCESSED', 'ERRORS', 'TOTAL']));
    }
    return 0;
  },
};

const migration: Command = {
  words: 'migration',
  usage: '<id>',
  summary: 'show a backfill with what became of its items',
  positionals: 1,
  options: {},
  async run({ args, json, api }) {
    const path = `/api/admin/dataMigrations/${encodeURIComponent(args[0] ?? '')}`;
    const { migration: found } = await api().get<{ migration: Answer & { items: Answer[] } }>(path);
    const { items, metadata, checkpoint, ...figures } = found;
    report(found, figures, json);
    if (!json && items.length > 0)
      print(
        table(
          items.map((one) => [String(one.item), String(one.status), String(one.error ?? '')]),
          ['ITEM', 'STATUS', 'ERROR'],
        ),
      );
    return 0;
  },
};

const doctor: Command = {
  words: 'doctor',
  usage: '',
  summary: 'examine every invariant of money, without writing; exit 3 when one is broken',
  positionals: 0,
  options: {},
  async run({ json, api }) {
    const answer = await api().get<{
      healthy: boolean;
      broken: number;
      unexamined: number;
      invariants: { invariant: string; violations: string | null }[];
    }>('/api/admin/doctor');
    const rows = answer.invariants.map(({ invariant, violations }) => [
      invariant,
      violations === null
        ? 'not examined in time'
        : violations === '0'
          ? 'holds'
          : `broken ${violations} times`,
    ]);
    if (json) printJson(answer);
    else print(table(rows, ['INVARIANT', '']));
    if (answer.healthy) return 0;
    note(`${answer.broken} invariants of money are broken, ${answer.unexamined} were not examined in time.`);
    return EXIT_DRIFT;
  },
};

export const moneyJobCommands = [assure, events, wallets, migrations, migration, doctor];
