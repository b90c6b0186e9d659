// The clock: each job runs on a schedule that retries briefly, then leaves the lost run in a dead-letter queue.
import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import { PolicyDocument, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import * as scheduler from 'aws-cdk-lib/aws-scheduler';
import { LambdaInvoke } from 'aws-cdk-lib/aws-scheduler-targets';
import type { IQueue } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import type { KernelConfig } from './config.ts';
import type { AnyFunction } from './function.ts';
import { DeadLetterQueue } from './queues.ts';

export class Schedules extends Construct {
  readonly deadLetters: IQueue;
  private readonly group: scheduler.ScheduleGroup;

  constructor(scope: Construct, id: string, config: KernelConfig) {
    super(scope, id);
    this.group = new scheduler.ScheduleGroup(this, 'Group', {
      scheduleGroupName: `revenue-kernel-${config.stage}`,
      removalPolicy: RemovalPolicy.DESTROY, // it holds nothing, and its name must be free for the next attempt
    });
    this.deadLetters = new DeadLetterQueue(this, 'DeadLetters').acknowledge();
  }

  /** @param told what the job is told beside the time. */
  run(
    id: string,
    job: AnyFunction,
    expression: scheduler.ScheduleExpression,
    told: Record<string, boolean> = {},
  ): scheduler.Schedule {
    return new scheduler.Schedule(this, id, {
      scheduleGroup: this.group,
      schedule: expression,
      timeWindow: scheduler.TimeWindow.off(),
      target: new LambdaInvoke(job.lambda, {
        // Without policy updates, because the target would add a wildcard over the versions of the function.
        role: this.invoker(id, job.lambda.functionArn).withoutPolicyUpdates(),
        deadLetterQueue: this.deadLetters,
        // The defaults, 185 retries over a day, would run a stale job many times at once.
        retryAttempts: 2,
        maxEventAge: Duration.minutes(15),
        // The intended time, not the time of arrival: a late or repeated run works on the period that it was meant for.
        input: scheduler.ScheduleTargetInput.fromObject({
          scheduled_time: '<aws.scheduler.scheduled-time>',
          ...told,
        }),
      }),
    });
  }

  private invoker(id: string, functionArn: string): Role {
    return new Role(this, `${id}Role`, {
      assumedBy: new ServicePrincipal('scheduler.amazonaws.com', {
        conditions: {
          StringEquals: {
            'aws:SourceAccount': this.group.env.account,
            'aws:SourceArn': this.group.scheduleGroupArn,
          },
        },
      }),
      inlinePolicies: {
        Invoke: new PolicyDocument({
          statements: [
            new PolicyStatement({ actions: ['lambda:InvokeFunction'], resources: [functionArn] }),
            new PolicyStatement({ actions: ['sqs:SendMessage'], resources: [this.deadLetters.queueArn] }),
          ],
        }),
      },
    });
  }
}
