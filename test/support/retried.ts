// Says which tests needed a second try, and what the first one met: a test that is green the second time is not well.
import type { Reporter, TestModule } from 'vitest/node';

export default class Retried implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    for (const { moduleId, children } of modules)
      for (const test of children.allTests('passed')) {
        const { errors } = test.result();
        if (test.diagnostic()?.flaky && errors?.[0])
          process.stdout.write(
            `\nretried: ${moduleId} > ${test.fullName}\n${errors[0].stack ?? errors[0].message}\n`,
          );
      }
  }
}
