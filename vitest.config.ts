// How the tests run: on the real embedded engines, four files at a time, each with a stack or database of its own, or one shared.
import { configDefaults, defineConfig } from 'vitest/config';

/** Minutes of load that say by chance what the crash matrices of the check say step by step: `npm run proof` runs them. */
const of_the_proof = ['kill-stack', 'random-faults', 'ledger-away', 'dynamodb-away', 'game-day'].map(
  (name) => `test/faults/${name}.test.ts`,
);
const named = process.argv.some((argument) => argument.startsWith('test/faults/'));

/** The tests of the templates load the CDK, and synthesize a stage, once in each worker. */
const templates = 'test/infra/!(previous-release).test.ts';
/** What measures the memory of its process begins with a new one; all other files follow each other in the same. */
const alone = 'test/http/memory.test.ts';

export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 4, // more than cores: many tests wait for a clock
    retry: 1, // what a busy machine broke gets one more try, and is printed as retried
    testTimeout: 60_000,
    hookTimeout: 120_000,
    teardownTimeout: 20_000,
    reporters: ['default', './test/support/retried.ts'],
    projects: [
      {
        extends: true,
        test: {
          name: 'engines',
          include: ['test/**/*.test.ts'],
          exclude: [
            ...configDefaults.exclude,
            templates,
            alone,
            ...(process.env.PROOF === '1' || named ? [] : of_the_proof),
          ],
          isolate: false,
          environment: './test/support/shared-stack-environment.ts',
          globalSetup: ['test/support/cluster.ts'],
        },
      },
      {
        extends: true,
        test: { name: 'alone', include: [alone], globalSetup: ['test/support/cluster.ts'] },
      },
      { extends: true, test: { name: 'templates', include: [templates], isolate: false } },
    ],
  },
});
