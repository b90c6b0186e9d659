// The AWS Solutions rules hold for every stage, and what is acknowledged is a short list that a reviewer reads.
import { type Stack, Validations } from 'aws-cdk-lib';
import { Queue } from 'aws-cdk-lib/aws-sqs';
import type { IConstruct } from 'constructs';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { STAGE_NAMES } from '../../infra/config.ts';
import { freshApp, removeAssemblies, synthesized } from './assembly.ts';

afterAll(removeAssemblies);

/** Acknowledged in every stage; a function's own path is written as `*`, a bucket by its id. CDK acknowledges rules of its own for its own code. */
const ALWAYS = [
  'Data/CronSecret AwsSolutions-SMG4',
  'Data/Evidence AwsSolutions-S1',
  'Data/Exports AwsSolutions-S1',
  'Data/RateLimit AwsSolutions-DDB3',
  'Data/Ledger/Cluster AwsSolutions-RDS6',
  'Data/Ledger/MasterSecret AwsSolutions-SMG4',
  'Data/Ledger/kernel_apiSecret AwsSolutions-SMG4',
  'Data/Ledger/kernel_deliverSecret AwsSolutions-SMG4',
  'Data/Ledger/kernel_ingestSecret AwsSolutions-SMG4',
  'Data/Ledger/kernel_jobsSecret AwsSolutions-SMG4',
  'Data/Ledger/kernel_moneySecret AwsSolutions-SMG4',
  'Data/Ledger/kernel_webhookSecret AwsSolutions-SMG4',
  'Data/Payments/mockpsp AwsSolutions-SMG4',
  'Data/Payments/paynow AwsSolutions-SMG4',
  'Data/Payments/stripe AwsSolutions-SMG4',
  'Kernel/*/Tracing AwsSolutions-IAM5[Resource::*]',
  'Kernel/Api/Archives AwsSolutions-IAM5[Resource::Evidence/*]',
  'Kernel/Api/Files AwsSolutions-IAM5[Resource::Exports/*]',
  'Kernel/Cleanup/Archives AwsSolutions-IAM5[Resource::Evidence/*]',
  ...['CFR1', 'CFR2', 'CFR3', 'CFR4'].map((rule) => `Kernel/Console/Distribution AwsSolutions-${rule}`),
  'Kernel/Console/Files AwsSolutions-S1',
  'Kernel/Console/Publish/Grants AwsSolutions-IAM5[Resource::ConsoleFiles/*]',
  'Kernel/Custom::CDKBucketDeployment AwsSolutions-L1',
  'Kernel/Export/Archives AwsSolutions-IAM5[Resource::Evidence/*]',
  'Kernel/Export/Files AwsSolutions-IAM5[Resource::Exports/*]',
  'Kernel/FailedInvocations AwsSolutions-SQS3',
  ...[
    'ANY--api--admin--{proxy+}',
    'ANY--api--cron--idempotency-cleanup',
    'ANY--api--cron--invoice-freeze',
    ...['', '--backfill', '--enqueue', '--run'].map((path) => `ANY--api--cron--reconcile-usage${path}`),
    'ANY--api--cron--money-sweep',
    'ANY--api--cron--payments-match',
    'ANY--api--cron--payments-match--catch-up',
    'ANY--api--cron--payments-process',
    'ANY--api--cron--recover',
    'ANY--api--cron--watchtower',
    'ANY--api--jobs--backfill',
    'ANY--api--jobs--backfill-wallets',
    'ANY--api--jobs--provider-events',
    'ANY--api--jobs--reconcile',
    'ANY--api--sites--{proxy+}',
    'ANY--api--sync',
    ...['admin', 'finance', 'finance-actions', 'payments', 'player', 'reconciliation'].map(
      (part) => `ANY--api--v1--${part}--{proxy+}`,
    ),
    'POST--api--v1--finance--withdrawals--payout--webhook',
    'POST--api--v1--payments--webhook--{provider}',
    'GET--api--billing--{proxy+}',
    'GET--api--health',
    'GET--api--metrics',
    'GET--api--sites',
    'GET--openapi.json',
  ].map((route) => `Kernel/Http/Api/${route} AwsSolutions-APIG4`),
  'Kernel/Releases/Role/Look AwsSolutions-IAM5[Resource::*]',
  'Kernel/Schedules/DeadLetters AwsSolutions-SQS3',
];
const UNGUARDED_SIGN_IN = ['Data/Identity/Users AwsSolutions-COG2', 'Data/Identity/Users AwsSolutions-COG8'];

describe.each(STAGE_NAMES)('%s', (stage) => {
  test('has no finding, neither of the AWS Solutions rules nor of the CloudFormation schema', () => {
    expect(synthesized(stage).report.pluginReports).toEqual([]);
  });

  test('acknowledges only the listed rules, each with a sentence', () => {
    const found = acknowledgements(synthesized(stage).app);
    const more = {
      dev: [...UNGUARDED_SIGN_IN, 'Data/Ledger/Cluster AwsSolutions-RDS10'],
      staging: UNGUARDED_SIGN_IN,
      prod: [],
    };
    expect([...found.keys()].sort()).toEqual([...ALWAYS, ...more[stage]].sort());
    for (const reason of found.values()) expect(reason).toMatch(/^[A-Z].{40,}\.$/);
  });
});

test('a finding that nobody acknowledged stops the synthesis and names itself', () => {
  const printed = vi.spyOn(console, 'error').mockImplementation(() => undefined);
  const app = freshApp('dev');
  new Queue(app.node.findChild('Kernel') as Stack, 'Careless');
  let message = '';
  try {
    app.synth();
  } catch (error) {
    message = String(error);
  }
  expect(`${message} ${printed.mock.calls.flat().join(' ')}`).toContain('AwsSolutions-SQS4');
  expect(message).not.toBe('');
  printed.mockRestore();
});

test('an unknown stage is refused with the names of the known ones', () => {
  expect(() => freshApp('production')).toThrow(
    'The stage "production" is unknown: choose dev, staging, prod with -c stage=NAME.',
  );
});

function acknowledgements(root: IConstruct): Map<string, string> {
  const found = new Map<string, string>();
  for (const { node } of root.node.findAll()) {
    for (const { type, data } of node.metadata) {
      if (type !== Validations.ACKNOWLEDGED_RULES_METADATA_KEY) continue;
      for (const [id, reason] of Object.entries(data as Record<string, string>)) {
        if (!id.includes('AwsSolutions')) continue;
        const path = node.path
          .replace(/^Kernel\/.*\/Tracing$/, 'Kernel/*/Tracing')
          .replace(/(?<=Custom::CDKBucketDeployment)[0-9A-F]{32}$/, '');
        const rule = id
          .replace(/^annotation::/i, '')
          .replace(/::\S+ExportsOutputFnGetAtt(\w+?)[0-9A-F]{8}Arn[0-9A-F]{8}/, '::$1')
          .replace(/::<(\w+?)[0-9A-F]{8}\.Arn>/, '::$1');
        found.set(`${path} ${rule}`, reason);
      }
    }
  }
  return found;
}
