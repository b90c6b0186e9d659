// Where alarms go: one encrypted topic for what wakes somebody, one for what waits, and the budget of the account.
import { Aws, CfnOutput, RemovalPolicy, Stack } from 'aws-cdk-lib';
import { CfnBudget } from 'aws-cdk-lib/aws-budgets';
import { PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { type IKeyRef, Key } from 'aws-cdk-lib/aws-kms';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { EmailSubscription } from 'aws-cdk-lib/aws-sns-subscriptions';
import { Construct } from 'constructs';
import type { Severity } from './alarm-settings.ts';
import type { KernelConfig } from './config.ts';

/** Who writes to the topics, and by which of its resources. */
const PUBLISHERS = {
  'cloudwatch.amazonaws.com': () => `arn:${Aws.PARTITION}:cloudwatch:${Aws.REGION}:${Aws.ACCOUNT_ID}:alarm:*`,
  'budgets.amazonaws.com': () => `arn:${Aws.PARTITION}:budgets::${Aws.ACCOUNT_ID}:*`,
};

export class Notices extends Construct {
  readonly topics: Readonly<Record<Severity, Topic>>;

  constructor(scope: Construct, id: string, config: KernelConfig) {
    super(scope, id);
    const key = topicKey(this);
    this.topics = {
      page: createTopic(this, 'Page', key, config.alarms.page),
      ticket: createTopic(this, 'Ticket', key, config.alarms.ticket),
    };
    if (config.alarms.monthlyBudgetUsd !== undefined) this.createBudget(config);
    const stack = Stack.of(this);
    new CfnOutput(stack, 'PageTopicArn', { value: this.topics.page.topicArn });
    new CfnOutput(stack, 'TicketTopicArn', { value: this.topics.ticket.topicArn });
  }

  private createBudget({ stage, alarms }: KernelConfig): void {
    const subscribers = [{ subscriptionType: 'SNS', address: this.topics.ticket.topicArn }];
    const over = (notificationType: string, threshold: number) => ({
      notification: {
        notificationType,
        threshold,
        thresholdType: 'PERCENTAGE',
        comparisonOperator: 'GREATER_THAN',
      },
      subscribers,
    });
    const budget = new CfnBudget(this, 'Budget', {
      budget: {
        budgetName: `revenue-kernel-${stage}`,
        budgetType: 'COST',
        timeUnit: 'MONTHLY',
        budgetLimit: { amount: alarms.monthlyBudgetUsd ?? 0, unit: 'USD' },
      },
      notificationsWithSubscribers: [over('FORECASTED', 80), over('ACTUAL', 100)],
    });
    budget.node.addDependency(this.topics.ticket); // its policy too: a budget is refused that may not write to its topic
  }
}

/** AWS's own key for topics cannot be used by those who write to these. */
function topicKey(scope: Construct): Key {
  const key = new Key(scope, 'Key', {
    description: 'Encrypts the notices of alarms',
    enableKeyRotation: true,
    removalPolicy: RemovalPolicy.DESTROY, // it encrypts what is under way for moments only
  });
  key.addToResourcePolicy(
    new PolicyStatement({
      principals: Object.keys(PUBLISHERS).map((service) => new ServicePrincipal(service)),
      actions: ['kms:Decrypt', 'kms:GenerateDataKey*'],
      resources: ['*'], // of a key's own policy: this key
    }),
  );
  return key;
}

function createTopic(scope: Construct, id: string, key: Key, addresses: readonly string[]): Topic {
  const topic = new Topic(scope, id, {
    displayName: `Revenue Kernel: ${id.toLowerCase()}`,
    masterKey: key as IKeyRef & Key,
    enforceSSL: true,
  });
  for (const [service, source] of Object.entries(PUBLISHERS)) {
    topic.addToResourcePolicy(
      new PolicyStatement({
        principals: [new ServicePrincipal(service)],
        actions: ['sns:Publish'],
        resources: [topic.topicArn],
        conditions: {
          StringEquals: { 'aws:SourceAccount': Aws.ACCOUNT_ID },
          ArnLike: { 'aws:SourceArn': source() },
        },
      }),
    );
  }
  for (const address of addresses) topic.addSubscription(new EmailSubscription(address));
  return topic;
}
