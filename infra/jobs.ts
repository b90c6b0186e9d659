// The jobs: functions that run on a schedule, and for people by the cron secret at a path of the HTTP API.
import { Duration, Stack } from 'aws-cdk-lib';
import { ScheduleExpression } from 'aws-cdk-lib/aws-scheduler';
import type { IQueue } from 'aws-cdk-lib/aws-sqs';
import type { Construct } from 'constructs';
import type {
  AssureEnvironment,
  BackfillEnvironment,
  CleanupEnvironment,
  FreezeEnvironment,
  MatchEnvironment,
  ProcessEnvironment,
  ReconcileEnvironment,
  RecoverEnvironment,
  SweepEnvironment,
  WatchtowerEnvironment,
} from '../shared/config.ts';
import type { FunctionName, KernelConfig } from './config.ts';
import type { DataStack } from './data-stack.ts';
import { type AnyFunction, KernelFunction, type OwnEnvironment } from './function.ts';
import type { HttpApi } from './http-api.ts';
import type { TokenSource } from './identity.ts';
import type { LoginRole } from './ledger.ts';
import { feedPaymentJobs } from './payments.ts';
import { DeadLetterQueue } from './queues.ts';
import { Schedules } from './schedules.ts';

/** What the jobs share: what failed waits in one dead-letter queue. */
interface JobParts {
  readonly scope: Construct;
  readonly config: KernelConfig;
  readonly data: DataStack;
  readonly tokens: TokenSource;
  readonly failed: IQueue;
}

/** Makes every job with its schedule and its paths, and returns them all. */
export function createJobs(
  scope: Construct,
  { http, ...given }: Omit<JobParts, 'scope' | 'failed'> & { readonly http: HttpApi },
): AnyFunction[] {
  const { config, data } = given;
  const failed = new DeadLetterQueue(scope, 'FailedInvocations').acknowledge();
  const schedules = new Schedules(scope, 'Schedules', config);
  const parts: JobParts = { ...given, scope, failed };
  const recover = createRecover(parts);
  const reconcile = createReconcile(parts);
  const freeze = createFreeze(parts);
  const cleanup = createCleanup(parts);
  const sweep = createSweep(parts);
  const assure = createTokenJob<AssureEnvironment>(parts, 'Assure', {
    entry: 'assure',
    description: 'Reconciles every wallet with its entries and looks for what must agree with the ledger',
  });
  const backfill = createTokenJob<BackfillEnvironment>(parts, 'Backfill', {
    entry: 'backfill',
    description: 'Applies events of payment providers that were missed',
  });
  const processor = createProcess(parts, http.url);
  const match = createMatch(parts);
  feedPaymentJobs(data, processor, match);
  const watchtower = createWatchtower(parts, http.url, {
    delivery: data.delivery.deadLetters,
    export: data.exportQueue.deadLetters,
    payments: data.payments.events.deadLetters,
    runs: data.payments.runs.deadLetters,
    'failed-invocations': failed,
    schedules: schedules.deadLetters,
  });

  schedules.run('Recover', recover, ScheduleExpression.rate(Duration.minutes(5)));
  schedules.run('Reconcile', reconcile, ScheduleExpression.rate(Duration.minutes(15)));
  schedules.run('Freeze', freeze, ScheduleExpression.expression('cron(0 0 1 * ? *)'));
  schedules.run('Cleanup', cleanup, ScheduleExpression.expression('cron(0 3 * * ? *)'));
  schedules.run('Sweep', sweep, ScheduleExpression.rate(Duration.minutes(1)));
  schedules.run('Assure', assure, ScheduleExpression.expression('cron(0 2 * * ? *)'));
  schedules.run('Backfill', backfill, ScheduleExpression.rate(Duration.minutes(5)));
  schedules.run('Process', processor, ScheduleExpression.rate(Duration.minutes(1)));
  schedules.run('Match', match, ScheduleExpression.expression('cron(0 4 * * ? *)'));
  schedules.run('CatchUp', match, ScheduleExpression.rate(Duration.minutes(15)), { catch_up: true });
  schedules.run('Watchtower', watchtower, ScheduleExpression.rate(Duration.minutes(15)));

  http.route('Recover', recover, byCronSecret('recover'));
  http.route(
    'Reconcile',
    reconcile,
    ...['', '/enqueue', '/run', '/backfill'].map((path) => byCronSecret(`reconcile-usage${path}`)),
  );
  http.route('Freeze', freeze, byCronSecret('invoice-freeze'));
  http.route('Cleanup', cleanup, byCronSecret('idempotency-cleanup'));
  http.route('Watchtower', watchtower, byCronSecret('watchtower'));
  http.route('Sweep', sweep, byCronSecret('money-sweep'));
  http.route('Process', processor, byCronSecret('payments-process'));
  http.route('Match', match, byCronSecret('payments-match'), byCronSecret('payments-match/catch-up'));
  http.route('Assure', assure, byServiceToken('reconcile'));
  http.route(
    'Backfill',
    backfill,
    ...['backfill', 'backfill-wallets', 'provider-events'].map(byServiceToken),
  );
  return [recover, reconcile, freeze, cleanup, sweep, assure, backfill, processor, match, watchtower];
}

function byCronSecret(path: string) {
  return {
    key: `ANY /api/cron/${path}` as const,
    authenticatedBy: 'The function compares the cron secret in constant time.',
  };
}

function byServiceToken(path: string) {
  return {
    key: `ANY /api/jobs/${path}` as const,
    authenticatedBy: 'The function verifies the JWT itself and asks for the group of a service.',
  };
}

interface JobProps<E> {
  readonly entry: FunctionName;
  readonly description: string;
  readonly role: LoginRole;
  readonly environment: OwnEnvironment<E>;
}

function createJob<E extends RecoverEnvironment>(
  { scope, config, data, failed }: JobParts,
  id: string,
  { role, ...props }: JobProps<E>,
): KernelFunction<E> {
  const job = new KernelFunction<E>(scope, id, {
    ...props,
    config,
    database: data.ledger.as(role),
    deadLetters: failed,
  });
  job.allow(['secretsmanager:GetSecretValue'], data.cronSecret.secretArn);
  return job;
}

/** A job that a service starts by its token: it needs no secret but that of its database role. */
function createTokenJob<E extends AssureEnvironment>(
  { scope, config, data, tokens, failed }: JobParts,
  id: string,
  props: Pick<JobProps<E>, 'entry' | 'description'>,
) {
  return new KernelFunction<AssureEnvironment>(scope, id, {
    ...props,
    config,
    database: data.ledger.as('kernel_jobs'),
    deadLetters: failed,
    environment: tokens,
  });
}

function createSweep(parts: JobParts) {
  return createJob<SweepEnvironment>(parts, 'Sweep', {
    entry: 'sweep',
    description: 'Releases holds and promotional credits that have expired and folds busy accounts',
    role: 'kernel_jobs',
    environment: { CRON_SECRET_ARN: parts.data.cronSecret.secretArn },
  });
}

function createProcess(parts: JobParts, apiUrl: string) {
  const { payments, cronSecret } = parts.data;
  const processor = createJob<ProcessEnvironment>(parts, 'Process', {
    entry: 'process',
    description: 'Applies what payment providers said, and asks again about payouts without an answer',
    role: 'kernel_jobs',
    environment: {
      CRON_SECRET_ARN: cronSecret.secretArn,
      PROVIDER_SECRET_ARNS: payments.secretArns(Stack.of(parts.scope)),
      API_URL: apiUrl,
    },
  });
  payments.letRead(processor, 'mockpsp', 'stripe');
  return processor;
}

function createMatch(parts: JobParts) {
  const { payments, cronSecret } = parts.data;
  const match = createJob<MatchEnvironment>(parts, 'Match', {
    entry: 'match',
    description: 'Reconciles payment providers with the ledger, and fetches what webhooks did not bring',
    role: 'kernel_jobs',
    environment: {
      CRON_SECRET_ARN: cronSecret.secretArn,
      PROVIDER_SECRET_ARNS: payments.secretArns(Stack.of(parts.scope)),
      PAYMENT_QUEUE_URL: payments.events.queue.queueUrl,
    },
  });
  payments.letRead(match, 'stripe');
  match.allow(['sqs:SendMessage'], payments.events.queue.queueArn);
  return match;
}

function createRecover(parts: JobParts) {
  return createJob<RecoverEnvironment>(parts, 'Recover', {
    entry: 'recover',
    description: 'Moves what the queue lost or a delivery left behind',
    role: 'kernel_deliver',
    environment: { CRON_SECRET_ARN: parts.data.cronSecret.secretArn },
  });
}

function createReconcile(parts: JobParts) {
  const { cronSecret, usage } = parts.data;
  const reconcile = createJob<ReconcileEnvironment>(parts, 'Reconcile', {
    entry: 'reconcile',
    description: 'Brings usage rows and counters back to the ledger and names what was not delivered',
    role: 'kernel_jobs',
    environment: { CRON_SECRET_ARN: cronSecret.secretArn, USAGE_TABLE: usage.tableName },
  });
  reconcile.allow(['dynamodb:GetItem', 'dynamodb:UpdateItem'], usage.tableArn);
  return reconcile;
}

function createFreeze(parts: JobParts) {
  return createJob<FreezeEnvironment>(parts, 'Freeze', {
    entry: 'freeze',
    description: 'Freezes the invoices of the month that has ended',
    role: 'kernel_jobs',
    environment: { CRON_SECRET_ARN: parts.data.cronSecret.secretArn },
  });
}

function createCleanup(parts: JobParts) {
  const { cronSecret, evidence } = parts.data;
  const { disputeWindowDays, eventsDays, personalDataDays } = parts.config.retention;
  const cleanup = createJob<CleanupEnvironment>(parts, 'Cleanup', {
    entry: 'cleanup',
    description: 'Archives frozen months and removes what the ledger need not keep',
    role: 'kernel_jobs',
    environment: {
      CRON_SECRET_ARN: cronSecret.secretArn,
      EVIDENCE_BUCKET: evidence.bucketName,
      DISPUTE_WINDOW_DAYS: String(disputeWindowDays),
      EVENTS_RETENTION_DAYS: String(eventsDays),
      PERSONAL_DATA_DAYS: String(personalDataDays),
    },
  });
  // The retention is the bucket's default: the function need not, and cannot, choose another.
  cleanup.allowObjects('Archives', evidence, 's3:GetObject', 's3:PutObject', 's3:AbortMultipartUpload');
  return cleanup;
}

function createWatchtower(parts: JobParts, apiUrl: string, deadLetters: Readonly<Record<string, IQueue>>) {
  const { cronSecret, usage } = parts.data;
  const urls = Object.entries(deadLetters).map(([name, { queueUrl }]) => [name, queueUrl]);
  const watchtower = createJob<WatchtowerEnvironment>(parts, 'Watchtower', {
    entry: 'watchtower',
    description: 'Looks whether every part works and nothing waits where it should not',
    role: 'kernel_jobs',
    environment: {
      CRON_SECRET_ARN: cronSecret.secretArn,
      API_URL: apiUrl,
      USAGE_TABLE: usage.tableName,
      DEAD_LETTER_QUEUE_URLS: Stack.of(parts.scope).toJsonString(Object.fromEntries(urls)),
    },
  });
  watchtower.allow(['dynamodb:Scan'], usage.tableArn);
  watchtower.allow(['sqs:GetQueueAttributes'], ...Object.values(deadLetters).map(({ queueArn }) => queueArn));
  return watchtower;
}
