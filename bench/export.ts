// How fast is a dispute export of a very long month, and how much memory does it need?
import { askForExport, MiB, memory_max, openBench, plantSites } from './large-ledger.ts';
import { report, table } from './measure.ts';

const rows_planted = Number(process.env.ROWS ?? 5_000_000);
const month = '2026-01';

const bench = await openBench();
const [small = ''] = await plantSites(bench.client, month, 1, 1_000);
const [large = ''] = await plantSites(bench.client, month, 1, rows_planted);
process.stderr.write('planted\n');
const ids = [await askForExport(bench.client, small, month), await askForExport(bench.client, large, month)];
const { rows, seconds, growth, bytes } = await bench.measured('export', ...ids);
await bench.close();
report(
  'export',
  'One dispute export of a site-month by the real exporter, in a process of its own: pages of the ledger over the Data API, hashed and streamed to S3. Memory is the growth of the resident set after a first small export.',
  table(
    ['rows', 'MB', 'seconds', 'rows/s', 'memory, MiB', 'at most'],
    [
      [
        Number(rows).toLocaleString('en'),
        (Number(bytes) / 1e6).toFixed(0),
        seconds.toFixed(1),
        Math.round(Number(rows) / seconds).toLocaleString('en'),
        (growth / MiB).toFixed(0),
        String(memory_max / MiB),
      ],
    ],
  ),
);
if (rows !== String(rows_planted) || growth >= memory_max) process.exitCode = 1;
