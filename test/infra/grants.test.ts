// What each function may do in the account, to the last action: a grant that is not listed here fails.
import { afterAll, describe, expect, test } from 'vitest';
import { FUNCTIONS, type FunctionName, STAGE_NAMES } from '../../infra/config.ts';
import { functionOf, ofType, type Resource, removeAssemblies, synthesized } from './assembly.ts';

afterAll(removeAssemblies);

interface Statement {
  Effect: string;
  Action: string | string[];
  Resource: unknown;
}

const QUERY = ['rds-data:ExecuteStatement on LedgerCluster'];
const BASE = (entry: string): string[] => [
  `logs:CreateLogStream on ${entry}Logs`,
  `logs:PutLogEvents on ${entry}Logs`,
  'xray:PutTelemetryRecords on *',
  'xray:PutTraceSegments on *',
];
const CRON_SECRET = 'secretsmanager:GetSecretValue on CronSecret';
const FAILURES = 'sqs:SendMessage on FailedInvocations';
const consume = (queue: string): string[] =>
  ['DeleteMessage', 'GetQueueAttributes', 'ReceiveMessage'].map((action) => `sqs:${action} on ${queue}`);
const provider = (name: string): string => `secretsmanager:GetSecretValue on Payments${name}`;
const secret = (id: string): string => `secretsmanager:GetSecretValue on Ledger${id}`;

const GRANTS: Record<FunctionName, string[]> = {
  ingest: [
    ...BASE('Ingest'),
    ...QUERY,
    secret('kernelingestSecret'),
    'dynamodb:UpdateItem on Usage',
    'dynamodb:UpdateItem on RateLimit',
    'sqs:SendMessage on DeliveryQueue',
  ],
  deliver: [...BASE('Deliver'), ...QUERY, secret('kerneldeliverSecret'), ...consume('DeliveryQueue')],
  recover: [...BASE('Recover'), ...QUERY, secret('kerneldeliverSecret'), CRON_SECRET, FAILURES],
  reconcile: [
    ...BASE('Reconcile'),
    ...QUERY,
    secret('kerneljobsSecret'),
    CRON_SECRET,
    'dynamodb:GetItem on Usage',
    'dynamodb:UpdateItem on Usage',
    FAILURES,
  ],
  freeze: [...BASE('Freeze'), ...QUERY, secret('kerneljobsSecret'), CRON_SECRET, FAILURES],
  cleanup: [
    ...BASE('Cleanup'),
    ...QUERY,
    secret('kerneljobsSecret'),
    CRON_SECRET,
    ...['AbortMultipartUpload', 'GetObject', 'PutObject'].map((action) => `s3:${action} on Evidence/*`),
    FAILURES,
  ],
  watchtower: [
    ...BASE('Watchtower'),
    ...QUERY,
    secret('kerneljobsSecret'),
    CRON_SECRET,
    'dynamodb:Scan on Usage',
    ...[
      ...['DeliveryDeadLetters', 'ExportDeadLetters', 'FailedInvocations', 'SchedulesDeadLetters'],
      ...['PaymentsEventsDeadLetters', 'PaymentsRunsDeadLetters'],
    ].map((queue) => `sqs:GetQueueAttributes on ${queue}`),
    FAILURES,
  ],
  assure: [...BASE('Assure'), ...QUERY, secret('kerneljobsSecret'), FAILURES],
  backfill: [...BASE('Backfill'), ...QUERY, secret('kerneljobsSecret'), FAILURES],
  sweep: [...BASE('Sweep'), ...QUERY, secret('kerneljobsSecret'), CRON_SECRET, FAILURES],
  export: [
    ...BASE('Export'),
    ...QUERY,
    secret('kerneljobsSecret'),
    's3:AbortMultipartUpload on Exports/*',
    's3:PutObject on Exports/*',
    's3:GetObject on Evidence/*',
    ...consume('ExportQueue'),
  ],
  api: [
    ...BASE('Api'),
    ...QUERY,
    secret('kernelapiSecret'),
    CRON_SECRET,
    'dynamodb:Scan on Usage',
    'dynamodb:GetItem on Usage',
    's3:GetObject on Evidence/*',
    's3:GetObject on Exports/*',
    'sqs:SendMessage on ExportQueue',
  ],
  money: [
    ...BASE('Money'),
    ...QUERY,
    secret('kernelmoneySecret'),
    provider('stripe'),
    'sqs:SendMessage on PaymentsRunsQueue',
  ],
  webhook: [
    ...BASE('Webhook'),
    ...QUERY,
    secret('kernelwebhookSecret'),
    ...['mockpsp', 'stripe', 'paynow'].map(provider),
    'sqs:SendMessage on PaymentsEventsQueue',
  ],
  process: [
    ...BASE('Process'),
    ...QUERY,
    secret('kerneljobsSecret'),
    CRON_SECRET,
    ...['mockpsp', 'stripe'].map(provider),
    ...consume('PaymentsEventsQueue'),
    FAILURES,
  ],
  match: [
    ...BASE('Match'),
    ...QUERY,
    secret('kerneljobsSecret'),
    CRON_SECRET,
    provider('stripe'),
    'sqs:SendMessage on PaymentsEventsQueue',
    ...consume('PaymentsRunsQueue'),
    FAILURES,
  ],
  migrate: [
    ...BASE('MigrationsMigrate'),
    ...QUERY,
    ...['BeginTransaction', 'CommitTransaction', 'RollbackTransaction'].map(
      (action) => `rds-data:${action} on LedgerCluster`,
    ),
    ...[
      'kernelingestSecret',
      'kerneldeliverSecret',
      'kerneljobsSecret',
      'kernelapiSecret',
      'kernelmoneySecret',
      'kernelwebhookSecret',
      'MasterSecretAttachment',
    ].map(secret),
  ],
};

describe.each(STAGE_NAMES)('%s', (name) => {
  const stage = synthesized(name);

  test.each(FUNCTIONS)('%s may do exactly what is listed', (entry) => {
    const role: string = functionOf(stage, entry).Properties.Role['Fn::GetAtt'][0];
    expect(stage.resources.get(role)?.Properties.ManagedPolicyArns).toBeUndefined();
    const granted = statementsOf(role).flatMap(({ Action, Resource }) =>
      [Action].flat().flatMap((action) => [Resource].flat().map((target) => `${action} on ${named(target)}`)),
    );
    expect(granted.sort()).toEqual([...GRANTS[entry]].sort());
  });

  test('what brings the files of the console may read those files and write them, and delete nothing', () => {
    const [[, handler] = []] = ofType(stage, 'AWS::Lambda::Function').filter(([id]) =>
      id.startsWith('CustomCDKBucketDeployment'),
    );
    const granted = statementsOf(handler?.Properties.Role['Fn::GetAtt'][0]).flatMap(({ Action, Resource }) =>
      [Action].flat().flatMap((action) => [Resource].flat().map((target) => `${action} on ${named(target)}`)),
    );
    const file = /^s3:GetObject on .*cdk-hnb659fds-assets-.*\/[0-9a-f]{64}\.zip"\]\]}$/;
    expect(granted.filter((one) => file.test(one))).toHaveLength(2); // the build, and the settings
    expect(granted.filter((one) => !file.test(one)).sort()).toEqual([
      'logs:CreateLogStream on ConsolePublishLogs',
      'logs:PutLogEvents on ConsolePublishLogs',
      's3:ListBucket on ConsoleFiles',
      's3:PutObject on ConsoleFiles/*',
    ]);
  });

  test('no role has a wildcard action, and a wildcard resource only where nothing narrower exists', () => {
    const wide: string[] = [];
    for (const [role] of ofType(stage, 'AWS::IAM::Role')) {
      for (const { Action, Effect, Resource } of statementsOf(role)) {
        expect(Effect).toBe('Allow');
        for (const action of [Action].flat()) {
          expect(action).not.toContain('*');
          if (JSON.stringify(Resource).includes('*')) wide.push(`${action} by ${role.slice(0, -8)}`);
        }
      }
    }
    const functions = [
      ...['Api', 'Assure', 'Backfill', 'Cleanup', 'Deliver', 'Export', 'Freeze', 'Ingest'],
      ...['Match', 'MigrationsMigrate', 'Money', 'Process', 'Reconcile', 'Recover', 'Sweep'],
      ...['Watchtower', 'Webhook'],
    ];
    expect(wide.sort()).toEqual([
      // The state of alarms, in one call over all of them.
      'cloudwatch:DescribeAlarms by ReleasesRole',
      // Each deployment invokes the version of `migrate` that it has just made, and no other function.
      'lambda:InvokeFunction by AWSCDKTriggerCustomResourceProviderCustomResourceProviderRole',
      // Every object of a bucket, whose keys nobody knows in advance.
      ...['Cleanup', 'Export'].map((name) => `s3:AbortMultipartUpload by ${name}Role`),
      ...['Api', 'Api', 'Cleanup', 'Export'].map((name) => `s3:GetObject by ${name}Role`),
      ...['Cleanup', 'ConsolePublish', 'Export'].map((name) => `s3:PutObject by ${name}Role`),
      ...functions.map((name) => `xray:PutTelemetryRecords by ${name}Role`),
      ...functions.map((name) => `xray:PutTraceSegments by ${name}Role`),
    ]);
  });

  test('no role has a managed policy, and each can be assumed by one AWS service only', () => {
    for (const [, { Properties }] of ofType(stage, 'AWS::IAM::Role')) {
      expect(Properties.ManagedPolicyArns).toBeUndefined();
      const [statement, ...others] = Properties.AssumeRolePolicyDocument.Statement;
      expect(others).toEqual([]);
      expect(Object.keys(statement.Principal)).toEqual(['Service']);
    }
  });

  test('functions are invoked by the HTTP API only where a policy of the function says so', () => {
    for (const [, { Properties }] of ofType(stage, 'AWS::Lambda::Permission')) {
      expect(Properties.Principal).toBe('apigateway.amazonaws.com');
      expect(JSON.stringify(Properties.SourceArn)).toContain('HttpApi');
    }
    expect(ofType(stage, 'AWS::Lambda::Url')).toEqual([]);
  });

  function statementsOf(role: string): Statement[] {
    const attached = ofType(stage, 'AWS::IAM::Policy')
      .map(([, resource]) => resource)
      .filter(({ Properties }) => Properties.Roles.some(({ Ref }: { Ref: string }) => Ref === role));
    const inline: Resource['Properties'][] = stage.resources.get(role)?.Properties.Policies ?? [];
    return [...attached.map(({ Properties }) => Properties), ...inline].flatMap(
      ({ PolicyDocument }) => PolicyDocument.Statement as Statement[],
    );
  }
});

/** The logical id behind a resource of a policy, without the hashes that CDK adds. */
function named(target: unknown): string {
  if (typeof target === 'string') return target;
  const written = JSON.stringify(target);
  const imported = /ExportsOutput(?:Ref|FnGetAtt)(\w+?)[0-9A-F]{8}(?:Arn)?[0-9A-F]{8}"/.exec(written);
  const local = /"Fn::GetAtt":\["(\w+?)[0-9A-F]{8}","Arn"\]/.exec(written);
  const objects = written.endsWith('"/*"]]}') ? '/*' : '';
  return `${imported?.[1] ?? local?.[1] ?? written}${objects}`;
}
