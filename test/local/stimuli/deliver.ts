// What makes `deliver` use each of its grants: a message that names a batch.
import { randomUUID } from 'node:crypto';
import type { Stimuli, Stimulus } from '../least-privilege.ts';

const message: Stimulus =
  ({ invoke }) =>
  () =>
    invoke('deliver', {
      Records: [{ messageId: 'one', body: JSON.stringify({ batch_id: randomUUID() }) }],
    });

export default {
  'rds-data:ExecuteStatement on local-cluster': message,
  'secretsmanager:GetSecretValue on LedgerkerneldeliverSecret': message,
} satisfies Stimuli;
