// Brings the schema up to date during a deployment, before any function that relies on it serves its first request.
import { type CfnResource, Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import { InvocationType, Trigger } from 'aws-cdk-lib/triggers';
import { Construct } from 'constructs';
import type { MigrateEnvironment } from '../shared/config.ts';
import type { KernelConfig } from './config.ts';
import { type AnyFunction, KernelFunction } from './function.ts';
import { type Ledger, LOGIN_ROLES } from './ledger.ts';

export class Migrations extends Construct {
  readonly migrate: KernelFunction<MigrateEnvironment>;
  private readonly trigger: Trigger;

  constructor(scope: Construct, id: string, config: KernelConfig, ledger: Ledger) {
    super(scope, id);
    const arns = Object.fromEntries(LOGIN_ROLES.map((role) => [role, ledger.roleSecrets[role].secretArn]));
    this.migrate = new KernelFunction<MigrateEnvironment>(this, 'Migrate', {
      config,
      entry: 'migrate',
      description: 'Applies the migrations and sets the passwords of the login roles',
      database: ledger.asMaster(),
      environment: { ROLE_SECRET_ARNS: Stack.of(this).toJsonString(arns) },
    });
    this.migrate.allow(['secretsmanager:GetSecretValue'], ...Object.values(arns));
    // Runs again whenever the function changes, and its bundle holds the migrations; a throw fails the deployment.
    this.trigger = new Trigger(this, 'Run', {
      handler: this.migrate.lambda,
      invocationType: InvocationType.REQUEST_RESPONSE,
      timeout: Duration.seconds(config.functions.migrate.timeoutSeconds),
      executeAfter: [ledger.cluster, this.migrate],
    });
    this.alignProvider(config);
  }

  /** Makes the functions wait for the schema. */
  before(...functions: AnyFunction[]): void {
    this.trigger.executeBefore(...functions.map((one) => one.lambda));
  }

  /**
   * Gives CDK's own function behind the trigger the same runtime, log group and narrow role as every other function. Its one
   * wildcard, over the versions of `migrate`, stays: each deployment invokes a version that does not exist before it.
   */
  private alignProvider(config: KernelConfig): void {
    const provider = Stack.of(this).node.findChild(
      'AWSCDK.TriggerCustomResourceProviderCustomResourceProvider',
    );
    const handler = provider.node.findChild('Handler') as CfnResource;
    const role = provider.node.findChild('Role') as CfnResource;
    const logs = new LogGroup(this, 'RunLogs', {
      logGroupName: `/aws/lambda/revenue-kernel-${config.stage}-migrate-trigger`,
      retention: config.logRetention,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    handler.addPropertyOverride('Runtime', 'nodejs24.x');
    handler.addPropertyOverride('Architectures', ['arm64']);
    handler.addPropertyOverride('LoggingConfig', { LogGroup: logs.logGroupName });
    role.addPropertyDeletionOverride('ManagedPolicyArns');
    role.addPropertyOverride('Policies.1', {
      PolicyName: 'Logs',
      PolicyDocument: {
        Version: '2012-10-17',
        Statement: [
          {
            Effect: 'Allow',
            Action: ['logs:CreateLogStream', 'logs:PutLogEvents'],
            Resource: logs.logGroupArn,
          },
        ],
      },
    });
  }
}
