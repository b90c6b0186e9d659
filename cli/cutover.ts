// The checklist of a cutover, which ticks what a deployment can show of itself and names what a person must see to.
import type { Api } from './api.ts';
import type { Command } from './command.ts';
import { secretOption, start } from './cron.ts';
import { print, printJson } from './output.ts';

const DAY_MS = 86_400_000;

type Item = { when: string; what: string; ok: boolean | null; found: string };
type Job = { job: string; last_ok_at: string | null; runs_failed: string };
type Flag = { flag: string; value: boolean };
type Migration = { id: string; status: string; errorCount: string };

/** What only people know; the requirement's order. */
const BY_HAND: [when: string, what: string][] = [
  ['before', 'seven days without a violation in the test stage'],
  ['before', 'a backup younger than a day, and the restore tried'],
  ['before', 'who is on call knows, and has read docs/rollout.md'],
  ['T-2 h', 'nobody books adjustments by hand any more'],
  ['T-0', "the provider's webhooks point here"],
  ['after', 'alerts watched for two hours, then adjustments again; 48 hours of closer watch'],
];

async function selfChecks(api: Api): Promise<Item[]> {
  const [doctor, metrics, flags, migrations] = await Promise.all([
    api.get<{ healthy: boolean; broken: number; invariants: object[] }>('/api/admin/doctor'),
    api.get<{ jobs: Job[] }>('/api/metrics'),
    api.get<{ flags: Flag[] }>('/api/admin/flags'),
    api.get<{ migrations: Migration[] }>('/api/admin/dataMigrations'),
  ]);
  const assure = metrics.jobs.find(({ job }) => job === 'assure');
  const age = assure?.last_ok_at ? Date.now() - Date.parse(assure.last_ok_at) : Number.POSITIVE_INFINITY;
  const off = ['reconciliation_enabled', 'backfill_enabled', 'ledger_shadow_write'].filter(
    (name) => !flags.flags.find(({ flag }) => flag === name)?.value,
  );
  const [last] = migrations.migrations;
  return [
    {
      when: 'before',
      what: 'every invariant of money holds',
      ok: doctor.healthy,
      found: `${doctor.broken} of ${doctor.invariants.length} broken`,
    },
    {
      when: 'before',
      what: 'the backfill was run and ended without errors',
      ok: last !== undefined && last.status === 'completed' && String(last.errorCount) === '0',
      found: last ? `${last.id} ${last.status}, ${last.errorCount} errors` : 'no backfill yet',
    },
    {
      when: 'T-1 h',
      what: 'the wallets were reconciled within a day, and the run ended well',
      ok: age < DAY_MS,
      found: assure?.last_ok_at ?? 'never',
    },
    {
      when: 'T-0',
      what: 'reconciliation, backfill and shadow writing are on',
      ok: off.length === 0,
      found: off.length === 0 ? 'on' : `off: ${off.join(', ')}`,
    },
  ];
}

function line({ when, what, ok, found }: Item): string {
  const mark = ok === null ? '[ ]' : ok ? '[x]' : '[!]';
  return `${mark} ${when.padEnd(7)} ${what}${found === '' ? '' : ` (${found})`}`;
}

const cutover: Command = {
  words: 'cutover',
  usage: '',
  summary: 'the checklist of a cutover, ticked by the deployment; exit 1 while a tick is missing',
  positionals: 0,
  options: secretOption,
  async run(call) {
    const watchtower = await start(call, 'watchtower');
    const items: Item[] = [
      ...(await selfChecks(call.api())),
      {
        when: 'T-0',
        what: 'watchtower is content',
        ok: watchtower.status === 'ok',
        found: String(watchtower.code),
      },
      ...BY_HAND.map(([when, what]) => ({ when, what, ok: null, found: '' })),
    ];
    const ok = items.every((item) => item.ok !== false);
    if (call.json) printJson({ ok, items });
    else print(items.map(line).join('\n'));
    return ok ? 0 : 1;
  },
};

export const cutoverCommands = [cutover];
