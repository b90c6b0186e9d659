// Every minute: releases holds and takes back promotional lots whose time is over, folds the entries of busy accounts, and charges
// frozen invoices whose plan says so.
import { dataApi } from '../shared/adapters/data-api.ts';
import { build_variables, database_variables, environment, type SweepEnvironment } from '../shared/config.ts';
import { KernelError } from '../shared/errors.ts';
import { job, logger } from './runtime.ts';

const time_budget_ms = 20_000;
const steps = ['expire_holds', 'expire_promo', 'fold_accounts', 'settle_invoices'] as const;

const env = environment<SweepEnvironment>(...build_variables, ...database_variables, 'CRON_SECRET_ARN');
const database = dataApi(env);

export const handler = job(env, { name: 'sweep', database }, async () => {
  const end = Date.now() + time_budget_ms;
  const swept: Record<string, number> = {};
  const failed: string[] = [];
  for (const step of steps) {
    swept[step] = 0;
    try {
      for (let done = 1; done > 0 && Date.now() < end; ) {
        const [row] = await database.query<{ done: string }>(`select ${step}() done`);
        done = Number(row?.done ?? 0);
        swept[step] += done;
      }
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      failed.push(step); // one that cannot go on does not hold back the others
      logger.error('SWEEP_FAILED', { step, cause: error });
    }
  }
  if (Object.values(swept).some((count) => count > 0)) logger.info('SWEEP_OK', swept);
  return { ok: failed.length === 0, ...swept, failed };
});
