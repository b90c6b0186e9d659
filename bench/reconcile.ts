// How long does a full reconciliation of many sites take, and how much memory?
import { MiB, memory_max, openBench, plantDelivered, plantSites } from './large-ledger.ts';
import { report, table } from './measure.ts';

const rows_planted = Number(process.env.ROWS ?? 5_000_000);
const sites_count = Number(process.env.SITES ?? 1_000);
const seconds_max = 60;

const bench = await openBench();
const month = new Date().toISOString().slice(0, 7);
await plantSites(bench.client, month, sites_count, rows_planted);
await plantDelivered(bench.client, month);
process.stderr.write('planted\n');
const { rows, seconds, growth, jobs, wrong } = await bench.measured('reconcile');
await bench.close();
report(
  'reconcile',
  'One enqueue and all its jobs, one after the other, by the real runner in a process of its own: ledger against usage row, counter, outbox and delivered events, with nothing wrong. Every counter is missing and is set.',
  table(
    ['sites', 'rows', 'seconds', 'at most', 'memory, MiB', 'at most'],
    [
      [
        Number(jobs).toLocaleString('en'),
        Number(rows).toLocaleString('en'),
        seconds.toFixed(1),
        String(seconds_max),
        (growth / MiB).toFixed(0),
        String(memory_max / MiB),
      ],
    ],
  ),
);
if (wrong !== 0 || rows !== String(rows_planted) || growth >= memory_max || seconds > seconds_max)
  process.exitCode = 1;
