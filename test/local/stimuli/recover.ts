// What makes `recover` use each of its grants: a run, and a call with the cron secret.
import { byCronSecret, ledger, type Stimuli } from '../least-privilege.ts';

export default {
  ...ledger('recover', 'kerneldeliver'),
  'secretsmanager:GetSecretValue on CronSecret': byCronSecret('recover', '/api/cron/recover'),
} satisfies Stimuli;
