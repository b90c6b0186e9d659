// What every deployment replaces: the functions, and what calls them.
import { CfnOutput, Duration, Stack, type StackProps } from 'aws-cdk-lib';
import { SqsEventSource } from 'aws-cdk-lib/aws-lambda-event-sources';
import { ScheduleExpression } from 'aws-cdk-lib/aws-scheduler';
import type { IQueue } from 'aws-cdk-lib/aws-sqs';
import type { Construct } from 'constructs';
import type {
  ApiEnvironment,
  DeliverEnvironment,
  FreezeEnvironment,
  IngestEnvironment,
  ReconcileEnvironment,
  RecoverEnvironment,
} from '../shared/config.ts';
import type { FunctionName, KernelConfig } from './config.ts';
import type { DataStack } from './data-stack.ts';
import { KernelFunction, type OwnEnvironment } from './function.ts';
import { HttpApi } from './http-api.ts';
import type { LoginRole } from './ledger.ts';
import { Migrations } from './migrations.ts';
import { DeadLetterQueue } from './queues.ts';
import { Schedules } from './schedules.ts';

export interface KernelStackProps extends StackProps {
  readonly config: KernelConfig;
  readonly data: DataStack;
}

export class KernelStack extends Stack {
  constructor(scope: Construct, id: string, { config, data, ...props }: KernelStackProps) {
    super(scope, id, props);
    const ingest = createIngest(this, config, data);
    const deliver = createDeliver(this, config, data);
    const deadLetters = new DeadLetterQueue(this, 'FailedInvocations').acknowledge();
    const jobs: JobParts = { scope: this, config, data, deadLetters };
    const recover = createRecover(jobs);
    const reconcile = createReconcile(jobs);
    const freeze = createFreeze(jobs);
    const api = createApi(this, config, data);

    new Migrations(this, 'Migrations', config, data.ledger).before(
      ingest,
      deliver,
      recover,
      reconcile,
      freeze,
      api,
    );
    const schedules = new Schedules(this, 'Schedules', config);
    schedules.run('Recover', recover, ScheduleExpression.rate(Duration.minutes(5)));
    schedules.run('Reconcile', reconcile, ScheduleExpression.rate(Duration.minutes(15)));
    schedules.run('Freeze', freeze, ScheduleExpression.expression('cron(0 0 1 * ? *)'));

    const http = new HttpApi(this, 'Http', config);
    http.route('Ingest', ingest, {
      key: 'ANY /api/sync',
      authenticatedBy:
        'The function admits an event by the origin that its site registered, or by an API key.',
    });
    http.route('Recover', recover, {
      key: 'ANY /api/cron/recover',
      authenticatedBy: 'The function compares the cron secret in constant time.',
    });
    http.route(
      'Reconcile',
      reconcile,
      ...(['', '/enqueue', '/run', '/backfill'] as const).map((path) => ({
        key: `ANY /api/cron/reconcile-usage${path}` as const,
        authenticatedBy: 'The function compares the cron secret in constant time.',
      })),
    );
    http.route('Freeze', freeze, {
      key: 'ANY /api/cron/invoice-freeze',
      authenticatedBy: 'The function compares the cron secret in constant time.',
    });
    http.route(
      'Api',
      api,
      { key: 'GET /api/health', authenticatedBy: 'Health is public and tells nothing but "healthy".' },
      {
        key: 'GET /api/sites/{proxy+}',
        authenticatedBy:
          'The function verifies the JWT, and row-level security shows its user own sites only.',
      },
      {
        key: 'ANY /api/admin/{proxy+}',
        authenticatedBy:
          'The function verifies the JWT itself and then asks the ledger for the rights of its user.',
      },
    );
    new CfnOutput(this, 'ApiUrl', { value: http.url });
  }
}

function createIngest(scope: Construct, config: KernelConfig, data: DataStack) {
  const ingest = new KernelFunction<IngestEnvironment>(scope, 'Ingest', {
    config,
    entry: 'ingest',
    description: 'Takes events: ledger, quota and outbox in one commit',
    database: data.ledger.as('kernel_ingest'),
    environment: {
      DELIVERY_QUEUE_URL: data.delivery.queue.queueUrl,
      USAGE_TABLE: data.usage.tableName,
      RATE_LIMIT_TABLE: data.rateLimit.tableName,
    },
  });
  ingest.allow(['sqs:SendMessage'], data.delivery.queue.queueArn);
  ingest.allow(['dynamodb:UpdateItem'], data.usage.tableArn, data.rateLimit.tableArn);
  return ingest;
}

function createDeliver(scope: Construct, config: KernelConfig, data: DataStack) {
  const deliver = new KernelFunction<DeliverEnvironment>(scope, 'Deliver', {
    config,
    entry: 'deliver',
    description: 'Moves the batches that the queue names from the outbox to the events',
    database: data.ledger.as('kernel_deliver'),
    environment: {},
  });
  deliver.lambda.addEventSource(
    new SqsEventSource(data.delivery.queue, {
      batchSize: 10,
      maxConcurrency: config.deliverConcurrency,
      reportBatchItemFailures: true,
    }),
  );
  return deliver;
}

/** What the jobs share: they run on a schedule or by the cron secret, and what failed waits in one dead-letter queue. */
interface JobParts {
  readonly scope: Construct;
  readonly config: KernelConfig;
  readonly data: DataStack;
  readonly deadLetters: IQueue;
}

interface JobProps<E> {
  readonly entry: FunctionName;
  readonly description: string;
  readonly role: LoginRole;
  readonly environment: OwnEnvironment<E>;
}

function createJob<E extends RecoverEnvironment>(
  { scope, config, data, deadLetters }: JobParts,
  id: string,
  { role, ...props }: JobProps<E>,
): KernelFunction<E> {
  const job = new KernelFunction<E>(scope, id, {
    ...props,
    config,
    database: data.ledger.as(role),
    deadLetters,
  });
  job.allow(['secretsmanager:GetSecretValue'], data.cronSecret.secretArn);
  return job;
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

function createApi(scope: Construct, config: KernelConfig, data: DataStack) {
  const api = new KernelFunction<ApiEnvironment>(scope, 'Api', {
    config,
    entry: 'api',
    description: 'Health and administration',
    database: data.ledger.as('kernel_api'),
    environment: {
      USAGE_TABLE: data.usage.tableName,
      TOKEN_ISSUER: data.identity.userPool.userPoolProviderUrl,
      TOKEN_CLIENT_ID: data.identity.client.userPoolClientId,
    },
  });
  api.allow(['dynamodb:GetItem'], data.usage.tableArn);
  return api;
}
