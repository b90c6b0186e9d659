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
import type { FunctionName, KernelConfig } from './config.ts';

const DIST = join(import.meta.dirname, '..', 'dist');

/** A way into the ledger; the secret decides the database role. */
export interface DatabaseBinding {
  readonly cluster: IDatabaseCluster;
  readonly databaseName: string;
  readonly secret: ISecret;
  /** Whether the function may hold a transaction open over several calls, as migrations do and a hot path never does. */
  readonly transactions?: boolean;
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
  readonly lambda: lambda.Function;
  readonly logs: LogGroup;
  readonly role: Role;

  constructor(scope: Construct, id: string, props: KernelFunctionProps<E>) {
    super(scope, id);
    const { config, entry } = props;
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
    this.bindDatabase(props.database);
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
    this.lambda.addEventSourceMapping(`SqsEventSource:${Names.nodeUniqueId(queue.node)}`, {
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

  private bindDatabase({ cluster, secret, transactions = false }: DatabaseBinding): void {
    const calls = ['ExecuteStatement'];
    if (transactions) calls.push('BeginTransaction', 'CommitTransaction', 'RollbackTransaction');
    this.allow(
      calls.map((call) => `rds-data:${call}`),
      cluster.clusterArn,
    );
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

function environment<E>(props: KernelFunctionProps<E>): Record<string, string> {
  const { config, entry, database } = props;
  const base = {
    STAGE: config.stage,
    COMMIT_SHA: config.build.commitSha,
    COMMIT_BRANCH: config.build.commitBranch,
    KERNEL_VERSION: config.build.version,
    POWERTOOLS_SERVICE_NAME: entry,
    POWERTOOLS_METRICS_NAMESPACE: 'RevenueKernel',
    DATABASE_CLUSTER_ARN: database.cluster.clusterArn,
    DATABASE_SECRET_ARN: database.secret.secretArn,
    DATABASE_NAME: database.databaseName,
  } satisfies BaseEnvironment & DatabaseEnvironment;
  return { ...base, ...props.environment };
}
