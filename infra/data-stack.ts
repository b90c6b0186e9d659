// What must survive every deployment: the ledger, the usage counters, the delivery queue and the users.
import { CfnOutput, Stack, type StackProps } from 'aws-cdk-lib';
import * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import type { Construct } from 'constructs';
import type { KernelConfig } from './config.ts';
import { Identity } from './identity.ts';
import { Ledger } from './ledger.ts';
import { DeliveryQueue } from './queues.ts';

export class DataStack extends Stack {
  readonly ledger: Ledger;
  readonly usage: dynamodb.TableV2;
  readonly delivery: DeliveryQueue;
  readonly identity: Identity;

  constructor(scope: Construct, id: string, props: StackProps & { readonly config: KernelConfig }) {
    super(scope, id, props);
    const { config } = props;
    this.ledger = new Ledger(this, 'Ledger', config);
    this.usage = usageTable(this, config);
    this.delivery = new DeliveryQueue(this, 'Delivery', config);
    this.identity = new Identity(this, 'Identity', config);

    new CfnOutput(this, 'ClusterArn', { value: this.ledger.cluster.clusterArn });
    new CfnOutput(this, 'TableName', { value: this.usage.tableName });
    new CfnOutput(this, 'QueueUrl', { value: this.delivery.queue.queueUrl });
    new CfnOutput(this, 'UserPoolId', { value: this.identity.userPool.userPoolId });
    new CfnOutput(this, 'UserPoolClientId', { value: this.identity.client.userPoolClientId });
  }
}

/** Fast counters and rate limits. They may be wrong and never decide money; the ledger can rebuild them. */
function usageTable(scope: Construct, config: KernelConfig): dynamodb.TableV2 {
  return new dynamodb.TableV2(scope, 'Usage', {
    partitionKey: { name: 'site_id', type: dynamodb.AttributeType.STRING },
    sortKey: { name: 'year_month', type: dynamodb.AttributeType.STRING },
    billing: dynamodb.Billing.onDemand(),
    timeToLiveAttribute: 'expires_at', // windows of the rate limit; a counter has no such attribute
    pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: config.usageRecovery },
    deletionProtection: config.protect,
    removalPolicy: config.removalPolicy,
  });
}
