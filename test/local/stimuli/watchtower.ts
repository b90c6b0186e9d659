// What makes `watchtower` use each of its grants: a look at everything.
import { byCronSecret, invoked, ledger, type Stimuli } from '../least-privilege.ts';

const look = invoked('watchtower');

export default {
  ...ledger('watchtower', 'kerneljobs'),
  'secretsmanager:GetSecretValue on CronSecret': byCronSecret('watchtower', '/api/cron/watchtower'),
  'dynamodb:Scan on Usage': look,
  'sqs:GetQueueAttributes on DeliveryDeadLetters': look,
  'sqs:GetQueueAttributes on ExportDeadLetters': look,
  'sqs:GetQueueAttributes on FailedInvocations': look,
  'sqs:GetQueueAttributes on PaymentsEventsDeadLetters': look,
  'sqs:GetQueueAttributes on PaymentsRunsDeadLetters': look,
  'sqs:GetQueueAttributes on SchedulesDeadLetters': look,
} satisfies Stimuli;
