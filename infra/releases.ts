// The releases: a new version of a function takes over step by step, and the old one comes back when an alarm says so.
import { Duration, Validations } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as codedeploy from 'aws-cdk-lib/aws-codedeploy';
import { Policy, PolicyDocument, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type * as lambda from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import type { KernelConfig } from './config.ts';
import { type AnyFunction, LIVE } from './function.ts';
import type { HttpApi } from './http-api.ts';

/** A tenth of the calls goes to the new version at first, so that one which fails always is 10 % of all errors. */
const FAILED_PERCENT_MAX = 0.5;
const ANSWERED_5XX_PERCENT_MAX = 1;

export interface ReleasesProps {
  readonly config: KernelConfig;
  readonly http: HttpApi;
  /** Those that have no alias are left out. */
  readonly functions: readonly AnyFunction[];
}

type Released = AnyFunction & { readonly live: lambda.Alias };

export class Releases extends Construct {
  /** The alarms that are made here, for whoever tells people about them. */
  readonly alarms: readonly cloudwatch.Alarm[];
  private readonly groups: codedeploy.LambdaDeploymentGroup[];

  constructor(scope: Construct, id: string, { config, http, functions }: ReleasesProps) {
    super(scope, id);
    const released = functions.filter((one): one is Released => one.live !== undefined);
    const unanswered = this.unansweredAlarm(http);
    const application = new codedeploy.LambdaApplication(this, 'Application', {
      applicationName: `revenue-kernel-${config.stage}`,
    });
    const role = this.createRole(released);
    const made = released.map((one) => {
      const failed = this.failedAlarm(one);
      const group = this.createGroup(one, { config, application, role, alarms: [failed, unanswered] });
      return { failed, group };
    });
    this.alarms = [unanswered, ...made.map(({ failed }) => failed)];
    this.groups = made.map(({ group }) => group);
  }

  /** Lets these alarms too stop every release and bring the old version back. */
  stopOn(...alarms: readonly cloudwatch.IAlarm[]): void {
    for (const group of this.groups) for (const alarm of alarms) group.addAlarm(alarm);
  }

  private createGroup(
    { live, node }: Released,
    parts: {
      readonly config: KernelConfig;
      readonly application: codedeploy.LambdaApplication;
      readonly role: Role;
      readonly alarms: readonly cloudwatch.IAlarm[];
    },
  ): codedeploy.LambdaDeploymentGroup {
    const { traffic, obeyAlarms } = parts.config.release;
    const group = new codedeploy.LambdaDeploymentGroup(this, node.id, {
      application: parts.application,
      alias: live,
      deploymentConfig:
        traffic === 'canary'
          ? codedeploy.LambdaDeploymentConfig.CANARY_10PERCENT_5MINUTES
          : codedeploy.LambdaDeploymentConfig.ALL_AT_ONCE,
      // Without policy updates, because the group would attach a managed policy over every function of the account.
      role: parts.role.withoutPolicyUpdates(),
      alarms: [...parts.alarms],
      ignoreAlarmConfiguration: !obeyAlarms,
      autoRollback: { failedDeployment: true, stoppedDeployment: true, deploymentInAlarm: obeyAlarms },
    });
    group.node.addDependency(parts.role);
    return group;
  }

  private createRole(released: readonly Released[]): Role {
    const functions = released.map((one) => one.lambda.functionArn);
    const role = new Role(this, 'Role', {
      assumedBy: new ServicePrincipal('codedeploy.amazonaws.com'),
      inlinePolicies: {
        Shift: new PolicyDocument({
          statements: [
            new PolicyStatement({
              actions: ['lambda:GetAlias', 'lambda:UpdateAlias', 'lambda:GetProvisionedConcurrencyConfig'],
              // By name and not by the alias itself, which waits for its group.
              resources: [...functions, ...functions.map((arn) => `${arn}:${LIVE}`)],
            }),
          ],
        }),
      },
    });
    const look = new Policy(role, 'Look', {
      roles: [role],
      statements: [new PolicyStatement({ actions: ['cloudwatch:DescribeAlarms'], resources: ['*'] })],
    });
    Validations.of(look).acknowledge({
      id: 'AwsSolutions-IAM5[Resource::*]',
      reason:
        'CodeDeploy asks for the state of alarms in one call over all of them; this policy holds nothing else.',
    });
    return role;
  }

  /** Crashes and timeouts; what a function answers itself, however bad the news, is not among them. */
  private failedAlarm({ live, node }: Released): cloudwatch.Alarm {
    const each = { period: Duration.minutes(1), statistic: 'Sum' };
    return this.createAlarm(`${node.id}Failed`, {
      description: `Calls of ${node.id} fail before they are answered. A release is stopped and taken back.`,
      failed: live.metricErrors(each),
      of: live.metricInvocations(each),
      threshold: FAILED_PERCENT_MAX,
    });
  }

  private unansweredAlarm({ api }: HttpApi): cloudwatch.Alarm {
    const each = { period: Duration.minutes(1), statistic: 'Sum' };
    return this.createAlarm('Unanswered', {
      description: 'Callers get 5xx from the API. A release is stopped and taken back.',
      failed: api.metricServerError(each),
      of: api.metricCount(each),
      threshold: ANSWERED_5XX_PERCENT_MAX,
    });
  }

  private createAlarm(
    id: string,
    {
      description,
      failed,
      of,
      threshold,
    }: { description: string; failed: cloudwatch.IMetric; of: cloudwatch.IMetric; threshold: number },
  ): cloudwatch.Alarm {
    return new cloudwatch.Alarm(this, id, {
      alarmDescription: `${description} See docs/deploy.md, "A release goes wrong".`,
      metric: new cloudwatch.MathExpression({
        expression: 'IF(calls > 0, 100 * failed / calls, 0)',
        usingMetrics: { failed, calls: of },
        label: 'percent',
        period: Duration.minutes(1),
      }),
      threshold,
      comparisonOperator: cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
      // Two bad minutes of three: one is noise, and five minutes are all the time that a canary has.
      evaluationPeriods: 3,
      datapointsToAlarm: 2,
      treatMissingData: cloudwatch.TreatMissingData.NOT_BREACHING,
    });
  }
}
