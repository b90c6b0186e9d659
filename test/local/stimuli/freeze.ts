// What makes `freeze` use each of its grants: a run, and a call with the cron secret.
import { byCronSecret, ledger, type Stimuli } from '../least-privilege.ts';

export default {
  ...ledger('freeze', 'kerneljobs'),
  'secretsmanager:GetSecretValue on CronSecret': byCronSecret('freeze', '/api/cron/invoice-freeze'),
} satisfies Stimuli;
