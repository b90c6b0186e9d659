// What makes `reconcile` use each of its grants: a counter that the ledger knows better.
import { randomUUID } from 'node:crypto';
import { byCronSecret, ledger, type Stimuli, type Stimulus } from '../least-privilege.ts';

/** The event is planted in the ledger alone, so its site has no counter yet. */
const uncounted: Stimulus = async ({ stack, invoke }) => {
  const { id } = await stack.site();
  const key = Buffer.from(randomUUID().replaceAll('-', ''), 'hex');
  await stack.database.query(
    `insert into ingest_idempotency (site_id, created_at, expires_at, idempotency_key, idempotency_version)
     values ($1, now(), now() + interval '91 days', $2, 3)`,
    [id, key],
  );
  return () => invoke('reconcile');
};

export default {
  ...ledger('reconcile', 'kerneljobs'),
  'secretsmanager:GetSecretValue on CronSecret': byCronSecret('reconcile', '/api/cron/reconcile-usage'),
  'dynamodb:GetItem on Usage': uncounted,
  'dynamodb:UpdateItem on Usage': uncounted,
} satisfies Stimuli;
