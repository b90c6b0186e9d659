// The command that downloads a month's dispute export and proves its bytes; run again, it goes on where it stopped.
import { renameSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Call, type Command, Failure, requiredMonth, text } from './command.ts';
import { exportPath, type FoundExport, findExport } from './dispute.ts';
import { download, fetchObject, fingerprint, Interrupted, save, sizeOf } from './download.ts';
import { note, print, printJson, table } from './output.ts';
import { createProgress } from './progress.ts';
import { delayMs } from './replay-send.ts';

const ATTEMPTS_MAX = 8;

type Work = { call: Call; path: string; part: string };

/** Shows a bar while the export is built; the stack names the rows with its first answer. */
async function locate({ call, path }: Work): Promise<FoundExport> {
  let bar: ReturnType<typeof createProgress> | undefined;
  try {
    return await findExport(call.target(), path, (done, rows) => {
      bar ??= createProgress(rows, call.json, { job: 'export', unit: 'rows written by the stack' });
      bar.update(done, done);
    });
  } finally {
    bar?.stop();
  }
}

/** One attempt: finds the export, which gives a fresh link too, and brings the part to its end. */
async function attempt(work: Work): Promise<{ found: FoundExport; resumed_at: number }> {
  const found = await locate(work);
  if (found.kind === 'inline') {
    await save(found.response.body, work.part, 'w');
    return { found, resumed_at: 0 };
  }
  work.path = `${work.path.replace(/&export_id=.*/, '')}&export_id=${found.stored.export_id}`;
  const bytes = Number(found.stored.bytes);
  const bar = createProgress(bytes, work.call.json, { job: 'export', unit: 'bytes' });
  try {
    const resumed_at = await download(found.stored.url, work.part, bytes, (done) => bar.update(done, done));
    return { found, resumed_at };
  } finally {
    bar.stop();
  }
}

/** Attempts until the bytes are all there and have the announced hash. */
async function complete(work: Work) {
  for (let n = 1; ; n += 1) {
    try {
      const { found, resumed_at } = await attempt(work);
      const { hash, bytes, lineFeeds } = await fingerprint(work.part);
      if (hash === found.hash) return { found, resumed_at, hash, bytes, rows: lineFeeds };
      rmSync(work.part, { force: true });
      if (resumed_at === 0)
        throw new Failure(`The bytes have the hash ${hash}, but ${found.hash} was announced.`);
      note(`${work.part} was of another export: beginning anew.`);
    } catch (error) {
      if (!(error instanceof Interrupted)) throw error;
      const kept = `${work.part} keeps ${sizeOf(work.part)} bytes`;
      if (n === ATTEMPTS_MAX)
        throw new Failure(
          `The download stopped (${error.message}); ${kept}. Run the same command again to go on.`,
        );
      const wait = delayMs(n, undefined);
      note(`retry ${n} in ${(wait / 1000).toFixed(1)} s: ${error.message}; ${kept}`);
      await sleep(wait);
    }
  }
}

async function saveManifest(url: string, file: string): Promise<string> {
  const response = await fetchObject(url).catch((error: Error) => {
    throw new Failure(`The export is complete, but its manifest could not be fetched (${error.message}).`);
  });
  if (!response.ok)
    throw new Failure(`The export is complete, but its manifest was refused (HTTP ${response.status}).`);
  await save(response.body, file, 'w');
  return file;
}

async function run(call: Call): Promise<number> {
  const month = requiredMonth(call.values);
  const site = call.args[0] ?? '';
  const file = text(call.values, 'out') ?? `dispute-export-${site.replace(/[^\w.-]/g, '_')}-${month}.csv`;
  const work = { call, path: exportPath(site, month), part: `${file}.part` };
  const { found, resumed_at, hash, bytes, rows } = await complete(work);
  renameSync(work.part, file);
  const manifest =
    found.kind === 'stored' ? await saveManifest(found.stored.manifest_url, `${file}.manifest.json`) : null;
  const result = {
    file,
    year_month: month,
    rows,
    bytes,
    export_hash: hash,
    snapshot_hash: found.snapshotHash,
    manifest,
    resumed_at,
  };
  if (call.json) printJson({ ok: true, ...result });
  else {
    const shown = Object.entries(result).filter(([, value]) => value !== null && value !== 0);
    print(table(shown.map(([name, value]) => [name.replaceAll('_', ' '), String(value)])));
  }
  return 0;
}

export const exportCommands: Command[] = [
  {
    words: 'export',
    usage: '<site> --month YYYY-MM [--out FILE]',
    summary: "download a month's dispute export and prove its hash; run again, it goes on where it stopped",
    positionals: 1,
    options: {
      month: { type: 'string', value: 'YYYY-MM', help: 'the month in UTC' },
      out: {
        type: 'string',
        value: 'FILE',
        help: 'where to (default: dispute-export-<site>-<month>.csv here)',
      },
    },
    run,
  },
];
