// What makes `export` use each of its grants: exports from the ledger and from an archive, and one that breaks off.
import type { Rig, Stimuli, Stimulus } from '../least-privilege.ts';
import { agedMonth, longMonth, requestedExport, type SiteMonth } from './months.ts';

/** They fill more than one part of 8 MiB. */
const rows_of_two_parts = 120_000;

const build = async ({ stack, invoke }: Rig, month: SiteMonth) => {
  const body = JSON.stringify({ export_id: await requestedExport(stack, month) });
  return () => invoke('export', { Records: [{ messageId: 'one', body }] });
};

const ofLedger: Stimulus = async (rig) => build(rig, await longMonth(rig.stack, 7));

const ofArchive: Stimulus = async (rig) => {
  const month = await agedMonth(rig.stack, 7);
  await rig.invoke('cleanup');
  return build(rig, month);
};

const brokenOff: Stimulus = async (rig) => {
  const run = await build(rig, await longMonth(rig.stack, rows_of_two_parts));
  return () => rig.withoutParts(run);
};

export default {
  'rds-data:ExecuteStatement on local-cluster': ofLedger,
  'secretsmanager:GetSecretValue on LedgerkerneljobsSecret': ofLedger,
  's3:PutObject on exports/*': ofLedger,
  's3:AbortMultipartUpload on exports/*': brokenOff,
  's3:GetObject on evidence/*': ofArchive,
} satisfies Stimuli;
