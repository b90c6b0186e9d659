// The CDK application: two stacks of one stage, checked against the AWS Solutions rules at every synthesis.
import { App, type AppProps, Tags, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import { checkSettings, FUNCTIONS, type KernelConfig, kernelConfig, readBuild } from './config.ts';
import { requireConsole } from './console-files.ts';
import { DataStack } from './data-stack.ts';
import { EDGE_REGION, FirewallStack } from './edge.ts';
import { requireBundles } from './function.ts';
import { KernelStack } from './kernel-stack.ts';
import { PipelineStack } from './pipeline.ts';

/**
 * Builds the application for the stage in the context (`-c stage=NAME`, dev without it); the caller synthesizes it.
 * @param change makes another of the stage's settings, for tests.
 * @throws Error in one sentence when the stage is unknown, its settings contradict each other, or the functions have not been
 *   bundled.
 */
export function kernelApp(
  variables: Readonly<Record<string, string | undefined>>,
  props: AppProps = {},
  change: (config: KernelConfig) => KernelConfig = (config) => config,
): App {
  // Without the usage report of CDK the template is the same from every tool and holds no condition on regions; without
  // automatic synthesis a refused stage prints its one sentence and nothing else.
  const app = new App({ analyticsReporting: false, autoSynth: false, ...props });
  const context = (name: string): string | undefined => app.node.tryGetContext(name);
  const settings = change(kernelConfig(context('stage') ?? 'dev', readBuild(variables)));
  // What mends a broken stage must not wait for the alarms that it is to end.
  const release = { traffic: 'all-at-once', obeyAlarms: false } as const;
  const config = checkSettings(context('hotfix') === 'true' ? { ...settings, release } : settings);
  requireBundles(FUNCTIONS);
  if (config.console !== false) requireConsole();
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app, { verbose: true }));
  Tags.of(app).add('project', 'revenue-kernel');
  Tags.of(app).add('stage', config.stage);

  const prefix = `RevenueKernel-${config.stage}`;
  const { account, region, edge } = config;
  const env = { ...(account && { account }), ...(region && { region }) };
  const data = new DataStack(app, 'Data', {
    stackName: `${prefix}-Data`,
    description: 'Revenue Kernel: ledger, usage counters, delivery queue, users',
    terminationProtection: config.protect,
    config,
    env,
  });
  const firewall =
    edge &&
    new FirewallStack(app, 'Firewall', {
      stackName: `${prefix}-Firewall`,
      description: 'Revenue Kernel: the rules of the firewall before the edge',
      config,
      edge,
      env: { ...env, region: EDGE_REGION },
    });
  new KernelStack(app, 'Kernel', {
    stackName: `${prefix}-Kernel`,
    description: 'Revenue Kernel: functions, HTTP API, schedules, migrations',
    terminationProtection: config.protect,
    config,
    data,
    env,
    ...(firewall && { webAclArn: firewall.webAclArn }),
  });
  const repository = context('github');
  if (repository !== undefined) {
    new PipelineStack(app, 'Pipeline', {
      stackName: `${prefix}-Pipeline`,
      description: 'Revenue Kernel: the role of the pipeline that deploys this stage',
      terminationProtection: config.protect,
      config,
      repository,
      providerExists: context('github-provider') === 'exists',
      cronSecret: data.cronSecret,
      env,
    });
  }
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
