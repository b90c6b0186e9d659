// The queues of the stack: each refuses plain HTTP, and a dead-letter queue keeps what it gets for 14 days.
import { Duration, Validations } from 'aws-cdk-lib';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';

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

export interface WorkQueueProps {
  /** At least the timeout of the function behind it: a message must not come back while it is still being handled. */
  readonly visibilityTimeout: Duration;
  /** How often a message is tried before a person must look at it. */
  readonly maxReceiveCount: number;
}

/** A queue that feeds a function, and the dead-letter queue of what the function could not handle. */
export class WorkQueue extends Construct {
  readonly queue: sqs.Queue;
  readonly deadLetters: sqs.Queue;

  constructor(scope: Construct, id: string, { visibilityTimeout, maxReceiveCount }: WorkQueueProps) {
    super(scope, id);
    this.deadLetters = new DeadLetterQueue(this, 'DeadLetters');
    this.queue = new sqs.Queue(this, 'Queue', {
      encryption: sqs.QueueEncryption.SQS_MANAGED,
      enforceSSL: true,
      visibilityTimeout,
      deadLetterQueue: { queue: this.deadLetters, maxReceiveCount },
    });
  }
}
