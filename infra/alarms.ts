// Every alarm of a stage: what AWS says of functions, queues, API and ledger, and what the functions say of the business.
import { Duration, type Stack } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import { Alarms } from './alarm.ts';
import { HEARTBEATS } from './alarm-settings.ts';
import { watchBusiness, watchIngest, watchLedgerFailures, watchRollback } from './business-alarms.ts';
import type { FunctionName, KernelConfig } from './config.ts';
import { createDashboard } from './dashboard.ts';
import type { DataStack } from './data-stack.ts';
import { type AnyFunction, KernelFunction } from './function.ts';
import type { HttpApi } from './http-api.ts';
import { DeadLetterQueue, WorkQueue } from './queues.ts';
import type { Releases } from './releases.ts';

const { BREACHING, NOT_BREACHING } = cloudwatch.TreatMissingData;
const FIVE_MINUTES = { period: Duration.minutes(5) };
/** Called so often that one slow minute in a quarter of an hour is no news. */
const BUSY: readonly FunctionName[] = ['ingest', 'deliver', 'api', 'money', 'webhook', 'process', 'sweep'];
/** A longer silence than this is judged by the watchtower: CloudWatch looks back a day at most at this pace. */
const AWAITED_MINUTES_MAX = 60;
const TRANSACTION_IDS_MAX = 1_000_000_000;

export interface AlarmParts {
  readonly data: DataStack;
  readonly http: HttpApi;
  readonly releases: Releases;
}

/** After everything else, for it finds what there is to watch: no function and no queue is left out. */
export function createAlarms(stack: Stack, config: KernelConfig, parts: AlarmParts): Alarms {
  const alarms = new Alarms(stack, 'Alarms', config);
  const all = [...stack.node.findAll(), ...parts.data.node.findAll()];
  const functions = all.filter((one): one is AnyFunction => one instanceof KernelFunction);
  const deadLetters = all.filter((one) => one instanceof DeadLetterQueue);
  const queues = all.filter((one) => one instanceof WorkQueue);
  const ingest = functions.find(({ entry }) => entry === 'ingest');
  if (ingest === undefined) throw new Error('There is no function to watch that takes events.');

  const failing = watchIngest(alarms, ingest);
  watchBusiness(alarms);
  watchRollback(alarms);
  watchLedgerFailures(alarms);
  watchJobs(alarms);
  for (const one of functions) watchFunction(alarms, one);
  for (const queue of deadLetters) watchDeadLetters(alarms, queue);
  for (const queue of queues) watchQueue(alarms, queue);
  watchApi(alarms, parts.http);
  watchCluster(alarms, parts.data);
  // Those of a release are somebody's to read as well, and events that fail while one is under way are most likely its
  // doing. Of the shortest window: a release asks for the states of alarms on metrics only, and does not wait an hour.
  for (const alarm of parts.releases.alarms) alarms.tell(alarm, 'ticket');
  parts.releases.stopOn(failing);
  createDashboard(alarms, parts, functions);
  return alarms;
}

/** The dead man's switch of each job: silence is the alarm. */
function watchJobs(alarms: Alarms): void {
  for (const [job, { everyMinutes, severity }] of Object.entries(HEARTBEATS)) {
    const often = everyMinutes <= AWAITED_MINUTES_MAX;
    const id = `${job.charAt(0).toUpperCase()}${job.slice(1)}`;
    const common = { severity, heading: job, missing: BREACHING };
    if (often) {
      const minutes = Math.max(5, everyMinutes);
      const metric = { service: job, name: `job_${job}_ok_total`, statistic: 'Sum' as const, minutes };
      alarms.add(`${id}Heartbeat`, {
        ...common,
        says: `The job ${job} has not ended well for ${3 * minutes} minutes.`,
        ...{ metric: alarms.metric(metric), below: 1, of: [3, 3] },
      });
      continue;
    }
    const missed = { service: 'watchtower', name: `job_${job}_missed`, statistic: 'Maximum' as const };
    alarms.add(`${id}Heartbeat`, {
      ...common,
      says: `The job ${job} has not ended well for two of its intervals, or the watchtower is silent.`,
      ...{ metric: alarms.metric({ ...missed, minutes: 20 }), above: 0, of: [2, 2] },
    });
    const failed = { service: job, name: `job_${job}_failed_total`, statistic: 'Sum' as const, minutes: 5 };
    alarms.add(`${id}Failed`, {
      ...{ severity, heading: job, missing: NOT_BREACHING },
      says: `A run of the job ${job} failed; the next one is a day or more away.`,
      ...{ metric: alarms.metric(failed), above: 0, of: [1, 3] },
    });
  }
}

function watchFunction(alarms: Alarms, { lambda, entry, node }: AnyFunction): void {
  const ticket = { severity: 'ticket', heading: 'A function fails', missing: NOT_BREACHING } as const;
  const timeout_ms = lambda.timeout?.toMilliseconds() ?? 0;
  const { durationShare } = alarms.config.alarms;
  alarms.add(`${node.id}Errors`, {
    ...ticket,
    says: `The function ${entry} crashed or ran out of time.`,
    ...{ metric: lambda.metricErrors({ ...FIVE_MINUTES, statistic: 'Sum' }), above: 0, of: [1, 3] },
  });
  alarms.add(`${node.id}Throttles`, {
    ...ticket,
    says: `The function ${entry} was called more often at once than it may be.`,
    ...{ metric: lambda.metricThrottles({ ...FIVE_MINUTES, statistic: 'Sum' }), above: 0, of: [1, 3] },
  });
  alarms.add(`${node.id}Duration`, {
    ...ticket,
    says: `The function ${entry} takes more than ${durationShare * 100} % of the time that it may take.`,
    metric: lambda.metricDuration({ ...FIVE_MINUTES, statistic: 'p99' }),
    ...{ above: durationShare * timeout_ms, of: BUSY.includes(entry) ? [2, 3] : [1, 3] },
  });
}

/** A queue is called by where it stands, which is unique over both stacks. */
function nameOf({ node }: DeadLetterQueue | WorkQueue): string {
  return node.path.split('/').slice(1).join('');
}

function watchDeadLetters(alarms: Alarms, queue: DeadLetterQueue): void {
  const name = nameOf(queue).replace(/(DeadLetters)?$/, 'DeadLetters');
  alarms.add(name, {
    ...{ severity: 'page', heading: 'Dead letters', missing: NOT_BREACHING },
    says: 'What nobody could handle lies in a dead-letter queue.',
    metric: queue.metricApproximateNumberOfMessagesVisible({ ...FIVE_MINUTES, statistic: 'Maximum' }),
    ...{ above: 0, of: [2, 3] },
  });
}

function watchQueue(alarms: Alarms, one: WorkQueue): void {
  const name = nameOf(one);
  alarms.add(`${name}Age`, {
    ...{ severity: 'ticket', heading: 'A queue grows old', missing: NOT_BREACHING },
    says: `Messages of the queue ${name} are not taken.`,
    metric: one.queue.metricApproximateAgeOfOldestMessage({ ...FIVE_MINUTES, statistic: 'Maximum' }),
    ...{ above: alarms.config.alarms.queueAgeSeconds, of: [2, 3] },
  });
}

function watchApi(alarms: Alarms, { stage }: HttpApi): void {
  const { serverErrorPercent, ingest } = alarms.config.alarms;
  alarms.add('ApiServerErrors', {
    ...{ severity: 'page', heading: 'The API fails', missing: NOT_BREACHING },
    says: `More than ${serverErrorPercent} % of all calls are answered 5xx.`,
    metric: new cloudwatch.MathExpression({
      ...FIVE_MINUTES,
      label: 'percent',
      expression: `IF(failed >= ${ingest.failuresMin}, 100 * failed / calls, 0)`,
      usingMetrics: {
        failed: stage.metricServerError({ ...FIVE_MINUTES, statistic: 'Sum' }),
        calls: stage.metricCount({ ...FIVE_MINUTES, statistic: 'Sum' }),
      },
    }),
    ...{ above: serverErrorPercent, of: [2, 3] },
  });
}

function watchCluster(alarms: Alarms, { ledger: { cluster } }: DataStack): void {
  const { capacityPercent } = alarms.config.alarms;
  const heading = 'The ledger is short of capacity';
  // A cluster that sleeps says nothing.
  alarms.add('LedgerCapacity', {
    ...{ severity: 'page', heading, missing: NOT_BREACHING },
    says: `The ledger uses more than ${capacityPercent} % of the capacity that it may have.`,
    metric: cluster.metricACUUtilization({ ...FIVE_MINUTES, statistic: 'Maximum' }),
    ...{ above: capacityPercent, of: [2, 3] },
  });
  alarms.add('LedgerTransactionIds', {
    ...{ severity: 'ticket', heading, missing: NOT_BREACHING },
    says: 'The ledger has not been vacuumed for too many transactions.',
    metric: cluster.metric('MaximumUsedTransactionIDs', { period: Duration.hours(1), statistic: 'Maximum' }),
    ...{ above: TRANSACTION_IDS_MAX, of: [2, 3] },
  });
}
