// The command that reconciles payment providers with the ledger: it queues a run, waits for its end, and says what differs.
import type { Api } from './api.ts';
import { type Command, Failure, text, UsageError, type Values } from './command.ts';
import { note, print, printJson, shown, table } from './output.ts';

type Drift = { provider_minor: string; ledger_minor: string; drift_minor: string };
type Difference = { finding_type: string; severity: string; tx_id?: string; provider_event_id?: string };
interface Run {
  id: string;
  provider: string;
  status: 'queued' | 'running' | 'completed' | 'incomplete' | 'failed';
  window_start: string;
  window_end: string;
  dry_run: boolean;
  stats: {
    listed?: string;
    new?: string;
    reopened?: string;
    resolved?: string;
    differences?: Record<string, string>;
    currencies?: Record<string, Drift>;
    found?: Difference[] | null;
  };
  error: { message: string } | null;
}

const runs = '/api/v1/reconciliation/runs';
const EXIT_FAILED = 1;
const EXIT_DIFFERS = 3;
const DAY_MS = 86_400_000;
const WAIT_MS = 10 * 60_000;
const POLL_MS = 500;
const ended = ({ status }: Run) => status !== 'queued' && status !== 'running';

function instant(values: Values, name: string): string | undefined {
  const value = text(values, name);
  if (value === undefined) return undefined;
  const zoned = /^\d{4}-\d\d-\d\dT\d\d:\d\d.*(Z|[+-]\d\d:\d\d)$/.test(value);
  if (!zoned || Number.isNaN(Date.parse(value)))
    throw new UsageError(`Option --${name} must be an instant such as 2026-03-01T00:00:00Z, not "${value}".`);
  return new Date(value).toISOString();
}

/** From an instant to another; without them, the last day. */
function windowOf(values: Values): { window_start: string; window_end: string } {
  const window_end = instant(values, 'to') ?? new Date().toISOString();
  const window_start = instant(values, 'from') ?? new Date(Date.parse(window_end) - DAY_MS).toISOString();
  if (window_start >= window_end) throw new UsageError('Option --from must be before --to.');
  return { window_start, window_end };
}

/** The one that was named, or all that carry a method. */
async function providersOf(api: Api, values: Values): Promise<string[]> {
  const named = text(values, 'provider');
  if (named !== undefined) return [named];
  const { methods } = await api.get<{ methods: { provider: string }[] }>('/api/v1/admin/payment-methods');
  return [...new Set(methods.map(({ provider }) => provider))];
}

async function settled(api: Api, asked: Run): Promise<Run> {
  let run = asked;
  for (const end = Date.now() + WAIT_MS; !ended(run); ) {
    if (Date.now() > end)
      throw new Failure(
        `The run ${run.id} has not ended after ${WAIT_MS / 60_000} minutes; it goes on, and GET ${runs}/${run.id} shows it.`,
      );
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    ({ run } = await api.get<{ run: Run }>(`${runs}/${run.id}`));
  }
  return run;
}

function show({ provider, status, window_start, window_end, dry_run, stats, error }: Run): void {
  print(`${provider} ${status}, ${window_start} to ${window_end}, ${stats.listed ?? '0'} payments listed`);
  if (error) note(`${provider}: nothing was concluded: ${error.message}`);
  const drifts = Object.entries(stats.currencies ?? {}).map(([currency, drift]) => [
    ...[currency, drift.provider_minor, drift.ledger_minor, drift.drift_minor],
  ]);
  if (drifts.length > 0) print(`\n${table(drifts, ['CURRENCY', 'PROVIDER', 'LEDGER', 'DRIFT'])}`);
  const differences = Object.entries(stats.differences ?? {});
  if (differences.length > 0) print(`\n${table(differences, ['DIFFERENCE', 'COUNT'])}`);
  const found = (stats.found ?? []).map((one) =>
    [one.finding_type, one.severity, one.tx_id, one.provider_event_id].map(shown),
  );
  if (found.length > 0) print(`\n${table(found, ['TYPE', 'SEVERITY', 'TRANSACTION', 'EVENT'])}`);
  if (status === 'completed' && !dry_run)
    print(`\nfindings: ${stats.new} new, ${stats.reopened} opened again, ${stats.resolved} resolved`);
}

/** 1 for a run that came to no end, 3 for a difference, which a list that is whole only can show. */
function exitCode(done: Run[]): number {
  if (done.some(({ status }) => status !== 'completed')) return EXIT_FAILED;
  const differs = done.some(
    ({ stats }) =>
      Object.values(stats.differences ?? {}).some((count) => count !== '0') ||
      Object.values(stats.currencies ?? {}).some(({ drift_minor }) => drift_minor !== '0'),
  );
  return differs ? EXIT_DIFFERS : 0;
}

const match: Command = {
  words: 'match',
  usage: '[--provider P] [--from I --to I] [--dry-run]',
  summary: 'reconcile payment providers with the ledger; exit 3 on a difference, 1 when a list had a gap',
  positionals: 0,
  options: {
    provider: { type: 'string', value: 'P', help: 'this one (default: each that carries a method)' },
    from: { type: 'string', value: 'I', help: 'first instant (default: a day before the last)' },
    to: { type: 'string', value: 'I', help: 'last instant (default: now); at most 31 days later' },
    'dry-run': { type: 'boolean', help: 'show every difference and write no finding' },
  },
  async run({ values, json, api }) {
    const window = windowOf(values);
    const client = api();
    const done: Run[] = [];
    for (const provider of await providersOf(client, values)) {
      const order = { provider, ...window, dry_run: values['dry-run'] === true };
      const { run } = await client.send<{ run: Run }>('POST', runs, order);
      const one = await settled(client, run);
      if (!json) show(one);
      done.push(one);
    }
    if (json) printJson({ runs: done });
    return exitCode(done);
  },
};

export const matchCommands = [match];
