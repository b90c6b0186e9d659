// What do the jobs of money take at a million wallets: a reconciliation of all of them, reversals, and a replay of missed events?
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { MiB, memory_max, openBench, plantPurchases, plantWallets } from './large-ledger.ts';
import { measure, percentile, report, table } from './measure.ts';

const wallets_count = Number(process.env.WALLETS ?? 1_000_000);
const events_count = Number(process.env.EVENTS ?? 10_000);
const clients_count = 8;
const stride = 1_000_003; // a prime: the wallets are met in an order that is not that of their rows

const bench = await openBench();
await plantWallets(bench.client, wallets_count);
await plantPurchases(bench.client, wallets_count, events_count);
process.stderr.write('planted\n');

const run = await bench.measured('wallets');
process.stderr.write('reconciled\n');

const clients = await Promise.all(Array.from({ length: clients_count }, () => bench.connect()));
const latencies_ms: number[] = [];
let reversed = 0;
const [reversals] = await measure([{ name: 'reverse', run: reverseFor }]);
await Promise.all(clients.map((client) => client.end()));

const today = new Date().toISOString().slice(0, 10);
const replay = await bench.measured('replay', today, String(events_count));
await bench.client.query('select fold_accounts()');
const broken = (await bench.client.query('select * from check_money() where violations <> 0')).rows;
await bench.close();

const rate = (count: number, seconds: number) => Math.round(count / seconds).toLocaleString('en');
const growth = (bytes: number) => `${(bytes / MiB).toFixed(0)} MiB`;
const milliseconds = (share: number) => `${percentile(latencies_ms, share).toFixed(1)} ms`;
report(
  'wallets',
  `${wallets_count.toLocaleString('en')} wallets of three entries each. Reconciled by the job's own loop in a process of its own, page by page, with nothing wrong; then ${clients_count} clients reverse a whole deposit each, in SQL; then ${events_count.toLocaleString('en')} missed purchases are replayed by the job's own loop, an event in a commit. fsync on.`,
  `${table(
    ['work', 'done', 'seconds', 'per second', 'p50', 'p99', 'memory'],
    [
      [
        'wallets reconciled',
        Number(run.rows).toLocaleString('en'),
        run.seconds.toFixed(1),
        rate(Number(run.rows), run.seconds),
        '',
        '',
        growth(run.growth),
      ],
      [
        'reversals',
        reversed.toLocaleString('en'),
        '',
        rate(reversals?.per_second ?? 0, 1),
        milliseconds(0.5),
        milliseconds(0.99),
        '',
      ],
      [
        'events replayed',
        Number(replay.rows).toLocaleString('en'),
        replay.seconds.toFixed(1),
        rate(Number(replay.rows), replay.seconds),
        '',
        '',
        growth(replay.growth),
      ],
    ],
  )}\n\nThe invariants took ${Number(run.invariants_seconds).toFixed(1)} s more. At most ${memory_max / MiB} MiB are allowed. Wallets found wrong: ${run.wrong}. Invariants broken afterwards: ${broken.length}.`,
);
if (
  run.wrong !== '0' ||
  run.rows !== String(wallets_count) ||
  replay.rows !== String(events_count) ||
  Math.max(run.growth, replay.growth) >= memory_max ||
  broken.length > 0
)
  process.exitCode = 1;

async function reverseFor(ms: number): Promise<number> {
  const end = performance.now() + ms;
  const before = reversed;
  const work = async (client: pg.Client) => {
    while (performance.now() < end) await reverseNext(client);
  };
  await Promise.all(clients.map(work));
  return reversed - before;
}

/** Reverses the first deposit of a wallet that none has reversed yet. */
async function reverseNext(client: pg.Client): Promise<void> {
  if (reversed === wallets_count) throw new Error('Every wallet is reversed; plant more.');
  const wallet = (reversed++ * stride) % wallets_count;
  const started = performance.now();
  const { rows } = await client.query({
    name: 'reverse',
    text: `select reverse('bench', 'bench', $1, jsonb_build_object('transfer_id', md5('transfer|' || $2 || '|1')::uuid)) ->> 'outcome' outcome`,
    values: [randomUUID(), String(wallet)],
  });
  if (rows[0].outcome !== 'done') throw new Error('A reversal was not done.');
  latencies_ms.push(performance.now() - started);
}
