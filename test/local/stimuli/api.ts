// What makes `api` use each of its grants: health, usage, metrics, and exports of every kind.
import { callsOf } from '../../support/callers.ts';
import { byCronSecret, type Stimuli, type Stimulus } from '../least-privilege.ts';
import { agedMonth, exportPath, longMonth } from './months.ts';

/** One more than an answer itself may hold. */
const rows_of_a_file = 20_001;

const health: Stimulus =
  ({ stack }) =>
  () =>
    fetch(`${stack.url}/api/health`);

const usage: Stimulus = async ({ stack }) => {
  const { id } = await stack.site();
  return () => stack.admin('GET', `/sites/${id}/usage`);
};

const ofArchive: Stimulus = async ({ stack, invoke }) => {
  const month = await agedMonth(stack, 7);
  await invoke('cleanup');
  return () => callsOf(stack)('owner', 'GET', exportPath(month));
};

const asFile: Stimulus = async ({ stack }) => {
  const month = await longMonth(stack, rows_of_a_file);
  return () => callsOf(stack)('owner', 'GET', exportPath(month));
};

/** The link can do what its signer may at the time that it is used. */
const link: Stimulus = async (rig) => {
  const { body } = (await (await asFile(rig))()) as { body: { url: string } };
  return () => fetch(body.url);
};

const metrics = byCronSecret('api', '/api/metrics');

export default {
  'rds-data:ExecuteStatement on local-cluster': health,
  'secretsmanager:GetSecretValue on LedgerkernelapiSecret': health,
  'secretsmanager:GetSecretValue on CronSecret': metrics,
  'dynamodb:GetItem on Usage': usage,
  'dynamodb:Scan on Usage': metrics,
  'sqs:SendMessage on ExportQueue': asFile,
  's3:GetObject on exports/*': link,
  's3:GetObject on evidence/*': ofArchive,
} satisfies Stimuli;
