// Creates each emulated resource of the template in its engine and says what Ref and GetAtt answer for it here.
import { availableParallelism } from 'node:os';
import {
  CreateTableCommand,
  DynamoDBClient,
  type KeySchemaElement,
  ResourceInUseException,
} from '@aws-sdk/client-dynamodb';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { CreateQueueCommand, SQSClient } from '@aws-sdk/client-sqs';
import { CLIENT_ID } from '../issuer.ts';
import type { FunctionDefinition } from '../lambda/functions.ts';
import type { State } from '../state.ts';
import { type Assembly, assetDirectory, isProvider, type Resource } from './assembly.ts';
import type { Resolver, ResourceValue } from './resolver.ts';
import { nameOfFunction, nameOfRole } from './roles.ts';

/** Beyond this the front queues and then throttles, as Lambda does; more instances than cores keep busy would only stay cold. */
const ingest_concurrency = Math.min(16, 4 * availableParallelism());
const stack_tables_ms = 100;

export interface Engines {
  assembly: Assembly;
  resolver: Resolver;
  state: State;
  issuerUrl: string;
  doorUrl: string;
  /** SDK settings of the stack's own calls through the door. */
  client: { endpoint: string; region: string; credentials: { accessKeyId: string; secretAccessKey: string } };
  addSecret(arn: string, value: string): Promise<void>;
  functions: FunctionDefinition[];
  apiUrl: string;
}

type Provisioner = (resource: Resource, engines: Engines) => Promise<ResourceValue> | ResourceValue;

export const provisioners: Record<string, Provisioner> = {
  'AWS::SQS::Queue': queue,
  'AWS::S3::Bucket': bucket,
  'AWS::DynamoDB::GlobalTable': table,
  'AWS::DynamoDB::Table': table,
  'AWS::RDS::DBCluster': cluster,
  'AWS::SecretsManager::Secret': secret,
  'AWS::SecretsManager::SecretTargetAttachment': (resource, { resolver }) => {
    const ref = String(resolver.property(resource, 'SecretId'));
    return { ref, attributes: {} };
  },
  'AWS::IAM::Role': role,
  'AWS::IAM::Policy': named,
  'AWS::IAM::ManagedPolicy': named,
  // Accepted only, but named by policies.
  'AWS::Logs::LogGroup': logGroup,
  'AWS::Lambda::Function': lambda,
  'AWS::Lambda::Version': (resource, { resolver, client }) => {
    const ref = arn('lambda', `function:${resolver.property(resource, 'FunctionName')}:1`, client.region);
    return { ref, attributes: { FunctionArn: ref, Version: '1' } };
  },
  'AWS::Lambda::Alias': (resource, { resolver, client }) => {
    const ref = arn(
      'lambda',
      `function:${resolver.property(resource, 'FunctionName')}:${resolver.property(resource, 'Name')}`,
      client.region,
    );
    return { ref, attributes: { AliasArn: ref } };
  },
  'AWS::ApiGatewayV2::Api': (resource, { apiUrl }) => ({
    ref: resource.logicalId,
    attributes: { ApiEndpoint: apiUrl, ApiId: resource.logicalId },
  }),
  'AWS::Cognito::UserPool': (_resource, { issuerUrl }) => ({
    ref: 'local_pool',
    attributes: {
      ProviderURL: issuerUrl,
      ProviderName: issuerUrl,
      UserPoolId: 'local_pool',
      Arn: 'arn:aws:cognito-idp:local:000000000000:userpool/local_pool',
    },
  }),
  'AWS::Cognito::UserPoolClient': () => ({ ref: CLIENT_ID, attributes: { ClientId: CLIENT_ID } }),
  'AWS::Scheduler::ScheduleGroup': named,
  'AWS::Scheduler::Schedule': named,
  'AWS::Lambda::EventSourceMapping': named,
  'AWS::ApiGatewayV2::Route': named,
  'AWS::ApiGatewayV2::Integration': named,
  'AWS::ApiGatewayV2::Stage': named,
  'Custom::Trigger': named,
};

function named({ logicalId }: Resource, { client }: Engines): ResourceValue {
  return { ref: logicalId, attributes: { Arn: arn('local', logicalId, client.region) } };
}

function role(resource: Resource, { resolver }: Engines): ResourceValue {
  const name = nameOfRole(resource, resolver);
  return { ref: name, attributes: { Arn: arn('iam', `role/${name}`, ''), RoleId: name } };
}

function logGroup(resource: Resource, { resolver, client }: Engines): ResourceValue {
  const name = String(resolver.property(resource, 'LogGroupName') ?? resource.logicalId);
  return { ref: name, attributes: { Arn: arn('logs', `log-group:${name}:*`, client.region) } };
}

async function queue(resource: Resource, { resolver, client, doorUrl }: Engines): Promise<ResourceValue> {
  const name = resource.logicalId;
  const text = (property: string) => {
    const value = resolver.property(resource, property);
    return value === undefined
      ? undefined
      : typeof value === 'object'
        ? JSON.stringify(value)
        : String(value);
  };
  const attributes = Object.fromEntries(
    [
      'VisibilityTimeout',
      'MessageRetentionPeriod',
      'DelaySeconds',
      'ReceiveMessageWaitTimeSeconds',
      'RedrivePolicy',
    ]
      .map((property) => [property, text(property)])
      .filter(([, value]) => value !== undefined),
  );
  const sqs = new SQSClient(client);
  await sqs.send(new CreateQueueCommand({ QueueName: name, Attributes: attributes }));
  sqs.destroy();
  return {
    ref: `${doorUrl}/000000000000/${name}`,
    attributes: { Arn: arn('sqs', name, client.region), QueueName: name },
  };
}

async function bucket({ logicalId }: Resource, { client }: Engines): Promise<ResourceValue> {
  const name = logicalId.toLowerCase(); // as the names of buckets must be
  const s3 = new S3Client(client);
  await s3.send(new CreateBucketCommand({ Bucket: name })); // of one that is there already, nothing changes
  s3.destroy();
  return {
    ref: name,
    attributes: {
      Arn: `arn:aws:s3:::${name}`,
      DomainName: `${name}.s3.amazonaws.com`,
      RegionalDomainName: `${name}.s3.${client.region}.amazonaws.com`,
    },
  };
}

async function table(resource: Resource, { resolver, client }: Engines): Promise<ResourceValue> {
  const name = resource.logicalId;
  const dynamodb = new DynamoDBClient(client);
  await dynamodb
    .send(
      new CreateTableCommand({
        TableName: name,
        AttributeDefinitions: resolver.property(resource, 'AttributeDefinitions') as never,
        KeySchema: resolver.property(resource, 'KeySchema') as KeySchemaElement[],
        BillingMode: 'PAY_PER_REQUEST',
      }),
    )
    .catch((error: unknown) => {
      if (!(error instanceof ResourceInUseException)) throw error; // it is there since the last start
    });
  await new Promise((resolve) => setTimeout(resolve, stack_tables_ms));
  dynamodb.destroy();
  return {
    ref: name,
    attributes: { Arn: arn('dynamodb', `table/${name}`, client.region), TableId: name },
  };
}

function cluster(_resource: Resource, { client }: Engines): ResourceValue {
  return {
    ref: clusterName,
    attributes: {
      DBClusterArn: arn('rds', `cluster:${clusterName}`, client.region),
      DBClusterResourceId: clusterName,
      'Endpoint.Address': '127.0.0.1',
    },
  };
}

export const clusterName = 'local-cluster';

async function secret(
  resource: Resource,
  { resolver, state, addSecret, client }: Engines,
): Promise<ResourceValue> {
  const ref = arn('secretsmanager', `secret:${resource.logicalId}`, client.region);
  const generate = resolver.property(resource, 'GenerateSecretString') as
    | { SecretStringTemplate?: string; GenerateStringKey?: string }
    | undefined;
  const generated = state.secret(resource.logicalId);
  const value = generate?.GenerateStringKey
    ? JSON.stringify({
        ...JSON.parse(generate.SecretStringTemplate ?? '{}'),
        [generate.GenerateStringKey]: generated,
      })
    : generated;
  await addSecret(ref, value);
  return { ref, attributes: { Id: ref } };
}

function lambda(resource: Resource, engines: Engines): ResourceValue {
  const { resolver, assembly, functions, state, client, doorUrl } = engines;
  const name = nameOfFunction(resource, resolver);
  const value = {
    ref: name,
    attributes: { Arn: arn('lambda', `function:${name}`, client.region) },
  };
  const environment = resolver.property(resource, 'Environment.Variables') as
    | Record<string, string>
    | undefined;
  const directory = assetDirectory(
    assembly,
    resource.stack,
    String(resolver.property(resource, 'Code.S3Key')),
  );
  if (!directory || !environment || isProvider(assembly, resource)) return value; // its work is done by the local counterpart
  const reserved = resolver.property(resource, 'ReservedConcurrentExecutions');
  const concurrency = environment.POWERTOOLS_SERVICE_NAME === 'ingest' ? ingest_concurrency : 4;
  functions.push({
    name,
    logicalId: resource.logicalId,
    arn: value.attributes.Arn,
    directory,
    handler: String(resolver.property(resource, 'Handler')),
    timeoutMs: Number(resolver.property(resource, 'Timeout') ?? 3) * 1000,
    memoryMb: Number(resolver.property(resource, 'MemorySize') ?? 128),
    maxConcurrency: Math.min(concurrency, Number(reserved ?? concurrency)),
    environment: {
      ...environment,
      AWS_ACCESS_KEY_ID: accessKey(name),
      AWS_SECRET_ACCESS_KEY: state.secret(`access-key:${name}`),
      AWS_REGION: client.region,
      AWS_ENDPOINT_URL_DYNAMODB: doorUrl,
      AWS_ENDPOINT_URL_SQS: doorUrl,
      AWS_ENDPOINT_URL_S3: doorUrl,
      AWS_ENDPOINT_URL_RDS_DATA: doorUrl,
      AWS_ENDPOINT_URL_SECRETS_MANAGER: doorUrl,
    },
  });
  return value;
}

/** The access key of a function, by which the door knows who calls. */
export function accessKey(name: string): string {
  return `LOCAL${Buffer.from(name).toString('hex').toUpperCase()}`;
}

function arn(service: string, rest: string, region: string): string {
  return `arn:aws:${service}:${region}:000000000000:${rest}`;
}
