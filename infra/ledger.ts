// The ledger: Aurora PostgreSQL behind the Data API, and one secret for each role that logs in to it.
import { Duration, RemovalPolicy, Validations } from 'aws-cdk-lib';
import { Key } from 'aws-cdk-lib/aws-kms';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import * as rds from 'aws-cdk-lib/aws-rds';
import { type ISecret, Secret } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import type { KernelConfig } from './config.ts';
import type { DatabaseBinding } from './function.ts';
import { Network } from './network.ts';

/** The database roles that functions log in as; the migrations create them and give them these secrets' passwords. */
export const LOGIN_ROLES = [
  'kernel_ingest',
  'kernel_deliver',
  'kernel_jobs',
  'kernel_api',
  'kernel_money',
  'kernel_webhook',
] as const;
export type LoginRole = (typeof LOGIN_ROLES)[number];

const DATABASE_NAME = 'kernel';
const ENGINE = rds.DatabaseClusterEngine.auroraPostgres({
  version: rds.AuroraPostgresEngineVersion.VER_17_9,
});

export class Ledger extends Construct {
  readonly cluster: rds.DatabaseCluster;
  readonly roleSecrets: Readonly<Record<LoginRole, ISecret>>;

  constructor(scope: Construct, id: string, config: KernelConfig) {
    super(scope, id);
    const master = databaseSecret(this, 'Master', 'kernel_master', config);
    this.cluster = this.createCluster(config, rds.Credentials.fromSecret(master, 'kernel_master'));
    const secrets = LOGIN_ROLES.map((role) => [role, databaseSecret(this, role, role, config)] as const);
    this.roleSecrets = Object.fromEntries(secrets) as Record<LoginRole, ISecret>;
    this.acknowledge(config);
  }

  /** What a function needs to call the ledger as this role. */
  as(role: LoginRole): DatabaseBinding {
    return { cluster: this.cluster, databaseName: DATABASE_NAME, secret: this.roleSecrets[role] };
  }

  /** What the migrations need: the owner of the schema, with transactions. */
  asMaster(): DatabaseBinding {
    const { secret } = this.cluster;
    if (secret === undefined) throw new Error('The cluster was made without a master secret.');
    return { cluster: this.cluster, databaseName: DATABASE_NAME, secret, transactions: true };
  }

  private createCluster(config: KernelConfig, credentials: rds.Credentials): rds.DatabaseCluster {
    const { ledger } = config;
    // Named in advance, so that its log group exists, with a retention, before the first line is written.
    const clusterIdentifier = `revenue-kernel-${config.stage}`;
    const logs = new LogGroup(this, 'Logs', {
      logGroupName: `/aws/rds/cluster/${clusterIdentifier}/postgresql`,
      retention: config.logRetention,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    const network = new Network(this, 'Network', config);
    // The engine moves by a commit that changes ENGINE, not on a night of Amazon's choice.
    const instance = {
      autoMinorVersionUpgrade: false,
      enablePerformanceInsights: ledger.performanceInsights,
    };
    const cluster = new rds.DatabaseCluster(this, 'Cluster', {
      clusterIdentifier,
      engine: ENGINE,
      parameterGroup: parameters(this),
      credentials,
      defaultDatabaseName: DATABASE_NAME,
      enableDataApi: true,
      vpc: network.vpc,
      vpcSubnets: { subnets: network.vpc.isolatedSubnets },
      securityGroups: [network.closed],
      writer: rds.ClusterInstance.serverlessV2('Writer', instance),
      readers: ledger.reader
        ? [rds.ClusterInstance.serverlessV2('Reader', { ...instance, scaleWithWriter: true })]
        : [],
      serverlessV2MinCapacity: ledger.capacityMin,
      serverlessV2MaxCapacity: ledger.capacityMax,
      ...(ledger.autoPauseSeconds !== undefined && {
        serverlessV2AutoPauseDuration: Duration.seconds(ledger.autoPauseSeconds),
      }),
      storageEncrypted: true,
      ...(ledger.ownKey && { storageEncryptionKey: ledgerKey(this, config) }),
      backup: { retention: Duration.days(ledger.backupDays) },
      deleteAutomatedBackups: !config.protect,
      deletionProtection: config.protect,
      removalPolicy: ledger.removalPolicy,
      cloudwatchLogsExports: ['postgresql'],
      enablePerformanceInsights: ledger.performanceInsights,
    });
    cluster.node.addDependency(logs);
    return cluster;
  }

  private acknowledge(config: KernelConfig): void {
    const { cluster } = this;
    Validations.of(cluster).acknowledge({
      id: 'AwsSolutions-RDS6',
      reason: 'The Data API, the only way in, logs in with a secret and cannot use IAM authentication.',
    });
    if (!config.protect) {
      Validations.of(cluster).acknowledge({
        id: 'AwsSolutions-RDS10',
        reason: 'This stage holds no data worth keeping and is meant to be destroyed with its stack.',
      });
    }
  }
}

function databaseSecret(scope: Construct, id: string, username: string, config: KernelConfig): ISecret {
  const secret = new Secret(scope, `${id}Secret`, {
    description: `The password of the database role ${username}`,
    generateSecretString: {
      secretStringTemplate: JSON.stringify({ username }),
      generateStringKey: 'password',
      passwordLength: 40,
      excludePunctuation: true,
    },
    removalPolicy: config.removalPolicy,
  });
  Validations.of(secret).acknowledge({
    id: 'AwsSolutions-SMG4',
    reason:
      'The password works through the Data API only, which checks IAM first; it changes with a migration run, not on a timer.',
  });
  return secret as ISecret; // CDK's class and interface differ under exactOptionalPropertyTypes
}

function parameters(scope: Construct): rds.ParameterGroup {
  return new rds.ParameterGroup(scope, 'Parameters', {
    engine: ENGINE,
    description: 'Revenue Kernel: TLS only, slow statements are logged',
    parameters: { 'rds.force_ssl': '1', log_min_duration_statement: '500' },
  });
}

function ledgerKey(scope: Construct, config: KernelConfig): Key {
  return new Key(scope, 'Key', {
    description: 'Encrypts the ledger and its snapshots',
    enableKeyRotation: true,
    removalPolicy: config.removalPolicy,
  });
}
