// The dashboard of a stage, in the order of the questions: is the money right, are events taken, delivered, paid, does it hold?
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import type { Alarms } from './alarm.ts';
import { HEARTBEATS } from './alarm-settings.ts';
import type { AlarmParts } from './alarms.ts';
import type { AnyFunction } from './function.ts';

const { GraphWidget, SingleValueWidget, TextWidget, AlarmStatusWidget } = cloudwatch;
const WHOLE = 24;
const HALF = 12;
const THIRD = 8;
/** Wide enough that every gauge of the watchtower has a value. */
const GAUGE_MINUTES = 20;

export function createDashboard(alarms: Alarms, parts: AlarmParts, functions: readonly AnyFunction[]): void {
  const dashboard = new cloudwatch.Dashboard(alarms, 'Dashboard', {
    dashboardName: `revenue-kernel-${alarms.config.stage}`,
    periodOverride: cloudwatch.PeriodOverride.INHERIT,
  });
  dashboard.addWidgets(...money(alarms));
  dashboard.addWidgets(...events(alarms, functions));
  dashboard.addWidgets(...payments(alarms));
  dashboard.addWidgets(...below(alarms, parts, functions));
}

function heading(markdown: string): cloudwatch.IWidget {
  return new TextWidget({ markdown: `## ${markdown}`, width: WHOLE, height: 1 });
}

/** Zero everywhere is yes. */
function money(alarms: Alarms): cloudwatch.IWidget[] {
  const gauges = {
    money_drift: 'does not agree',
    delivery_drift: 'billed or delivered, not both',
    ledger_drift: 'sites corrected, last hour',
    unfrozen_months: 'months without invoice',
    broken_seals: 'broken seals',
    open_findings: 'open findings',
    balance_mismatch_largest_minor: 'largest mismatch',
  };
  const of = (name: string) =>
    alarms.metric({ service: 'watchtower', name, statistic: 'Maximum', minutes: GAUGE_MINUTES });
  return [
    heading('Is the money right? Yes while all of this is 0'),
    new SingleValueWidget({
      title: 'Drift',
      metrics: Object.entries(gauges).map(([name, label]) => of(name).with({ label })),
      ...{ width: WHOLE, height: 4 },
    }),
    new AlarmStatusWidget({ title: 'What pages', alarms: alarms.made.page, width: HALF, height: 8 }),
    new GraphWidget({
      title: 'Drift over time',
      left: Object.keys(gauges).map((name) => of(name)),
      ...{ width: HALF, height: 8 },
    }),
  ];
}

function events(alarms: Alarms, functions: readonly AnyFunction[]): cloudwatch.IWidget[] {
  const ingest = functions.filter(({ entry }) => entry === 'ingest').map(({ lambda }) => lambda);
  const sum = (service: string, name: string) =>
    alarms.metric({ service, name, statistic: 'Sum', minutes: 5 });
  const outcomes = [
    'allowed',
    'overage',
    'duplicate',
    'rejected_quota',
    'rate_limited',
    'conflict',
    'invalid',
  ];
  return [
    heading('Are events taken and delivered?'),
    new GraphWidget({
      title: 'What became of events',
      left: outcomes.map((outcome) => sum('ingest', `billing_ingest_${outcome}_total`)),
      ...{ width: THIRD, stacked: true },
    }),
    new GraphWidget({
      title: 'Failures and time of ingest',
      left: [sum('ingest', 'ingest_failed_total'), ...ingest.map((one) => one.metricErrors())],
      right: ingest.map((one) => one.metricDuration({ statistic: 'p99' })),
      width: THIRD,
    }),
    new GraphWidget({
      title: 'Delivered, and the oldest that waits',
      left: [sum('deliver', 'billing_delivered_total'), sum('recover', 'billing_recovered_total')],
      right: [
        alarms.metric({
          ...{
            service: 'watchtower',
            name: 'outbox_age_seconds',
            statistic: 'Maximum',
            minutes: GAUGE_MINUTES,
          },
        }),
      ],
      width: THIRD,
    }),
  ];
}

function payments(alarms: Alarms): cloudwatch.IWidget[] {
  const sum = (service: string, name: string) =>
    alarms.metric({ service, name, statistic: 'Sum', minutes: 15 });
  return [
    heading('Do payments go through?'),
    new GraphWidget({
      title: 'Withdrawals asked for, and without funds',
      left: [sum('money', 'withdraw_requests_total'), sum('money', 'insufficient_funds_total')],
      width: THIRD,
    }),
    new GraphWidget({
      title: 'Webhooks, and with a wrong signature',
      left: [sum('webhook', 'webhook_received_total'), sum('webhook', 'webhook_signature_invalid_total')],
      width: THIRD,
    }),
    new GraphWidget({
      title: 'Differences with providers',
      left: [sum('match', 'provider_differences'), sum('match', 'webhook_lost_total')],
      width: THIRD,
    }),
  ];
}

function below(
  alarms: Alarms,
  { data, http }: AlarmParts,
  functions: readonly AnyFunction[],
): cloudwatch.IWidget[] {
  const runs = Object.keys(HEARTBEATS).map((job) =>
    alarms.metric({ service: job, name: `job_${job}_ok_total`, statistic: 'Sum', minutes: 60 }),
  );
  return [
    heading('Does what is below hold?'),
    new GraphWidget({
      title: 'The ledger',
      left: [data.ledger.cluster.metricACUUtilization({ statistic: 'Maximum' })],
      right: [data.ledger.cluster.metricDatabaseConnections({ statistic: 'Maximum' })],
      width: THIRD,
    }),
    new GraphWidget({
      title: 'The API',
      left: [
        http.stage.metricCount({ statistic: 'Sum' }),
        http.stage.metricServerError({ statistic: 'Sum' }),
      ],
      right: [http.stage.metricLatency({ statistic: 'p99' })],
      width: THIRD,
    }),
    new GraphWidget({ title: 'Runs of jobs an hour', left: runs, width: THIRD }),
    new GraphWidget({
      title: 'Functions that fail',
      left: functions.map(({ lambda }) => lambda.metricErrors({ statistic: 'Sum' })),
      width: HALF,
    }),
    new AlarmStatusWidget({ title: 'Tickets', alarms: alarms.made.ticket, width: HALF, height: 6 }),
  ];
}
