// The queues of the stack: each refuses plain HTTP, and a dead-letter queue keeps what it gets for 14 days.
import { Duration, Validations } from 'aws-cdk-lib';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import type { KernelConfig } from './config.ts';

/** Where a message goes that nobody could handle; someone looks at it and sends it back or deletes it. */
export class DeadLetterQueue extends sqs.Queue {
  constructor(scope: Construct, id: string) {
    super(scope, id, {
      encryption: sqs.QueueEncryption.SQS_MANAGED,
      enforceSSL: true,
      retentionPeriod: Duration.days(14),
    });
  }

  /** For a dead-letter queue that no other queue names, which the rules therefore take for an ordinary one. */
  acknowledge(): this {
    Validations.of(this).acknowledge({
      id: 'AwsSolutions-SQS3',
      reason: 'This is itself a dead-letter queue: its messages wait for a person, not for a consumer.',
    });
    return this;
  }
}

/** Tells `deliver` which batches wait in the outbox; a lost message costs nothing, because `recover` reads the outbox itself. */
export class DeliveryQueue extends Construct {
  readonly queue: sqs.Queue;
  readonly deadLetters: sqs.Queue;

  constructor(scope: Construct, id: string, config: KernelConfig) {
    super(scope, id);
    this.deadLetters = new DeadLetterQueue(this, 'DeadLetters');
    this.queue = new sqs.Queue(this, 'Queue', {
      encryption: sqs.QueueEncryption.SQS_MANAGED,
      enforceSSL: true,
      // Six times the function's timeout, as Lambda asks for: a message must not come back while it is still being handled.
      visibilityTimeout: Duration.seconds(6 * config.functions.deliver.timeoutSeconds),
      deadLetterQueue: { queue: this.deadLetters, maxReceiveCount: 5 },
    });
  }
}
