// What every deployment replaces: the functions, and what calls them.
import { CfnOutput, Stack, type StackProps } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import type {
  ApiEnvironment,
  DeliverEnvironment,
  ExportEnvironment,
  IngestEnvironment,
  MoneyEnvironment,
} from '../shared/config.ts';
import { createAlarms } from './alarms.ts';
import type { KernelConfig } from './config.ts';
import { WebConsole } from './console.ts';
import type { DataStack } from './data-stack.ts';
import { Edge } from './edge.ts';
import { tellFirstCommands } from './first-commands.ts';
import { KernelFunction } from './function.ts';
import { HttpApi, type Route } from './http-api.ts';
import type { TokenSource } from './identity.ts';
import { createJobs } from './jobs.ts';
import { Migrations } from './migrations.ts';
import { createWebhook } from './payments.ts';
import { Releases } from './releases.ts';

/** Exports that are built at once: each holds one database connection, for up to a quarter of an hour. */
const EXPORT_CONCURRENCY = 2; // the least that Lambda takes

const BY_TOKEN = 'The function verifies the JWT itself and then asks the ledger for the rights of its user.';
const API_ROUTES: readonly Route[] = [
  { key: 'GET /api/health', authenticatedBy: 'Health is public and tells nothing but "healthy".' },
  { key: 'GET /openapi.json', authenticatedBy: 'The description of the API is public and holds no data.' },
  {
    key: 'GET /api/metrics',
    authenticatedBy: 'The function asks for the cron secret, or for the JWT of a platform admin.',
  },
  { key: 'GET /api/sites', authenticatedBy: BY_TOKEN },
  { key: 'ANY /api/sites/{proxy+}', authenticatedBy: BY_TOKEN },
  { key: 'GET /api/billing/{proxy+}', authenticatedBy: BY_TOKEN },
  { key: 'ANY /api/admin/{proxy+}', authenticatedBy: BY_TOKEN },
];

const MONEY_ROUTES: readonly Route[] = [
  {
    key: 'ANY /api/v1/player/{proxy+}',
    authenticatedBy: 'The function verifies the JWT itself; a player acts with the rows of its subject only.',
  },
  ...(['finance', 'finance-actions', 'admin', 'payments', 'reconciliation'] as const).map((part) => ({
    key: `ANY /api/v1/${part}/{proxy+}` as const,
    authenticatedBy:
      'The function verifies the JWT itself and works with the tenant of its finance group only.',
  })),
];

const WEBHOOK_ROUTES: readonly Route[] = [
  'POST /api/v1/payments/webhook/{provider}' as const,
  'POST /api/v1/finance/withdrawals/payout/webhook' as const,
].map((key) => ({
  key,
  authenticatedBy: "The function verifies the provider's signature over the raw body, in constant time.",
}));

export interface KernelStackProps extends StackProps {
  readonly config: KernelConfig;
  readonly data: DataStack;
  /** Of the firewall before the edge, in a stage that has one. */
  readonly webAclArn?: string;
}

export class KernelStack extends Stack {
  readonly releases: Releases;

  constructor(scope: Construct, id: string, { config, data, webAclArn, ...props }: KernelStackProps) {
    super(scope, id, props);
    // Before the functions, because one of them is told its address.
    const http = new HttpApi(this, 'Http', config);
    const { originSecret } = data;
    let edge: Edge | undefined;
    if (config.edge && webAclArn && originSecret) {
      const parts = { config, edge: config.edge, webAclArn, originSecret, originName: http.originName };
      edge = new Edge(this, 'Edge', parts);
      http.behind(edge.url, originSecret);
    }
    const { identity } = data;
    const { originName } = http;
    const browser =
      config.console === false
        ? undefined
        : new WebConsole(this, 'Console', { config, identity, originName, edge });
    const tokens: TokenSource = {
      TOKEN_ISSUER: identity.userPool.userPoolProviderUrl,
      TOKEN_CLIENT_ID: (browser ?? identity).client.userPoolClientId,
    };
    const ingest = createIngest(this, config, data);
    const deliver = createDeliver(this, config, data);
    const exporter = createExport(this, config, data);
    const api = createApi(this, config, data, tokens);
    const money = createMoney(this, config, data, tokens);
    const webhook = createWebhook(this, config, data);
    const jobs = createJobs(this, { config, data, http, tokens });

    new Migrations(this, 'Migrations', config, data.ledger).before(
      ingest,
      deliver,
      exporter,
      api,
      money,
      webhook,
      ...jobs,
    );
    http.route('Ingest', ingest, {
      key: 'ANY /api/sync',
      authenticatedBy:
        'The function admits an event by the origin that its site registered, or by an API key.',
    });
    http.route('Api', api, ...API_ROUTES);
    http.route('Money', money, ...MONEY_ROUTES);
    http.route('Webhook', webhook, ...WEBHOOK_ROUTES);
    this.releases = new Releases(this, 'Releases', {
      config,
      http,
      functions: [ingest, deliver, api, money, webhook],
    });
    browser?.publishAfter(api, money);
    createAlarms(this, config, { data, http, releases: this.releases });
    new CfnOutput(this, 'ApiUrl', { value: http.url });
    new CfnOutput(this, 'Commit', { value: config.build.commitSha });
    tellFirstCommands(this, data, http, tokens);
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
  deliver.consume(data.delivery.queue, { batchSize: 10, maxConcurrency: config.deliverConcurrency });
  return deliver;
}

function createExport(scope: Construct, config: KernelConfig, data: DataStack) {
  const exporter = new KernelFunction<ExportEnvironment>(scope, 'Export', {
    config,
    entry: 'export',
    description: 'Builds the files of dispute exports that the queue asks for',
    database: data.ledger.as('kernel_jobs'),
    environment: { EXPORT_BUCKET: data.exports.bucketName, EVIDENCE_BUCKET: data.evidence.bucketName },
  });
  exporter.consume(data.exportQueue.queue, { batchSize: 1, maxConcurrency: EXPORT_CONCURRENCY });
  exporter.allowObjects('Files', data.exports, 's3:PutObject', 's3:AbortMultipartUpload');
  exporter.allowObjects('Archives', data.evidence, 's3:GetObject');
  return exporter;
}

function createApi(scope: Construct, config: KernelConfig, data: DataStack, tokens: TokenSource) {
  const api = new KernelFunction<ApiEnvironment>(scope, 'Api', {
    config,
    entry: 'api',
    description: 'Health, tenants, billing and administration',
    database: data.ledger.as('kernel_api'),
    environment: {
      USAGE_TABLE: data.usage.tableName,
      EXPORT_QUEUE_URL: data.exportQueue.queue.queueUrl,
      EXPORT_BUCKET: data.exports.bucketName,
      EVIDENCE_BUCKET: data.evidence.bucketName,
      CRON_SECRET_ARN: data.cronSecret.secretArn,
      ...tokens,
    },
  });
  api.allow(['dynamodb:GetItem', 'dynamodb:Scan'], data.usage.tableArn);
  api.allow(['sqs:SendMessage'], data.exportQueue.queue.queueArn);
  api.allow(['secretsmanager:GetSecretValue'], data.cronSecret.secretArn);
  // A link that it signs can do what the function itself may.
  api.allowObjects('Files', data.exports, 's3:GetObject');
  api.allowObjects('Archives', data.evidence, 's3:GetObject');
  return api;
}

function createMoney(scope: Stack, config: KernelConfig, data: DataStack, tokens: TokenSource) {
  const money = new KernelFunction<MoneyEnvironment>(scope, 'Money', {
    config,
    entry: 'money',
    description: 'Wallets, deposits, withdrawals and payouts, for players and finance',
    database: data.ledger.as('kernel_money'),
    environment: {
      ...tokens,
      PROVIDER_SECRET_ARNS: data.payments.secretArns(scope),
      MATCH_QUEUE_URL: data.payments.runs.queue.queueUrl,
    },
  });
  data.payments.letRead(money, 'stripe');
  money.allow(['sqs:SendMessage'], data.payments.runs.queue.queueArn);
  return money;
}
