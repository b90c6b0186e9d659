// Payments: the secrets of the providers, the queues behind their webhooks and reconciliations, and the three functions that use them.
import { Duration, type Stack, Validations } from 'aws-cdk-lib';
import { type ISecret, Secret } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import type { WebhookEnvironment } from '../shared/config.ts';
import type { KernelConfig } from './config.ts';
import type { DataStack } from './data-stack.ts';
import { type AnyFunction, KernelFunction } from './function.ts';
import { WorkQueue } from './queues.ts';

/** The providers of shared/adapters/providers.ts. */
const PROVIDERS = ['mockpsp', 'stripe', 'paynow'] as const;
type Provider = (typeof PROVIDERS)[number];
/** Calls of the ledger that work through events at once. */
const PROCESS_CONCURRENCY = 5;
const MATCH_CONCURRENCY = 2; // the least that Lambda takes

/** What must survive a deployment. */
export class Payments extends Construct {
  readonly secrets: Readonly<Record<Provider, ISecret>>;
  readonly events: WorkQueue;
  readonly runs: WorkQueue;

  constructor(scope: Construct, id: string, config: KernelConfig) {
    super(scope, id);
    const secrets = PROVIDERS.map((provider) => [provider, providerSecret(this, provider, config)] as const);
    this.secrets = Object.fromEntries(secrets) as Record<Provider, ISecret>;
    this.events = new WorkQueue(this, 'Events', {
      visibilityTimeout: Duration.seconds(6 * config.functions.process.timeoutSeconds),
      maxReceiveCount: 5,
    });
    // A minute more than the function may run, for a run is taken up by whoever comes after its lease.
    this.runs = new WorkQueue(this, 'Runs', {
      visibilityTimeout: Duration.seconds(config.functions.match.timeoutSeconds + 60),
      maxReceiveCount: 3,
    });
  }

  /** The variable PROVIDER_SECRET_ARNS. */
  secretArns(stack: Stack): string {
    const arns = PROVIDERS.map((provider) => [provider, this.secrets[provider].secretArn]);
    return stack.toJsonString(Object.fromEntries(arns));
  }

  /** Lets a function know what the kernel shares with these providers. */
  letRead(reader: AnyFunction, ...providers: readonly Provider[]): void {
    const arns = providers.map((provider) => this.secrets[provider].secretArn);
    reader.allow(['secretsmanager:GetSecretValue'], ...arns);
  }
}

export function createWebhook(
  stack: Stack,
  config: KernelConfig,
  { ledger, payments }: DataStack,
): AnyFunction {
  const webhook = new KernelFunction<WebhookEnvironment>(stack, 'Webhook', {
    config,
    entry: 'webhook',
    description: 'Takes what payment providers say: verified, kept, and only then answered',
    database: ledger.as('kernel_webhook'),
    environment: {
      PROVIDER_SECRET_ARNS: payments.secretArns(stack),
      PAYMENT_QUEUE_URL: payments.events.queue.queueUrl,
    },
  });
  payments.letRead(webhook, ...PROVIDERS);
  webhook.allow(['sqs:SendMessage'], payments.events.queue.queueArn);
  return webhook;
}

/** The queues call the two jobs besides their schedules. */
export function feedPaymentJobs({ payments }: DataStack, process: AnyFunction, match: AnyFunction): void {
  process.consume(payments.events.queue, { batchSize: 10, maxConcurrency: PROCESS_CONCURRENCY });
  match.consume(payments.runs.queue, { batchSize: 1, maxConcurrency: MATCH_CONCURRENCY });
}

/** Made with a random webhook secret, so that nothing is valid before the provider's own is put in. */
function providerSecret(scope: Construct, provider: string, config: KernelConfig): ISecret {
  const secret = new Secret(scope, provider, {
    description: `What ${provider} and the kernel share: webhook_secret, previous_webhook_secret, api_key`,
    generateSecretString: {
      secretStringTemplate: JSON.stringify({ api_key: '' }),
      generateStringKey: 'webhook_secret',
      passwordLength: 48,
      excludePunctuation: true,
    },
    removalPolicy: config.removalPolicy,
  });
  Validations.of(secret).acknowledge({
    id: 'AwsSolutions-SMG4',
    reason:
      'The provider makes it, so a person changes it: the previous one stays valid beside it, and functions read both within five minutes.',
  });
  return secret as ISecret; // CDK's class and interface differ under exactOptionalPropertyTypes
}
