// The one front door for AWS calls: DynamoDB, SQS, S3, the RDS Data API and Secrets Manager on one local port.
//
// It tells the service by the credential scope of the signature and the calling function by its access key. Not
// reproduced: checking the signature and its age (except that a link ends when it says so), IAM and resource policies, KMS, session tokens, throttling, regions
// (all are one), and what the engines behind it lack (DynamoDB transactions and expiry; message move tasks of SQS).
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createDataApi, type DataApiOptions } from '../data-api/server.ts';
import { credentialOf, operationOf, readBody, type Service, sendError } from './aws-request.ts';
import { createDynamoDb } from './dynamodb.ts';
import { applyFault, type DoorCall, type Fault, holdReply } from './faults.ts';
import { createQueues } from './queues.ts';
import { createSecrets, type Secrets } from './secrets.ts';

/** All of it can be sent to another thread. */
export type DoorSettings = {
  /** The name of the caller for each access key. */
  identities: Map<string, string>;
  /** The string of each secret by its ARN; those of database roles hold `username` and `password`. */
  secrets: Map<string, string>;
  database: Omit<DataApiOptions, 'resolveSecret' | 'fault'>;
  region?: string;
  port?: number;
  /** Where DynamoDB, SQS and S3 keep their data; in memory without. */
  dynamodbDirectory?: string;
  queueDirectory?: string;
  objectDirectory?: string;
};
export type DoorOptions = DoorSettings & { fault?: Fault };

export type Door = {
  url: string;
  port: number;
  addIdentity(accessKeyId: string, name: string): void;
  /** Adds a secret, or gives it a new value. */
  addSecret(arn: string, value: string): void;
  close(): Promise<void>;
};

type Handler = (request: IncomingMessage, response: ServerResponse, identity: string) => unknown;
type Handlers = Record<Service, Handler>;

const REGION = 'eu-central-1';

export async function startDoor(options: DoorOptions): Promise<Door> {
  const { identities, fault } = options;
  let handlers: Handlers | undefined;
  const server = createServer((request, response) => {
    enter(request, response, handlers, identities, fault).catch((error: unknown) => {
      response.destroy(error as Error);
    });
  });
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  const services = await startServices(options, url).catch((error: unknown) => {
    server.close();
    throw error;
  });
  handlers = services.handlers;
  return {
    url,
    port,
    addIdentity: (accessKeyId, name) => void identities.set(accessKeyId, name),
    addSecret: (arn, value) => void options.secrets.set(arn, value),
    async close() {
      handlers = undefined;
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
      await services.close();
    },
  };
}

async function startServices(options: DoorOptions, url: string) {
  const { fault, region = REGION, dynamodbDirectory: path, queueDirectory: directory } = options;
  const secrets = createSecrets(options.secrets);
  const dynamodb = await createDynamoDb({ region, ...(path === undefined ? {} : { path }) });
  const queues = await createQueues({
    region,
    url,
    ...(directory === undefined ? {} : { directory }),
    ...(options.objectDirectory === undefined ? {} : { objectDirectory: options.objectDirectory }),
  });
  const dataApi = createDataApi({
    ...options.database,
    resolveSecret: async (arn) => roleOf(secrets, arn),
    ...(fault ? { fault: (point, call) => fault(point, { service: 'rds-data', ...call }) } : {}),
  });
  const withBody =
    (handle: (request: IncomingMessage, response: ServerResponse, body: Buffer) => void): Handler =>
    async (request, response) => {
      const body = await readBody(request);
      if (body) handle(request, response, body);
    };
  const handlers: Handlers = {
    dynamodb: withBody(dynamodb.handle),
    sqs: queues.handle,
    s3: queues.objects,
    'rds-data': dataApi.handle,
    secretsmanager: withBody(secrets.handle),
  };
  return { handlers, close: () => Promise.all([dynamodb.close(), queues.close(), dataApi.close()]) };
}

async function enter(
  request: IncomingMessage,
  response: ServerResponse,
  handlers: Handlers | undefined,
  identities: Map<string, string>,
  fault: Fault | undefined,
): Promise<void> {
  const credential = credentialOf(request);
  const service = credential?.service ?? '';
  const refuse = (status: number, name: string, message: string) => {
    request.resume();
    sendError(response, service, { name, message, status });
  };
  if (!credential)
    return refuse(403, 'MissingAuthenticationTokenException', 'Request is missing Authentication Token');
  const identity = identities.get(credential.accessKeyId);
  if (identity === undefined) {
    return refuse(
      403,
      'UnrecognizedClientException',
      'The security token included in the request is invalid.',
    );
  }
  if (credential.expires_at !== undefined && credential.expires_at < Date.now())
    return refuse(403, 'AccessDenied', 'Request has expired');
  if (!handlers) return refuse(503, 'ServiceUnavailable', 'The door is not open.');
  const handle = handlers[service as Service];
  if (!handle) return refuse(404, 'UnknownOperationException', `There is no service ${service} here.`);
  // The Data API asks by itself, for only it knows the statement and when it is committed.
  if (fault && service !== 'rds-data') {
    const call: DoorCall = { service, operation: operationOf(service, request), identity };
    if (applyFault(await fault('before', call), call, response)) return void request.resume();
    holdReply(request, response, fault, call);
  }
  await handle(request, response, identity);
}

function roleOf(secrets: Secrets, arn: string): { username: string; password: string } | undefined {
  try {
    const { username, password } = JSON.parse(secrets.find(arn) ?? '') as Record<string, unknown>;
    if (typeof username === 'string' && typeof password === 'string') return { username, password };
  } catch {
    // A secret that holds no role is as good as none.
  }
  return undefined;
}
