// Every 5 minutes: moves outbox rows that their message did not move, so that a lost publish is only late.
import { dataApi } from '../shared/adapters/data-api.ts';
import { environment, type RecoverEnvironment } from '../shared/config.ts';
import { recover, recover_rows_max } from '../shared/delivery.ts';
import { logger, metrics, observed } from './runtime.ts';

const time_budget_ms = 45_000;

const env = environment<RecoverEnvironment>('DATABASE_CLUSTER_ARN', 'DATABASE_SECRET_ARN', 'DATABASE_NAME');
const database = dataApi(env);

export const handler = observed(async () => {
  const end = Date.now() + time_budget_ms;
  let recovered = 0n;
  let moved: bigint;
  do {
    moved = await recover(database);
    recovered += moved;
  } while (moved === BigInt(recover_rows_max) && Date.now() < end);
  metrics.addMetric('billing_recovered_total', 'Count', Number(recovered));
  logger.info('RECOVER_FALLBACK_OK', { recovered: String(recovered) });
  return { ok: true, recovered: String(recovered) };
});
