// What makes `cleanup` use each of its grants: a month that may leave the ledger, and one whose archive breaks off.
import { behindGuards } from '../../support/frozen-month.ts';
import { byCronSecret, ledger, type Stimuli, type Stimulus } from '../least-privilege.ts';
import { agedMonth } from './months.ts';

/** Compressed they fill more than one part of 8 MiB. */
const rows_of_two_parts = 170_000;

const archived: Stimulus = async ({ stack, invoke }) => {
  await agedMonth(stack, 7);
  return () => invoke('cleanup');
};

const brokenOff: Stimulus = async ({ stack, invoke, withoutParts }) => {
  const { id } = await agedMonth(stack, rows_of_two_parts);
  const forget = () =>
    behindGuards(stack.database, () =>
      stack.database.query('delete from invoice_snapshot where site_id = $1', [id]),
    );
  return () => withoutParts(() => invoke('cleanup')).finally(forget);
};

export default {
  ...ledger('cleanup', 'kerneljobs'),
  'secretsmanager:GetSecretValue on CronSecret': byCronSecret('cleanup', '/api/cron/idempotency-cleanup'),
  's3:PutObject on evidence/*': archived,
  's3:GetObject on evidence/*': archived,
  's3:AbortMultipartUpload on evidence/*': brokenOff,
} satisfies Stimuli;
