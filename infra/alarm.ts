// The one way in which this stack makes an alarm: told to a topic, with its runbook, and never silent about missing data.
import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import { Construct } from 'constructs';
import type { Severity } from './alarm-settings.ts';
import type { KernelConfig } from './config.ts';
import { metricNamespace } from './function.ts';
import { Notices } from './notices.ts';

export interface AlarmProps {
  readonly severity: Severity;
  /** What is wrong, in one sentence. */
  readonly says: string;
  /** A heading of the runbook. */
  readonly heading: string;
  readonly metric: cloudwatch.IMetric;
  /** It alarms above this. */
  readonly above?: number;
  /** It alarms below this. */
  readonly below?: number;
  /** How many of the last periods must be bad. */
  readonly of: readonly [bad: number, periods: number];
  readonly missing: cloudwatch.TreatMissingData;
}

/** What a metric is called by the functions that emit it, and how its values become one. */
export interface KernelMetric {
  readonly service: string;
  readonly name: string;
  readonly statistic: 'Sum' | 'Maximum' | 'Minimum';
  readonly minutes: number;
}

export class Alarms extends Construct {
  readonly notices: Notices;
  readonly made: Readonly<Record<Severity, cloudwatch.AlarmBase[]>> = { page: [], ticket: [] };
  readonly config: KernelConfig;

  constructor(scope: Construct, id: string, config: KernelConfig) {
    super(scope, id);
    this.config = config;
    this.notices = new Notices(this, 'Notices', config);
  }

  add(id: string, props: AlarmProps): cloudwatch.Alarm {
    const { metric, above, below, missing } = props;
    const [datapointsToAlarm, evaluationPeriods] = props.of;
    const { GREATER_THAN_THRESHOLD, LESS_THAN_THRESHOLD } = cloudwatch.ComparisonOperator;
    const alarm = new cloudwatch.Alarm(this, id, {
      ...this.named(id, props),
      metric,
      threshold: above ?? below ?? 0,
      comparisonOperator: below === undefined ? GREATER_THAN_THRESHOLD : LESS_THAN_THRESHOLD,
      datapointsToAlarm,
      evaluationPeriods,
      treatMissingData: missing,
    });
    return this.tell(alarm, props.severity);
  }

  /** Alarms while all of these do. */
  addAll(
    id: string,
    props: Pick<AlarmProps, 'severity' | 'says' | 'heading'>,
    alarms: readonly cloudwatch.Alarm[],
  ): cloudwatch.CompositeAlarm {
    const states = alarms.map((one) => cloudwatch.AlarmRule.fromAlarm(one, cloudwatch.AlarmState.ALARM));
    const { alarmName, alarmDescription } = this.named(id, props);
    const alarm = new cloudwatch.CompositeAlarm(this, id, {
      compositeAlarmName: alarmName,
      alarmDescription,
      alarmRule: cloudwatch.AlarmRule.allOf(...states),
    });
    return this.tell(alarm, props.severity);
  }

  /** Tells the topic of the severity when it begins and when it is over. */
  tell<Told extends cloudwatch.AlarmBase>(alarm: Told, severity: Severity): Told {
    const action = new SnsAction(this.notices.topics[severity]);
    alarm.addAlarmAction(action);
    alarm.addOkAction(action);
    this.made[severity].push(alarm);
    return alarm;
  }

  /** A metric of the functions, by the one dimension that functions/runtime.ts gives it. */
  metric({ service, name, statistic, minutes }: KernelMetric): cloudwatch.Metric {
    return new cloudwatch.Metric({
      namespace: metricNamespace(this.config),
      metricName: name,
      dimensionsMap: { service },
      statistic,
      period: Duration.minutes(minutes),
    });
  }

  private named(id: string, { says, heading }: Pick<AlarmProps, 'says' | 'heading'>) {
    const kebab = id.replace(/(?<=[a-z0-9])(?=[A-Z])/g, '-').toLowerCase();
    const anchor = heading.toLowerCase().replaceAll(' ', '-');
    return {
      alarmName: `revenue-kernel-${this.config.stage}-${kebab}`,
      alarmDescription: `${says} Runbook: ${this.config.alarms.runbook}#${anchor}`,
    };
  }
}
