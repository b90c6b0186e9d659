// What makes `ingest` use each of its grants: an event that is admitted uses all of them.
import { randomUUID } from 'node:crypto';
import type { Stimuli, Stimulus } from '../least-privilege.ts';

const admitted: Stimulus = async ({ stack }) => {
  const { public_id } = await stack.site();
  const event = { s: public_id, url: 'https://example.com/', ec: 'page', ea: 'view', i: randomUUID() };
  return () => stack.sync(event);
};

export default {
  'rds-data:ExecuteStatement on local-cluster': admitted,
  'secretsmanager:GetSecretValue on LedgerkernelingestSecret': admitted,
  'dynamodb:UpdateItem on RateLimit': admitted,
  'dynamodb:UpdateItem on Usage': admitted,
  'sqs:SendMessage on DeliveryQueue': admitted,
} satisfies Stimuli;
