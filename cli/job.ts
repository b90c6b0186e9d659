// The commands that start a job now: what the schedules do, with the result of each item.
import { type Command, Failure, month, required, text } from './command.ts';
import { type JobAnswer, report, secretOption as secret, start } from './cron.ts';
import { note } from './output.ts';

const CALLS_MAX = 1_000;

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
    const asked = month(call.values);
    const path = `invoice-freeze${asked === undefined ? '' : `?year_month=${asked}`}`;
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

const SUMS = ['deleted', 'archived', 'events_deleted', 'personal_data_removed', 'seals_checked'] as const;

/** The next call's answer with the figures of those before added to it. */
function added(before: JobAnswer | undefined, next: JobAnswer): JobAnswer {
  if (!before) return next;
  const sums = SUMS.map((name) => [name, String(BigInt(String(before[name])) + BigInt(String(next[name])))]);
  return { ...next, ...Object.fromEntries(sums), ok: before.ok && next.ok };
}

/** A month that cannot be purged, or whose seal is broken, is named at each call, and must not be asked for for ever. */
function progressed(answer: JobAnswer): boolean {
  const done = (name: (typeof SUMS)[number]) => Number(answer[name]);
  const broken = (answer.seals_broken as object[]).length;
  return SUMS.some((name) => done(name) > (name === 'seals_checked' ? broken : 0));
}

const cleanup: Command = {
  words: 'cleanup',
  usage: '[--dry-run]',
  summary:
    'archive and purge what may leave the ledger, expire events and prove seals, until nothing remains; exit 3 when a seal is broken',
  positionals: 0,
  options: { ...secret, 'dry-run': { type: 'boolean', help: 'say what would go, and change nothing' } },
  async run(call) {
    if (call.values['dry-run'])
      return report(await start(call, 'idempotency-cleanup?dry_run=true'), call.json);
    let total: JobAnswer | undefined;
    for (let i = 0; i < CALLS_MAX; i += 1) {
      const next = await start(call, 'idempotency-cleanup');
      total = added(total, next);
      if (next.remaining !== true || !progressed(next)) break;
      note(`cleanup: ${SUMS.map((name) => `${total?.[name]} ${name.replaceAll('_', ' ')}`).join(', ')} …`);
    }
    const code = report(total ?? { ok: false }, call.json);
    // A broken seal is proved at each call, so the last one names them all.
    const broken = (total?.seals_broken ?? []) as {
      site_id: string;
      year_month: string;
      changed_days: string[] | null;
    }[];
    for (const { site_id, year_month, changed_days } of broken)
      note(
        `${site_id} ${year_month}: the seal is broken; changed: ${changed_days?.join(', ') || 'the invoice'}`,
      );
    return code === 0 && broken.length > 0 ? 3 : code;
  },
};

export const jobCommands = [recover, reconcile, backfill, freeze, cleanup];
