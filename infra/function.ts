// The one way in which this stack makes a Lambda function, so that none misses its log group, limits, environment or narrow role.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Duration, Names, RemovalPolicy, Validations } from 'aws-cdk-lib';
import { Effect, Policy, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import type { IDatabaseCluster } from 'aws-cdk-lib/aws-rds';
import type { Bucket } from 'aws-cdk-lib/aws-s3';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import type { IQueue } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import type { BaseEnvironment, DatabaseEnvironment } from '../shared/config.ts';
import { type FunctionName, isReleased, type KernelConfig } from './config.ts';
import type { LedgerProxy } from './proxy.ts';

const DIST = join(import.meta.dirname, '..', 'dist');
/** The alias that callers of a released function name. */
export const LIVE = 'live';

/** A way into the ledger; the secret decides the database role. */
export interface DatabaseBinding {
  readonly cluster: IDatabaseCluster;
  readonly databaseName: string;
  readonly secret: ISecret;
  /** Whether the function may hold a transaction open over several calls, as migrations do and a hot path never does. */
  readonly transactions?: boolean;
  /** Where the stage has one: the way of the functions that it serves. */
  readonly proxy?: LedgerProxy;
}

/** The variables of `E` that are the function's own: those of every function and of the ledger are set here. */
export type OwnEnvironment<E> = Omit<E, keyof BaseEnvironment | keyof DatabaseEnvironment>;

export interface KernelFunctionProps<E> {
  readonly config: KernelConfig;
  readonly entry: FunctionName;
  readonly description: string;
  readonly database: DatabaseBinding;
  readonly environment: OwnEnvironment<E>;
  /** For functions that are invoked asynchronously: where an event goes whose invocation failed. */
  readonly deadLetters?: IQueue;
}

/** @typeParam E the environment that the function reads; a variable that is not supplied does not compile. */
export class KernelFunction<E extends BaseEnvironment & DatabaseEnvironment> extends Construct {
  readonly entry: FunctionName;
  readonly lambda: lambda.Function;
  /** What a release moves from version to version; only the released functions have it. */
  readonly live: lambda.Alias | undefined;
  readonly logs: LogGroup;
  readonly role: Role;

  constructor(scope: Construct, id: string, props: KernelFunctionProps<E>) {
    super(scope, id);
    const { config, entry } = props;
    this.entry = entry;
    const size = config.functions[entry];
    const name = `revenue-kernel-${config.stage}-${entry}`;
    this.logs = new LogGroup(this, 'Logs', {
      logGroupName: `/aws/lambda/${name}`,
      retention: config.logRetention,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    // A role of its own, because the managed policy that CDK would attach may write to every log group of the account.
    this.role = new Role(this, 'Role', { assumedBy: new ServicePrincipal('lambda.amazonaws.com') });
    this.logs.grantWrite(this.role);
    this.lambda = new lambda.Function(this, 'Function', {
      functionName: name,
      description: props.description,
      code: lambda.Code.fromAsset(bundle(entry)),
      handler: 'index.handler',
      runtime: lambda.Runtime.NODEJS_24_X,
      architecture: lambda.Architecture.ARM_64,
      memorySize: size.memoryMb,
      timeout: Duration.seconds(size.timeoutSeconds),
      role: this.role,
      logGroup: this.logs,
      environment: environment(props),
      ...proxyOf(props)?.placement,
      // Kept when a newer one replaces it, so that there is something to go back to; not when its own creation failed, for
      // then the next attempt could not make it.
      currentVersionOptions: { removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE },
      ...(size.reservedConcurrency !== undefined && {
        reservedConcurrentExecutions: size.reservedConcurrency,
      }),
      ...(props.deadLetters && {
        // The scheduler retries already; a second layer of retries would run a stale job hours later.
        retryAttempts: 0,
        maxEventAge: Duration.minutes(15),
        onFailure: sendOnly(props.deadLetters),
      }),
    });
    if (props.deadLetters) this.allow(['sqs:SendMessage'], props.deadLetters.queueArn);
    this.trace();
    proxyOf(props)?.admit(this);
    this.bindDatabase(props);
    // CDK's classes and interfaces differ under exactOptionalPropertyTypes, here and below.
    const version = () => this.lambda.currentVersion as lambda.IVersion;
    this.live = isReleased(entry)
      ? new lambda.Alias(this, 'Live', { aliasName: LIVE, version: version() })
      : undefined;
  }

  /** What callers invoke. */
  get invoked(): lambda.IFunction {
    return (this.live ?? this.lambda) as lambda.IFunction;
  }

  allow(actions: string[], ...resources: string[]): void {
    this.role.addToPolicy(new PolicyStatement({ effect: Effect.ALLOW, actions, resources }));
  }

  /** Feeds the function from the queue. Not by CDK's own event source, which grants two actions that Lambda never uses. */
  consume(
    queue: IQueue,
    options: Pick<lambda.EventSourceMappingOptions, 'batchSize' | 'maxConcurrency'>,
  ): void {
    this.allow(['sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:GetQueueAttributes'], queue.queueArn);
    this.invoked.addEventSourceMapping(`SqsEventSource:${Names.nodeUniqueId(queue.node)}`, {
      ...options,
      eventSourceArn: queue.queueArn,
      reportBatchItemFailures: true,
    });
  }

  /**
   * Lets the function do this with every object of the bucket. A policy of its own keeps the wildcard, which the key of an
   * object cannot do without, away from all other grants.
   */
  allowObjects(id: string, bucket: Pick<Bucket, 'bucketArn' | 'stack'>, ...actions: string[]): void {
    const arn = bucket.stack.exportValue(bucket.bucketArn);
    const objects = new Policy(this, id, {
      roles: [this.role],
      statements: [new PolicyStatement({ actions, resources: [`${arn}/*`] })],
    });
    // A finding is named by how the template writes the resource: here, by the name of the import.
    const { 'Fn::ImportValue': name } = objects.stack.resolve(arn) as { 'Fn::ImportValue': string };
    Validations.of(objects).acknowledge({
      id: `AwsSolutions-IAM5[Resource::${name}/*]`,
      reason: 'The keys of objects are made while the function runs; this policy holds no other wildcard.',
    });
    this.lambda.node.addDependency(objects);
  }

  private bindDatabase(props: KernelFunctionProps<E>): void {
    const { cluster, secret, transactions = false } = props.database;
    const calls = ['ExecuteStatement'];
    if (transactions) calls.push('BeginTransaction', 'CommitTransaction', 'RollbackTransaction');
    if (!proxyOf(props)) {
      this.allow(
        calls.map((call) => `rds-data:${call}`),
        cluster.clusterArn,
      );
    }
    this.allow(['secretsmanager:GetSecretValue'], secret.secretArn);
  }

  private trace(): void {
    const tracing = new Policy(this, 'Tracing', {
      roles: [this.role],
      statements: [
        new PolicyStatement({
          actions: ['xray:PutTraceSegments', 'xray:PutTelemetryRecords'],
          resources: ['*'],
        }),
      ],
    });
    Validations.of(tracing).acknowledge({
      id: 'AwsSolutions-IAM5[Resource::*]',
      reason: 'X-Ray knows no resource-level permissions for sending traces; this policy holds nothing else.',
    });
    // Not the property of the L2: that adds the wildcard to the policy which holds all other grants.
    const resource = this.lambda.node.defaultChild as lambda.CfnFunction;
    resource.tracingConfig = { mode: 'Active' };
    resource.node.addDependency(tracing);
  }
}

/** Stages share an account: in one namespace the figures of one would hide the silence of another. */
export function metricNamespace({ stage }: KernelConfig): string {
  return `RevenueKernel/${stage}`;
}

/** A function for those who do not care which environment it reads. */
// biome-ignore lint/suspicious/noExplicitAny: the environments of functions have no common supertype
export type AnyFunction = KernelFunction<any>;

/** Whether every function has been bundled. @throws Error with the remedy in one sentence. */
export function requireBundles(entries: readonly FunctionName[]): void {
  for (const entry of entries) {
    if (!existsSync(join(bundle(entry), 'index.mjs'))) {
      throw new Error(`The bundle dist/${entry}/index.mjs is missing: run "npm run build" first.`);
    }
  }
}

/** CDK's own destination would also let the function ask for attributes and address of the queue, which Lambda never does. */
function sendOnly({ queueArn }: IQueue): lambda.IDestination {
  return { bind: () => ({ destination: queueArn }) };
}

function bundle(entry: FunctionName): string {
  return join(DIST, entry);
}

function proxyOf({
  entry,
  database,
}: Pick<KernelFunctionProps<unknown>, 'entry' | 'database'>): LedgerProxy | undefined {
  return database.proxy?.serves(entry) ? database.proxy : undefined;
}

function environment<E>(props: KernelFunctionProps<E>): Record<string, string> {
  const { config, entry, database } = props;
  const proxy = proxyOf(props);
  const base = {
    STAGE: config.stage,
    COMMIT_SHA: config.build.commitSha,
    COMMIT_BRANCH: config.build.commitBranch,
    KERNEL_VERSION: config.build.version,
    POWERTOOLS_SERVICE_NAME: entry,
    POWERTOOLS_METRICS_NAMESPACE: metricNamespace(config),
    LEDGER_ACCESS: proxy ? 'proxy' : 'data-api',
    ...(proxy && { DATABASE_HOST: proxy.endpoint }),
    DATABASE_CLUSTER_ARN: database.cluster.clusterArn,
    DATABASE_SECRET_ARN: database.secret.secretArn,
    DATABASE_NAME: database.databaseName,
  } satisfies BaseEnvironment & DatabaseEnvironment;
  return { ...base, ...props.environment };
}
