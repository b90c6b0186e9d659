// What makes `sweep` use each of its grants: a run, and a call with the cron secret.
import { byCronSecret, ledger, type Stimuli } from '../least-privilege.ts';

export default {
  ...ledger('sweep', 'kerneljobs'),
  'secretsmanager:GetSecretValue on CronSecret': byCronSecret('sweep', '/api/cron/money-sweep'),
} satisfies Stimuli;
