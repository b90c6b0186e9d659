// Every alarm is told to somebody, has a page to read, says what silence means, and watches what is really there.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { App, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { afterAll, expect, test } from 'vitest';
import { ALARMS, HEARTBEATS } from '../../infra/alarm-settings.ts';
import { FUNCTIONS, type FunctionName } from '../../infra/config.ts';
import { freshApp, type Resource, removeAssemblies } from './assembly.ts';

const ROOT = join(import.meta.dirname, '../..');
/** That of the stage: a metric of another one would be a stranger's. */
const KERNEL = 'RevenueKernel/prod';
const app = freshApp('prod', (config) => ({
  ...config,
  alarms: { ...config.alarms, page: ['on-call@example.com'], ticket: ['team@example.com'] },
}));
app.synth();
afterAll(removeAssemblies);

const resources = new Map(['Data', 'Kernel'].flatMap((id) => Object.entries(templateOf(app, id))));
const ofType = (type: string) => [...resources].filter(([, { Type }]) => Type === type);
const alarms = ofType('AWS::CloudWatch::Alarm').map(([id, { Properties }]) => ({ id, ...Properties }));
const composites = ofType('AWS::CloudWatch::CompositeAlarm').map(([id, { Properties }]) => ({
  id,
  ...Properties,
}));
const everyAlarm = [...alarms, ...composites];
const named = everyAlarm.filter(({ AlarmName }) => AlarmName !== undefined);
const byName = (name: string) => named.find(({ AlarmName }) => AlarmName === `revenue-kernel-prod-${name}`);
const page = topicOf('Page');
const ticket = topicOf('Ticket');

interface Watched {
  Namespace: string;
  MetricName: string;
  Dimensions: { Name: string; Value: unknown }[];
  Statistic: string;
}

test('every alarm tells exactly one topic when it begins and when it ends', () => {
  expect(everyAlarm.length).toBeGreaterThan(100);
  for (const { AlarmActions, OKActions, ActionsEnabled } of everyAlarm) {
    expect([[{ Ref: page }], [{ Ref: ticket }]]).toContainEqual(AlarmActions);
    expect(OKActions).toEqual(AlarmActions);
    expect(ActionsEnabled).not.toBe(false);
  }
});

test('every alarm says what is wrong and where to read on, under a heading that exists and holds a text', () => {
  for (const { AlarmDescription } of everyAlarm) {
    const [, file, heading] =
      /^[A-Z].+\. Runbook: (docs\/[\w.]+)#([\w-]+)$/.exec(AlarmDescription) ??
      /^[A-Z].+\. See (docs\/[\w.]+), "(.+)"\.$/.exec(AlarmDescription) ??
      [];
    expect(sections(file ?? '').get(anchor(heading ?? '')), AlarmDescription).toMatch(/\w.{80}/s);
  }
});

test('every alarm says what missing data mean, and has a statistic and dimensions', () => {
  for (const { AlarmName, TreatMissingData, EvaluationPeriods, DatapointsToAlarm, ...alarm } of alarms) {
    expect(['breaching', 'notBreaching', 'ignore'], AlarmName).toContain(TreatMissingData);
    expect(EvaluationPeriods).toBeGreaterThanOrEqual(DatapointsToAlarm);
    for (const { Statistic, Dimensions, Namespace } of watchedBy(alarm)) {
      expect(Statistic, AlarmName).toMatch(/^(Sum|Maximum|p99)$/); // no average hides one that is bad
      const dimensions = Dimensions.map(({ Name }) => Name).filter(
        (name) => !['Stage', 'Resource'].includes(name),
      );
      expect(dimensions.sort(), AlarmName).toEqual(DIMENSIONS[Namespace]); // an API counts by its stage too, a function by its alias
    }
  }
});

const DIMENSIONS: Record<string, string[]> = {
  [KERNEL]: ['service'],
  'AWS/Lambda': ['FunctionName'],
  'AWS/SQS': ['QueueName'],
  'AWS/RDS': ['DBClusterIdentifier'],
  'AWS/ApiGateway': ['ApiId'],
};

test('what AWS itself emits is asked of resources of this stage, by the names that AWS gives', () => {
  const native: Record<string, string[]> = {
    'AWS/Lambda': ['Errors', 'Invocations', 'Throttles', 'Duration'],
    'AWS/SQS': ['ApproximateNumberOfMessagesVisible', 'ApproximateAgeOfOldestMessage'],
    'AWS/RDS': ['ACUUtilization', 'MaximumUsedTransactionIDs'],
    'AWS/ApiGateway': ['5xx', 'Count'],
  };
  for (const { id, ...alarm } of alarms.filter(({ AlarmName }) => AlarmName !== undefined)) {
    for (const { Namespace, MetricName, Dimensions } of watchedBy(alarm)) {
      if (Namespace === KERNEL) continue;
      expect(native[Namespace], id).toContain(MetricName);
      for (const { Value } of Dimensions)
        expect(resourceOf(Value)?.Type ?? Value, id).toMatch(
          /^AWS::(Lambda|SQS|RDS|ApiGatewayV2)::|^\$default$/,
        );
    }
  }
});

test('no alarm watches a metric that no function emits', () => {
  const patterns = emittedPatterns();
  for (const { MetricName, Dimensions } of alarms.flatMap(watchedBy).filter(ofKernel)) {
    expect([...FUNCTIONS, 'ledger']).toContain(Dimensions[0]?.Value);
    expect(
      patterns.some((pattern) => pattern.test(MetricName)),
      MetricName,
    ).toBe(true);
  }
});

test('every dead-letter queue pages', () => {
  const queues = ofType('AWS::SQS::Queue').filter(
    ([, { Properties }]) => Properties.MessageRetentionPeriod === 14 * 24 * 3_600,
  );
  const watched = alarms.flatMap((alarm) =>
    watchedBy(alarm)
      .filter(({ MetricName }) => MetricName === 'ApproximateNumberOfMessagesVisible')
      .map(({ Dimensions }) => [idOf(Dimensions[0]?.Value), alarm]),
  );
  expect(watched.map(([id]) => id).sort()).toEqual(queues.map(([id]) => id).sort());
  for (const [, alarm] of watched)
    expect(alarm).toMatchObject({ Threshold: 0, AlarmActions: [{ Ref: page }] });
});

test('every function has an alarm on its errors, on its throttles, and on a duration near its timeout', () => {
  const byFunction = (metric: string) =>
    new Map(
      alarms
        .filter(({ MetricName }) => MetricName === metric)
        .map((alarm) => [idOf(alarm.Dimensions[0].Value), alarm]),
    );
  const [errors, throttles, durations] = ['Errors', 'Throttles', 'Duration'].map(byFunction);
  for (const entry of FUNCTIONS) {
    const [id = '', { Properties } = { Properties: {} }] =
      ofType('AWS::Lambda::Function').find(
        ([, one]) => one.Properties.FunctionName === `revenue-kernel-prod-${entry}`,
      ) ?? [];
    expect(errors?.get(id), entry).toMatchObject({ Threshold: 0, TreatMissingData: 'notBreaching' });
    expect(throttles?.get(id), entry).toMatchObject({ Threshold: 0 });
    expect(durations?.get(id)?.Threshold, entry).toBeCloseTo(950 * Properties.Timeout, 6);
  }
});

test("every schedule's job has a heartbeat for which silence is the alarm, as often as its schedule", () => {
  const jobs = ofType('AWS::Scheduler::Schedule').filter(
    ([, { Properties }]) => !/catch_up/.test(Properties.Target.Input),
  );
  const seen = jobs.map(([, { Properties }]) => {
    const job = entryOf(idOf(Properties.Target.Arn));
    const { everyMinutes } = HEARTBEATS[job] ?? {};
    expect(everyMinutes, job).toBe(minutesOf(Properties.ScheduleExpression));
    const alarm = byName(`${job}-heartbeat`);
    expect(alarm, job).toMatchObject({ TreatMissingData: 'breaching' });
    const often = (everyMinutes ?? 0) <= 60;
    const [watched] = watchedBy(alarm);
    expect(watched?.MetricName).toBe(often ? `job_${job}_ok_total` : `job_${job}_missed`);
    // A window of more than a day is looked at once an hour only, so rare jobs are judged by the watchtower.
    expect(alarm.Period * alarm.EvaluationPeriods).toBeGreaterThanOrEqual(
      often ? 3 * 60 * (everyMinutes ?? 0) : 2_400,
    );
    expect(alarm.Period * alarm.EvaluationPeriods).toBeLessThan(24 * 3_600);
    if (!often) expect(byName(`${job}-failed`)?.MetricName).toBe(`job_${job}_failed_total`);
    return job;
  });
  expect(seen.sort()).toEqual(Object.keys(HEARTBEATS).sort());
});

test('failing ingest pages only when a long and a short window agree', () => {
  const windows = { fast: ['hour', 'now'], slow: ['six-hours', 'half-hour'] };
  const minutes: Record<string, number> = { hour: 60, now: 5, 'six-hours': 360, 'half-hour': 30 };
  for (const [pace, names] of Object.entries(windows)) {
    const composite = byName(`ingest-fails-${pace === 'fast' ? 'fast' : 'slowly'}`);
    expect(composite?.AlarmActions).toEqual([{ Ref: page }]);
    const rule = JSON.stringify(composite?.AlarmRule);
    expect(rule).toContain(' AND ');
    for (const name of names) {
      const alarm = byName(`ingest-fails-${name}`);
      expect(rule).toContain(alarm?.id);
      expect(alarm?.AlarmActions).toEqual([{ Ref: ticket }]);
      expect(alarm?.Threshold).toBeCloseTo(0.001 * (pace === 'fast' ? 14.4 : 6), 9);
      for (const { MetricStat } of alarm?.Metrics ?? [])
        if (MetricStat) expect(MetricStat.Period).toBe(60 * (minutes[name] ?? 0));
    }
  }
});

test('the rollback triggers have the thresholds of docs/rollout.md', () => {
  const expression = (name: string) =>
    byName(name)?.Metrics.find(({ Expression }: { Expression?: string }) => Expression)?.Expression;
  expect(expression('insufficient-funds')).toBe(
    'IF(refused >= 5 AND refused > 0.01 * asked AND 4 * refused > 2 * FILL(usual, REPEAT), 1, 0)',
  );
  expect(expression('signatures-refused')).toBe('IF(refused >= 5 AND refused > 0.01 * received, 1, 0)');
  expect(byName('balance-mismatches')?.Threshold).toBeCloseTo(0.1, 9);
  expect(byName('balance-mismatch-largest')?.Threshold).toBe(10_000);
  const periods = (name: string) =>
    byName(name)?.Metrics.flatMap(
      ({ MetricStat }: { MetricStat?: { Period: number } }) => MetricStat?.Period ?? [],
    );
  expect(new Set(periods('insufficient-funds'))).toEqual(new Set([15 * 60]));
  expect(new Set(periods('signatures-refused'))).toEqual(new Set([5 * 60]));
});

test('the topics are encrypted, refuse plain HTTP, and take notices of this account only', () => {
  const subscriptions = ofType('AWS::SNS::Subscription').map(([, { Properties }]) => [
    Properties.TopicArn.Ref,
    Properties.Protocol,
    Properties.Endpoint,
  ]);
  expect(subscriptions).toEqual([
    [page, 'email', 'on-call@example.com'],
    [ticket, 'email', 'team@example.com'],
  ]);
  for (const [id, { Properties }] of ofType('AWS::SNS::Topic')) {
    const key = resources.get(idOf(Properties.KmsMasterKeyId))?.Properties;
    expect(key?.EnableKeyRotation).toBe(true);
    expect(JSON.stringify(key?.KeyPolicy)).toContain('cloudwatch.amazonaws.com');
    const policy = ofType('AWS::SNS::TopicPolicy').find(
      ([, one]) => one.Properties.Topics[0].Ref === id,
    )?.[1];
    const statements = policy?.Properties.PolicyDocument.Statement as {
      Effect: string;
      Condition: object;
      Principal: { Service?: string };
    }[];
    const [deny, ...allow] = statements.toSorted((a, b) => (a.Effect < b.Effect ? 1 : -1));
    expect(deny).toMatchObject({ Effect: 'Deny', Condition: { Bool: { 'aws:SecureTransport': 'false' } } });
    expect(allow.map(({ Principal }) => Principal.Service).sort()).toEqual([
      'budgets.amazonaws.com',
      'cloudwatch.amazonaws.com',
    ]);
    for (const { Condition } of allow)
      expect(Condition).toMatchObject({ StringEquals: { 'aws:SourceAccount': { Ref: 'AWS::AccountId' } } });
  }
});

test('a budget of the account writes a ticket before the money is spent, and when it is', () => {
  const [[, budget] = ['', undefined]] = ofType('AWS::Budgets::Budget');
  expect(budget?.Properties.Budget.BudgetLimit).toEqual({ Amount: 1_000, Unit: 'USD' });
  const notices = budget?.Properties.NotificationsWithSubscribers;
  expect(notices.map((one: { Notification: object }) => one.Notification)).toMatchObject([
    { NotificationType: 'FORECASTED', Threshold: 80 },
    { NotificationType: 'ACTUAL', Threshold: 100 },
  ]);
  for (const { Subscribers } of notices)
    expect(Subscribers).toEqual([{ SubscriptionType: 'SNS', Address: { Ref: ticket } }]);
  expect(ALARMS.monthlyBudgetUsd).toBeUndefined(); // each stage names its own
});

test('the table of docs/operations.md lists every alarm once, with its severity and its heading, and no other', () => {
  const rows = [
    ...readFileSync(join(ROOT, 'docs/operations.md'), 'utf8').matchAll(
      /^\| (`.+`) \| (page|ticket|page or ticket) \| .+ \| (.+) \|$/gm,
    ),
  ].map(([, names = '', severity, heading = '']) => ({
    names: [...names.matchAll(/`(.+?)`/g)].map(([, name]) => name as string),
    severities: severity?.split(' or '),
    anchor: /#([\w-]+)\)/.exec(heading)?.[1],
  }));
  const listed = rows.flatMap(({ names, ...row }) => names.map((name) => ({ name, ...row })));
  const used = new Set<string>();
  for (const { AlarmName, AlarmActions, AlarmDescription } of named) {
    const name = AlarmName.replace('revenue-kernel-prod-', '');
    const exact = listed.filter((row) => row.name === name);
    const fitting =
      exact.length > 0
        ? exact
        : listed.filter((row) => row.name.startsWith('*') && name.endsWith(row.name.slice(1)));
    expect(
      fitting.map((row) => row.name),
      name,
    ).toHaveLength(1);
    const [row] = fitting;
    used.add(row?.name ?? '');
    expect(row?.severities, name).toContain(AlarmActions[0].Ref === page ? 'page' : 'ticket');
    expect(AlarmDescription.split('#')[1], name).toBe(row?.anchor ?? name.replace(/-\w+$/, ''));
  }
  expect([...used].sort()).toEqual(listed.map(({ name }) => name).sort());
});

test('the dashboard asks first whether the money is right', () => {
  const [[, dashboard] = ['', undefined]] = ofType('AWS::CloudWatch::Dashboard');
  const body = JSON.stringify(dashboard?.Properties.DashboardBody);
  const at = (text: string) => body.indexOf(text);
  expect(at('Is the money right?')).toBeGreaterThan(0);
  expect(at('Is the money right?')).toBeLessThan(at('money_drift'));
  expect(at('unfrozen_months')).toBeLessThan(at('Are events taken'));
});

test('a release stops when events are no longer taken', () => {
  const failing = alarms.find(({ AlarmName }) => AlarmName === 'revenue-kernel-prod-ingest-fails-now')?.id;
  const groups = ofType('AWS::CodeDeploy::DeploymentGroup');
  expect(groups.length).toBeGreaterThan(0);
  for (const [, { Properties }] of groups)
    expect(JSON.stringify(Properties.AlarmConfiguration)).toContain(failing);
});

function templateOf(from: App, id: string): Record<string, Resource> {
  return Template.fromStack(from.node.findChild(id) as Stack).toJSON().Resources;
}

function topicOf(part: string): string {
  return (
    [...resources.keys()].find(
      (id) => id.startsWith(`AlarmsNotices${part}`) && resources.get(id)?.Type === 'AWS::SNS::Topic',
    ) ?? ''
  );
}

/** The metrics of an alarm, whether it watches one or reckons with several. */
// biome-ignore lint/suspicious/noExplicitAny: the properties of a template have no type
function watchedBy(alarm: any): Watched[] {
  if (alarm.MetricName !== undefined)
    return [{ ...alarm, Statistic: alarm.Statistic ?? alarm.ExtendedStatistic }];
  return (alarm.Metrics ?? [])
    .filter((one: { MetricStat?: object }) => one.MetricStat)
    .map(({ MetricStat: { Metric, Stat } }: { MetricStat: { Metric: object; Stat: string } }) => ({
      ...Metric,
      Statistic: Stat,
    }));
}

function ofKernel({ Namespace }: Watched): boolean {
  return Namespace === KERNEL;
}

/** The logical id that a value names, in this stack or imported from the other. */
function idOf(value: unknown): string {
  const written = JSON.stringify(value) ?? '';
  const imported = /ExportsOutput(?:Ref|FnGetAtt)(\w+?)(?:QueueName|Arn)?[0-9A-F]{8}"/.exec(written)?.[1];
  return imported ?? /"(?:Ref|Fn::GetAtt)":\[?"(\w+)"/.exec(written)?.[1] ?? '';
}

function resourceOf(value: unknown): Resource | undefined {
  return resources.get(idOf(value));
}

function entryOf(id: string): FunctionName {
  return resources.get(id)?.Properties.FunctionName.replace('revenue-kernel-prod-', '');
}

function minutesOf(expression: string): number {
  const [, count, unit] = /^rate\((\d+) (minute|hour)s?\)$/.exec(expression) ?? [];
  if (count) return Number(count) * (unit === 'hour' ? 60 : 1);
  return (/^cron\(\d+ \d+ 1 /.test(expression) ? 31 : 1) * 24 * 60;
}

/** The names that functions/ give to metrics; what is filled in while they run may be anything of a name. */
function emittedPatterns(): RegExp[] {
  const folder = join(ROOT, 'functions');
  const source = readdirSync(folder)
    .map((file) => readFileSync(join(folder, file), 'utf8'))
    .join('\n');
  const named = [...source.matchAll(/addMetric\(\s*(?:'([^']+)'|`([^`]+)`)/g)];
  return named.map(
    ([, plain, filled]) => new RegExp(`^${plain ?? filled?.replace(/\$\{.+?\}/g, '[a-z_0-9]+')}$`),
  );
}

function anchor(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\w\- ]/g, '')
    .replaceAll(' ', '-');
}

/** The texts of a document by the anchors of their headings. */
function sections(file: string): Map<string, string> {
  const [, ...parts] = readFileSync(join(ROOT, file), 'utf8').split(/^##+ /m);
  return new Map(
    parts.map((part) => {
      const [title = '', ...rest] = part.split('\n');
      return [anchor(title), rest.join('\n').trim()];
    }),
  );
}
