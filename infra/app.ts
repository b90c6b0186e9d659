// The CDK application: two stacks of one stage, checked against the AWS Solutions rules at every synthesis.
import { App, type AppProps, Tags, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import { FUNCTIONS, kernelConfig, readBuild } from './config.ts';
import { DataStack } from './data-stack.ts';
import { requireBundles } from './function.ts';
import { KernelStack } from './kernel-stack.ts';

/**
 * Builds the application for the stage in the context (`-c stage=NAME`, dev without it); the caller synthesizes it.
 * @throws Error in one sentence when the stage is unknown or the functions have not been bundled.
 */
export function kernelApp(
  variables: Readonly<Record<string, string | undefined>>,
  props: AppProps = {},
): App {
  // Without the usage report of CDK the template is the same from every tool and holds no condition on regions; without
  // automatic synthesis a refused stage prints its one sentence and nothing else.
  const app = new App({ analyticsReporting: false, autoSynth: false, ...props });
  const config = kernelConfig(app.node.tryGetContext('stage') ?? 'dev', readBuild(variables));
  requireBundles(FUNCTIONS);
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app, { verbose: true }));
  Tags.of(app).add('project', 'revenue-kernel');
  Tags.of(app).add('stage', config.stage);

  const prefix = `RevenueKernel-${config.stage}`;
  const data = new DataStack(app, 'Data', {
    stackName: `${prefix}-Data`,
    description: 'Revenue Kernel: ledger, usage counters, delivery queue, users',
    terminationProtection: config.protect,
    config,
  });
  new KernelStack(app, 'Kernel', {
    stackName: `${prefix}-Kernel`,
    description: 'Revenue Kernel: functions, HTTP API, schedules, migrations',
    terminationProtection: config.protect,
    config,
    data,
  });
  return app;
}

if (import.meta.main) {
  try {
    kernelApp(process.env).synth();
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
