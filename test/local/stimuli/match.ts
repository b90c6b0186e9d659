// What makes `match` use each of its grants: a run, a call with the cron secret, and a capture of which no webhook told.
import { captured } from '../../support/payment-doors.ts';
import { byCronSecret, invoked, ledger, type Stimuli, type Stimulus } from '../least-privilege.ts';

const configured: Stimulus = async (rig) => {
  await rig.cool('match');
  return invoked('match')(rig);
};

const lost: Stimulus = async ({ stack, invoke }) => {
  await captured(stack, 'lost');
  return () => invoke('match', { catch_up: true });
};

export default {
  ...ledger('match', 'kerneljobs'),
  'secretsmanager:GetSecretValue on CronSecret': byCronSecret('match', '/api/cron/payments-match'),
  'secretsmanager:GetSecretValue on Paymentsstripe': configured,
  'sqs:SendMessage on PaymentsEventsQueue': lost,
} satisfies Stimuli;
