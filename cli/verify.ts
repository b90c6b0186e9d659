// The command that proves a frozen month, and a customer's copy of its export, on this computer; exit 3 when anything differs.
import { Readable } from 'node:stream';
import { type Call, type Command, Failure, requiredMonth, text } from './command.ts';
import { exportPath, type FoundExport, findExport } from './dispute.ts';
import { fetchObject } from './download.ts';
import {
  countFile,
  type Difference,
  type FileCounts,
  firstDifference,
  linesOf,
  openFile,
} from './export-lines.ts';
import { type Check, type Proof, recompute } from './invoice-proof.ts';
import { note, print, printJson, table } from './output.ts';

const EXIT_DIFFERS = 3;

async function open(found: FoundExport): Promise<AsyncGenerator<string>> {
  const response = found.kind === 'inline' ? found.response : await fetchObject(found.stored.url);
  if (!response.ok || !response.body)
    throw new Failure(`The fresh export could not be fetched (HTTP ${response.status}).`);
  return linesOf(Readable.fromWeb(response.body as Parameters<typeof Readable.fromWeb>[0]));
}

type FileProof = { checks: Check[]; counts: FileCounts; difference: Difference | undefined };

/** The file against a fresh export of the same month, and its rows against the invoice. */
async function checkFile(call: Call, file: string, proof: Proof): Promise<FileProof> {
  const counts = await countFile(file);
  const found = await findExport(call.target(), exportPath(proof.site_id, proof.year_month));
  let difference: Difference | undefined;
  if (counts.sha256 !== found.hash) {
    const [mine, fresh] = [linesOf(openFile(file)), await open(found)];
    difference = await firstDifference(mine, fresh);
    await Promise.all([mine.return(undefined), fresh.return(undefined)]); // neither has to be read to its end
    if (!difference) throw new Failure('The fresh export does not have the hash that was announced for it.');
  } else if (found.kind === 'inline') await found.response.body?.cancel();
  const invoiced = `${proof.event_count} of which ${proof.overage_count} overage`;
  const counted = `${counts.billable} of which ${counts.overage} overage`;
  const checks = [
    { check: 'file hash', ok: counts.sha256 === found.hash, stated: found.hash, found: counts.sha256 },
    { check: 'file counts', ok: counts.header_ok && counted === invoiced, stated: invoiced, found: counted },
  ];
  return { checks, counts, difference };
}

function say({ line, kind, file, export: fresh }: Difference): string {
  if (kind === 'missing') return `Line ${line} of the export is missing in the file: ${fresh}`;
  if (kind === 'added') return `Line ${line} of the file is not in the export: ${file}`;
  return `Line ${line} differs.\n  file    ${file}\n  export  ${fresh}`;
}

/** Every count as a decimal string, as the stack writes them. */
function asJson(proof: Proof, checks: Check[], file: FileProof | undefined) {
  const { site_id, year_month, event_count, overage_count, snapshot_hash, changed_days } = proof;
  const ok = (name: string) => checks.find(({ check }) => check === name)?.ok;
  return {
    ...{ site_id, year_month, event_count, overage_count, snapshot_hash },
    ...{
      hash_ok: ok('hash'),
      ledger_ok: ok('ledger'),
      seal_ok: ok('seal'),
      changed_days: changed_days ?? [],
    },
    ...(file && {
      file_hash_ok: ok('file hash'),
      file_counts_ok: ok('file counts'),
      first_difference: file.difference ?? null,
      file: Object.fromEntries(
        Object.entries(file.counts).map(([name, value]) => [
          name,
          typeof value === 'bigint' ? String(value) : value,
        ]),
      ),
    }),
    checks,
  };
}

async function run(call: Call): Promise<number> {
  const month = requiredMonth(call.values);
  const file = text(call.values, 'file');
  const path = `/api/sites/${encodeURIComponent(call.args[0] ?? '')}/invoices/${month}`;
  const { proof } = await call.api().get<{ proof: Proof }>(path);
  const ofFile = file === undefined ? undefined : await checkFile(call, file, proof);
  const checks = [...recompute(proof), ...(ofFile?.checks ?? [])];
  const days = proof.changed_days ?? [];
  const ok = checks.every((check) => check.ok) && days.length === 0;
  if (call.json) printJson({ ok, ...asJson(proof, checks, ofFile) });
  else {
    const from = proof.archive?.purged ? ', from its archive' : '';
    print(`${proof.site_id}, ${proof.year_month}${from}\n`);
    const rows = checks.map((one) => [one.check, one.ok ? 'ok' : 'DIFFERS', one.stated, one.found]);
    print(table(rows, ['CHECK', 'RESULT', 'STATED', 'FOUND']));
    if (days.length > 0) print(`\nChanged since the freeze: ${days.join(' ')}`);
    if (ofFile?.difference) print(`\n${say(ofFile.difference)}`);
  }
  if (!ok) note('Not verified: what was found is not what was frozen.');
  return ok ? 0 : EXIT_DIFFERS;
}

export const verifyCommands: Command[] = [
  {
    words: 'verify',
    usage: '<site> --month YYYY-MM [--file export.csv]',
    summary: 'recompute a frozen month here, and compare a copy of its export; exit 3 when anything differs',
    positionals: 1,
    options: {
      month: { type: 'string', value: 'YYYY-MM', help: 'the frozen month in UTC' },
      file: { type: 'string', value: 'FILE', help: 'also prove this copy of the dispute export' },
    },
    run,
  },
];
