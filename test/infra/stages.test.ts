// What every stage promises to whoever deploys it: nothing public, nothing unbounded, nothing lost without a trace.
import { afterAll, describe, expect, test } from 'vitest';
import { FUNCTIONS, STAGE_NAMES, type Stage } from '../../infra/config.ts';
import { functionOf, ofType, one, type Resource, removeAssemblies, synthesized } from './assembly.ts';

afterAll(removeAssemblies);

const MINUTE = 60;

/** A changed id here means a new, empty resource at the next deployment: move the data first, then change the list. */
const STATEFUL = {
  'AWS::Cognito::UserPool': ['IdentityUsers61009EFD'],
  'AWS::DynamoDB::GlobalTable': ['RateLimit4AEB4E56', 'Usage04F2BA28'],
  'AWS::RDS::DBCluster': ['LedgerClusterB694961F'],
  'AWS::S3::Bucket': ['ConsoleFiles2D43986C', 'Evidence4CC26D68', 'Exports25637AFB'],
  'AWS::SecretsManager::Secret': [
    'CronSecretDDC9A8E7',
    'LedgerMasterSecretD2A38834',
    'LedgerkernelapiSecretF31D3D19',
    'LedgerkerneldeliverSecretD09BCFA0',
    'LedgerkernelingestSecretC0D529D1',
    'LedgerkerneljobsSecretB0311314',
    'LedgerkernelmoneySecretA63B8066',
    'LedgerkernelwebhookSecret1765CBF1',
    'PaymentsmockpspFA897ED3',
    'Paymentspaynow229E6106',
    'PaymentsstripeA526E330',
  ],
  'AWS::SQS::Queue': [
    'DeliveryDeadLettersA8B3558F',
    'DeliveryQueue6A0D8ED9',
    'ExportDeadLetters49EA4CA8',
    'ExportQueue7D763F01',
    'FailedInvocationsED025904',
    'PaymentsEventsDeadLettersE724A15F',
    'PaymentsEventsQueueFF1848B7',
    'PaymentsRunsDeadLetters1FE614B6',
    'PaymentsRunsQueue68ABC114',
    'SchedulesDeadLettersE738B711',
  ],
};

const keeping = (name: Stage): string => (name === 'prod' ? 'RetainExceptOnCreate' : 'Delete');

describe.each(STAGE_NAMES)('the data of %s', (name) => {
  const stage = synthesized(name);

  test('keeps the logical ids of everything that holds data', () => {
    for (const [type, ids] of Object.entries(STATEFUL)) {
      expect(
        ofType(stage, type)
          .map(([id]) => id)
          .sort(),
      ).toEqual(ids);
    }
  });

  test('encrypts the ledger, backs it up and protects it as the stage asks', () => {
    const { Properties: cluster, DeletionPolicy } = one(stage, 'AWS::RDS::DBCluster');
    expect(cluster).toMatchObject({
      Engine: 'aurora-postgresql',
      EngineVersion: '17.9',
      StorageEncrypted: true,
      EnableHttpEndpoint: true,
      DatabaseName: 'kernel',
      MasterUsername: 'kernel_master',
      DeletionProtection: name !== 'dev',
      BackupRetentionPeriod: { dev: 1, staging: 7, prod: 35 }[name],
      EnableCloudwatchLogsExports: ['postgresql'],
    });
    expect(DeletionPolicy).toBe({ dev: 'Delete', staging: 'Snapshot', prod: 'RetainExceptOnCreate' }[name]);
    expect(cluster.ServerlessV2ScalingConfiguration.MinCapacity).toBe(
      { dev: 0, staging: 0.5, prod: 1 }[name],
    );
    expect(cluster.ServerlessV2ScalingConfiguration.SecondsUntilAutoPause).toBe(
      name === 'dev' ? 900 : undefined,
    );
    expect(ofType(stage, 'AWS::RDS::DBInstance')).toHaveLength(name === 'prod' ? 2 : 1);
    expect(one(stage, 'AWS::RDS::DBClusterParameterGroup').Properties.Parameters['rds.force_ssl']).toBe('1');
  });

  test('protects the usage table and the users as the stage asks', () => {
    const tables = ofType(stage, 'AWS::DynamoDB::GlobalTable').filter(([id]) => id.startsWith('Usage'));
    const table = tables[0]?.[1] as Resource;
    expect(table.Properties.BillingMode).toBe('PAY_PER_REQUEST');
    expect(table.Properties.Replicas[0]).toMatchObject({
      DeletionProtectionEnabled: name !== 'dev',
      PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: name !== 'dev' },
    });
    expect(table.DeletionPolicy).toBe(keeping(name));
    const users = one(stage, 'AWS::Cognito::UserPool');
    expect(users.Properties).toMatchObject({
      AdminCreateUserConfig: { AllowAdminCreateUserOnly: true },
      DeletionProtection: name === 'dev' ? 'INACTIVE' : 'ACTIVE',
      MfaConfiguration: name === 'prod' ? 'ON' : 'OPTIONAL',
    });
    expect(users.DeletionPolicy).toBe(keeping(name));
  });

  test('protects its stacks from termination as the stage asks', () => {
    for (const stack of stage.app.synth().stacks)
      expect(stack.terminationProtection ?? false).toBe(name !== 'dev');
  });
});

describe.each(STAGE_NAMES)('the ways into %s', (name) => {
  const stage = synthesized(name);

  test('opens no network path to the ledger', () => {
    for (const type of ['InternetGateway', 'NatGateway', 'SecurityGroupIngress', 'Route', 'VPCEndpoint']) {
      expect(ofType(stage, `AWS::EC2::${type}`)).toEqual([]);
    }
    for (const [, { Properties }] of ofType(stage, 'AWS::EC2::Subnet')) {
      expect(Properties.MapPublicIpOnLaunch).toBe(false);
    }
    for (const [, { Properties }] of ofType(stage, 'AWS::RDS::DBInstance')) {
      expect(Properties.PubliclyAccessible).toBe(false);
    }
    const group = one(stage, 'AWS::EC2::SecurityGroup').Properties;
    expect(group.SecurityGroupIngress).toBeUndefined();
    // What CDK writes for "no egress": an address that no host has.
    expect(group.SecurityGroupEgress).toMatchObject([{ CidrIp: '255.255.255.255/32' }]);
  });

  test('gives every log group a retention', () => {
    const days = { dev: 7, staging: 30, prod: 180 }[name];
    for (const [, { Properties }] of ofType(stage, 'AWS::Logs::LogGroup')) {
      expect(Properties.RetentionInDays).toBe(days);
    }
  });

  test('refuses plain HTTP on every queue and keeps what a queue could not deliver', () => {
    const queues = ofType(stage, 'AWS::SQS::Queue');
    const secured = ofType(stage, 'AWS::SQS::QueuePolicy')
      .filter(([, { Properties }]) => {
        const [{ Effect, Condition }] = Properties.PolicyDocument.Statement;
        return Effect === 'Deny' && Condition.Bool['aws:SecureTransport'] === 'false';
      })
      .map(([, { Properties }]) => Properties.Queues[0].Ref);
    expect(secured.sort()).toEqual(queues.map(([id]) => id).sort());
    for (const [, { Properties }] of queues) {
      expect(Properties.SqsManagedSseEnabled).toBe(true);
      const deadLetters = Properties.MessageRetentionPeriod === 14 * 24 * 60 * MINUTE;
      expect(deadLetters || Properties.RedrivePolicy?.maxReceiveCount >= 3).toBe(true);
    }
    const delivery = stage.resources.get('DeliveryQueue6A0D8ED9')?.Properties;
    expect(delivery.VisibilityTimeout).toBeGreaterThanOrEqual(
      6 * functionOf(stage, 'deliver').Properties.Timeout,
    );
    const exports = stage.resources.get('ExportQueue7D763F01')?.Properties;
    expect(exports.VisibilityTimeout).toBeGreaterThan(functionOf(stage, 'export').Properties.Timeout);
  });
});

describe.each(STAGE_NAMES)('the functions of %s', (name) => {
  const stage = synthesized(name);

  test('runs every function on Node 24, arm64, with its own log group and a bounded time', () => {
    const functions = ofType(stage, 'AWS::Lambda::Function');
    expect(functions).toHaveLength(FUNCTIONS.length + 2); // CDK's own behind the trigger and the console are two more
    for (const [id, { Properties }] of functions) {
      const Runtime = id.startsWith('CustomCDKBucketDeployment') ? 'python3.13' : 'nodejs24.x';
      expect(Properties).toMatchObject({ Runtime, Architectures: ['arm64'] });
      expect(stage.resources.get(Properties.LoggingConfig.LogGroup.Ref)?.Type).toBe('AWS::Logs::LogGroup');
      expect(Properties.Timeout).toBeLessThanOrEqual(15 * MINUTE);
      expect(Properties.VpcConfig).toBeUndefined();
    }
    const groups = functions.map(([, { Properties }]) => Properties.LoggingConfig.LogGroup.Ref);
    expect(new Set(groups).size).toBe(functions.length);
  });

  test('migrates before any other function is created or changed', () => {
    const [[trigger, { Properties }] = ['', { Properties: {} }]] = ofType(stage, 'Custom::Trigger');
    expect(Properties.InvocationType).toBe('RequestResponse');
    for (const entry of FUNCTIONS.filter((name) => name !== 'migrate')) {
      expect(functionOf(stage, entry).DependsOn).toContain(trigger);
    }
    // The custom resource reports to CloudFormation from a function that itself lives 15 minutes.
    expect(Number(Properties.Timeout)).toBeLessThan(15 * MINUTE * 1000);
  });

  test('routes every path to the function that owns it and limits the rate of all', () => {
    const keys = ofType(stage, 'AWS::ApiGatewayV2::Route').map(([, { Properties }]) => Properties.RouteKey);
    const expected = [
      'ANY /api/admin/{proxy+}',
      'ANY /api/cron/idempotency-cleanup',
      'ANY /api/cron/invoice-freeze',
      ...['', '/backfill', '/enqueue', '/run'].map((path) => `ANY /api/cron/reconcile-usage${path}`),
      'ANY /api/cron/money-sweep',
      'ANY /api/cron/payments-match',
      'ANY /api/cron/payments-match/catch-up',
      'ANY /api/cron/payments-process',
      'ANY /api/cron/recover',
      'ANY /api/jobs/backfill',
      'ANY /api/jobs/backfill-wallets',
      'ANY /api/jobs/provider-events',
      'ANY /api/jobs/reconcile',
      'ANY /api/cron/watchtower',
      'ANY /api/sites/{proxy+}',
      'ANY /api/sync',
      ...['admin', 'finance', 'finance-actions', 'payments', 'player', 'reconciliation'].map(
        (part) => `ANY /api/v1/${part}/{proxy+}`,
      ),
      'POST /api/v1/finance/withdrawals/payout/webhook',
      'POST /api/v1/payments/webhook/{provider}',
      'GET /api/billing/{proxy+}',
      'GET /api/health',
      'GET /api/metrics',
      'GET /api/sites',
      'GET /openapi.json',
    ];
    expect(keys.sort()).toEqual(expected.sort());
    const settings = one(stage, 'AWS::ApiGatewayV2::Stage').Properties;
    expect(settings.DefaultRouteSettings.ThrottlingRateLimit).toBeGreaterThan(0);
    expect(JSON.parse(settings.AccessLogSettings.Format).requestId).toBe('$context.requestId');
    expect(one(stage, 'AWS::ApiGatewayV2::Api').Properties.CorsConfiguration).toBeUndefined();
  });
});

describe.each(STAGE_NAMES)('what calls the functions of %s', (name) => {
  const stage = synthesized(name);

  test('delivers batches with partial failures and never more at once than the ledger bears', () => {
    const sources = ofType(stage, 'AWS::Lambda::EventSourceMapping').map(([, { Properties }]) => [
      /"Ref":"(\w+?)(?:Function|Live)\w+"/.exec(JSON.stringify(Properties.FunctionName))?.[1],
      Properties,
    ]);
    const { Deliver, Export, Process, Match, ...others } = Object.fromEntries(sources);
    expect(others).toEqual({});
    for (const { FunctionResponseTypes, ScalingConfig } of [Deliver, Export, Process, Match]) {
      expect(FunctionResponseTypes).toEqual(['ReportBatchItemFailures']);
      expect(ScalingConfig.MaximumConcurrency).toBeGreaterThanOrEqual(2);
    }
    expect([Deliver, Export, Process, Match].map(({ BatchSize }) => BatchSize)).toEqual([10, 1, 10, 1]);
    expect(Export.ScalingConfig.MaximumConcurrency).toBe(2);
  });

  test('runs each job at its time, with the intended time, few retries and a dead-letter queue', () => {
    const schedules = ofType(stage, 'AWS::Scheduler::Schedule').map(([, { Properties }]) => Properties);
    const expressions = schedules.map(({ ScheduleExpression, Target }) => [
      Target.Arn['Fn::GetAtt'][0].replace(/Function.*/, '') +
        (/catch_up/.test(Target.Input) ? ' catching up' : ''),
      ScheduleExpression,
    ]);
    expect(Object.fromEntries(expressions)).toEqual({
      Recover: 'rate(5 minutes)',
      Reconcile: 'rate(15 minutes)',
      Freeze: 'cron(0 0 1 * ? *)',
      Cleanup: 'cron(0 3 * * ? *)',
      Sweep: 'rate(1 minute)',
      Assure: 'cron(0 2 * * ? *)',
      Backfill: 'rate(5 minutes)',
      Process: 'rate(1 minute)',
      Match: 'cron(0 4 * * ? *)',
      'Match catching up': 'rate(15 minutes)',
      Watchtower: 'rate(15 minutes)',
    });
    for (const { Target, ScheduleExpressionTimezone } of schedules) {
      expect(ScheduleExpressionTimezone).toBe('Etc/UTC');
      expect(JSON.parse(Target.Input)).toMatchObject({ scheduled_time: '<aws.scheduler.scheduled-time>' });
      expect(Target.RetryPolicy).toEqual({ MaximumRetryAttempts: 2, MaximumEventAgeInSeconds: 15 * MINUTE });
      expect(Target.DeadLetterConfig.Arn['Fn::GetAtt'][0]).toBe('SchedulesDeadLettersE738B711');
    }
    const invocations = ofType(stage, 'AWS::Lambda::EventInvokeConfig');
    expect(invocations).toHaveLength(schedules.length - 1); // one job has two schedules
    for (const [, { Properties }] of invocations) {
      expect(Properties.MaximumRetryAttempts).toBe(0);
      expect(Properties.DestinationConfig.OnFailure.Destination['Fn::GetAtt'][0]).toBe(
        'FailedInvocationsED025904',
      );
    }
  });
});
