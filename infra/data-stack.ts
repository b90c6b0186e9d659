// What must survive every deployment: the ledger, the usage counters, the archives, the queues and the users.
import { CfnOutput, Duration, Fn, RemovalPolicy, Stack, type StackProps, Validations } from 'aws-cdk-lib';
import * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import type { Bucket } from 'aws-cdk-lib/aws-s3';
import { type ISecret, Secret } from 'aws-cdk-lib/aws-secretsmanager';
import type { Construct } from 'constructs';
import { backUp } from './backup.ts';
import { evidenceBucket, exportsBucket } from './buckets.ts';
import type { KernelConfig } from './config.ts';
import { Identity } from './identity.ts';
import { Ledger } from './ledger.ts';
import { Payments } from './payments.ts';
import { WorkQueue } from './queues.ts';

export class DataStack extends Stack {
  readonly ledger: Ledger;
  readonly usage: dynamodb.TableV2;
  readonly rateLimit: dynamodb.TableV2;
  readonly cronSecret: ISecret;
  readonly delivery: WorkQueue;
  readonly exportQueue: WorkQueue;
  readonly exports: Bucket;
  readonly evidence: Bucket;
  readonly identity: Identity;
  readonly payments: Payments;
  /** Only with an edge. */
  readonly originSecret: ISecret | undefined;

  constructor(scope: Construct, id: string, props: StackProps & { readonly config: KernelConfig }) {
    super(scope, id, props);
    const { config } = props;
    this.ledger = new Ledger(this, 'Ledger', config);
    this.usage = usageTable(this, config);
    this.rateLimit = rateLimitTable(this);
    this.cronSecret = cronSecret(this, config);
    this.delivery = deliveryQueue(this, config);
    this.exportQueue = exportQueue(this);
    this.exports = exportsBucket(this);
    this.evidence = evidenceBucket(this, config);
    this.identity = new Identity(this, 'Identity', config);
    this.payments = new Payments(this, 'Payments', config);
    this.originSecret = config.edge && originSecret(this, config);
    // A stage of a release before the console still imports it while this stack is changed.
    this.exportValue(this.identity.client.userPoolClientId);
    if (config.backup) backUp(this, config.backup, this.ledger);

    new CfnOutput(this, 'ClusterArn', { value: this.ledger.cluster.clusterArn });
    new CfnOutput(this, 'TableName', { value: this.usage.tableName });
    new CfnOutput(this, 'QueueUrl', { value: this.delivery.queue.queueUrl });
    new CfnOutput(this, 'ExportsBucket', { value: this.exports.bucketName });
    new CfnOutput(this, 'EvidenceBucket', { value: this.evidence.bucketName });
    new CfnOutput(this, 'CronSecretArn', { value: this.cronSecret.secretArn });
    new CfnOutput(this, 'UserPoolId', { value: this.identity.userPool.userPoolId });
    new CfnOutput(this, 'UserPoolClientId', { value: this.identity.client.userPoolClientId });
  }

  /** Asked of the region at deployment; CDK would look them up with credentials as soon as a stage names its account. */
  override get availabilityZones(): string[] {
    return [0, 1].map((index) => Fn.select(index, Fn.getAzs()));
  }
}

/** Fast counters. They may be wrong and never decide money; the ledger can rebuild them. */
function usageTable(scope: Construct, config: KernelConfig): dynamodb.TableV2 {
  return new dynamodb.TableV2(scope, 'Usage', {
    partitionKey: { name: 'site_id', type: dynamodb.AttributeType.STRING },
    sortKey: { name: 'year_month', type: dynamodb.AttributeType.STRING },
    billing: dynamodb.Billing.onDemand(),
    pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: config.usageRecovery },
    deletionProtection: config.protect,
    removalPolicy: config.removalPolicy,
  });
}

/** Windows of the rate limit, each forgotten after its end; losing them costs nothing but a minute's memory. */
function rateLimitTable(scope: Construct): dynamodb.TableV2 {
  const table = new dynamodb.TableV2(scope, 'RateLimit', {
    partitionKey: { name: 'rate_window', type: dynamodb.AttributeType.STRING },
    billing: dynamodb.Billing.onDemand(),
    timeToLiveAttribute: 'expires_at',
    removalPolicy: RemovalPolicy.DESTROY,
  });
  Validations.of(table).acknowledge({
    id: 'AwsSolutions-DDB3',
    reason: 'A window of the rate limit lives for a minute: there is nothing to recover to a point in time.',
  });
  return table;
}

/** Tells `deliver` which batches wait in the outbox; a lost message costs nothing, because `recover` reads the outbox itself. */
function deliveryQueue(scope: Construct, config: KernelConfig): WorkQueue {
  return new WorkQueue(scope, 'Delivery', {
    // Six times the function's timeout, as Lambda asks for.
    visibilityTimeout: Duration.seconds(6 * config.functions.deliver.timeoutSeconds),
    maxReceiveCount: 5,
  });
}

/** Tells `export` which file somebody waits for. */
function exportQueue(scope: Construct): WorkQueue {
  return new WorkQueue(scope, 'Export', {
    // A minute more than the function may run. Six times would be right for many pollers that are throttled; here it would
    // only let a person wait an hour and a half for the second try of a broken export.
    visibilityTimeout: Duration.minutes(16),
    maxReceiveCount: 3,
  });
}

/** By which the functions know that a request came through the edge; both its values are valid, so that one can be changed. */
function originSecret(scope: Construct, config: KernelConfig): ISecret {
  const secret = new Secret(scope, 'OriginSecret', {
    description: 'What the edge and the functions share: current and, while it is changed, previous',
    generateSecretString: {
      secretStringTemplate: '{}',
      generateStringKey: 'current',
      passwordLength: 48,
      excludePunctuation: true,
    },
    removalPolicy: config.removalPolicy,
  });
  Validations.of(secret).acknowledge({
    id: 'AwsSolutions-SMG4',
    reason:
      'CloudFront holds a copy that changes with a deployment only, so the two are changed together: docs/deploy.md.',
  });
  return secret as ISecret; // CDK's class and interface differ under exactOptionalPropertyTypes
}

/** What starts a job over HTTP; the scheduler does not need it, for it invokes by IAM. */
function cronSecret(scope: Construct, config: KernelConfig): ISecret {
  const secret = new Secret(scope, 'CronSecret', {
    description: 'The bearer secret of the /api/cron doors',
    generateSecretString: { passwordLength: 48, excludePunctuation: true },
    removalPolicy: config.removalPolicy,
  });
  Validations.of(secret).acknowledge({
    id: 'AwsSolutions-SMG4',
    reason:
      'People and probes hold it too, so it is changed by hand; the functions read a new value within five minutes.',
  });
  return secret as ISecret; // CDK's class and interface differ under exactOptionalPropertyTypes
}
