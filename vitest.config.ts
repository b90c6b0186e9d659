// How the tests run: on the real embedded engines, four files at a time, each with its own stack or database, or one shared.
import { readdirSync, readFileSync } from 'node:fs';
import { configDefaults, defineConfig } from 'vitest/config';

/** Minutes of load that say by chance what the crash matrices of the check say step by step: `npm run proof` runs them. */
const of_the_proof = ['kill-stack', 'random-faults', 'ledger-away', 'dynamodb-away', 'game-day'].map(
  (name) => `test/faults/${name}.test.ts`,
);
const named = process.argv.some((argument) => argument.startsWith('test/faults/'));

/** The tests of the templates load the CDK, and synthesize a stage, once in each worker; all others begin each file anew. */
const templates = 'test/infra/!(previous-release).test.ts';

/** What looks at nothing but the sites that it made goes on with the stack of the file before it. */
const sharing = readdirSync('test/http')
  .map((name) => `test/http/${name}`)
  .filter((path) => readFileSync(path, 'utf8').includes('sharedStack()'));

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
            ...sharing,
            ...(process.env.PROOF === '1' || named ? [] : of_the_proof),
          ],
          globalSetup: ['test/support/cluster.ts'],
        },
      },
      {
        extends: true,
        test: {
          name: 'shared',
          include: sharing,
          isolate: false,
          environment: './test/support/shared-stack-environment.ts',
          globalSetup: ['test/support/cluster.ts'],
        },
      },
      { extends: true, test: { name: 'templates', include: [templates], isolate: false } },
    ],
  },
});
