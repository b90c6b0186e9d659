// The one front door for AWS calls: DynamoDB, SQS, S3, the RDS Data API and Secrets Manager on one local port.
//
// It tells the service by the credential scope of the signature and the calling function by its access key, and lets it do
// what its role allows. Not reproduced: checking the signature and its age (except that a link ends when it says so), what
// authorization.ts names, session tokens, throttling, regions (all are one), and what the engines behind it lack (DynamoDB
// transactions and expiry; message move tasks of SQS).
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { DataApiError } from '../data-api/errors.ts';
import { createDataApi, type DataApiOptions } from '../data-api/server.ts';
import type { Grant, Role } from '../iam/policy.ts';
import { type Denial, dataApiNeeds, needsOf, type Place, refusalOf } from './authorization.ts';
import { credentialOf, operationOf, readBody, type Service, sendError } from './aws-request.ts';
import { createDynamoDb } from './dynamodb.ts';
import { applyFault, type DoorCall, type Fault, holdReply } from './faults.ts';
import { ACCOUNT_ID, createQueues } from './queues.ts';
import { createSecrets, type Secrets } from './secrets.ts';

/** All of it can be sent to another thread. */
export type DoorSettings = {
  /** The name of the caller for each access key. */
  identities: Map<string, string>;
  /** The role of each caller by its name; one without may do everything. */
  roles?: Map<string, Role>;
  /** The string of each secret by its ARN; those of database roles hold `username` and `password`. */
  secrets: Map<string, string>;
  database: Omit<DataApiOptions, 'resolveSecret' | 'fault' | 'authorize'>;
  region?: string;
  port?: number;
  /** Where DynamoDB, SQS and S3 keep their data; in memory without. */
  dynamodbDirectory?: string;
  queueDirectory?: string;
  objectDirectory?: string;
};
export type DoorOptions = DoorSettings & {
  fault?: Fault;
  /** Told of each call that the role of its caller does not allow. */
  onDenied?: (denial: Denial) => void;
};

export type Door = {
  url: string;
  port: number;
  /** Adds a caller, or gives it another role. */
  addIdentity(accessKeyId: string, name: string, role?: Role): void;
  /** Adds a secret, or gives it a new value. */
  addSecret(arn: string, value: string): void;
  close(): Promise<void>;
};

type Handler = (
  request: IncomingMessage,
  response: ServerResponse,
  identity: string,
  body: Buffer,
) => unknown;
type Services = {
  handlers: Record<Service, Handler>;
  place: Place;
  close(): Promise<unknown>;
};
/** What the role of a caller does not allow. */
type Ask = (service: Service, identity: string, needs: () => Grant[]) => ReturnType<typeof refusalOf>;

const REGION = 'eu-central-1';
const NO_BODY = Buffer.alloc(0);

export async function startDoor(options: DoorOptions): Promise<Door> {
  const { identities, roles = new Map<string, Role>() } = options;
  const ask: Ask = (service, identity, needs) => {
    const role = roles.get(identity);
    const refusal = role && refusalOf(service, identity, role, needs());
    if (refusal) options.onDenied?.(refusal.denial);
    return refusal;
  };
  let open: Services | undefined;
  const server = createServer((request, response) => {
    enter(request, response, open, options, ask).catch((error: unknown) => {
      response.destroy(error as Error);
    });
  });
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  const services = await startServices(options, url, ask).catch((error: unknown) => {
    server.close();
    throw error;
  });
  open = services;
  return {
    url,
    port,
    addIdentity(accessKeyId, name, role) {
      identities.set(accessKeyId, name);
      if (role) roles.set(name, role);
    },
    addSecret: (arn, value) => void options.secrets.set(arn, value),
    async close() {
      open = undefined;
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
      await services.close();
    },
  };
}

async function startServices(options: DoorOptions, url: string, ask: Ask): Promise<Services> {
  const { fault, region = REGION, dynamodbDirectory: path, queueDirectory: directory } = options;
  const secrets = createSecrets(options.secrets);
  const place: Place = {
    region,
    secretArn: (id) => secrets.arnOf(id) ?? (id.startsWith('arn:') ? id : secretArn(region, id)),
  };
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
    authorize(identity, operation, call) {
      const refusal = ask('rds-data', identity, () => dataApiNeeds(operation, call, place));
      if (refusal) throw new DataApiError(refusal.name, refusal.message, refusal.status);
    },
    ...(fault ? { fault: (point, call) => fault(point, { service: 'rds-data', ...call }) } : {}),
  });
  const handlers: Services['handlers'] = {
    dynamodb: (request, response, _identity, body) => dynamodb.handle(request, response, body),
    sqs: (request, response, _identity, body) => queues.handle(request, response, body),
    s3: queues.objects,
    'rds-data': dataApi.handle,
    secretsmanager: (request, response, _identity, body) => secrets.handle(request, response, body),
  };
  return { handlers, place, close: () => Promise.all([dynamodb.close(), queues.close(), dataApi.close()]) };
}

async function enter(
  request: IncomingMessage,
  response: ServerResponse,
  open: Services | undefined,
  { identities, fault }: DoorOptions,
  ask: Ask,
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
  if (!open) return refuse(503, 'ServiceUnavailable', 'The door is not open.');
  const handle = open.handlers[service as Service];
  if (!handle) return refuse(404, 'UnknownOperationException', `There is no service ${service} here.`);
  // The Data API asks by itself, for only it knows the statement and when it is committed.
  if (service === 'rds-data') return void (await handle(request, response, identity, NO_BODY));
  const body = service === 's3' ? NO_BODY : await readBody(request); // objects are streams
  if (!body) return;
  const refusal = ask(service as Service, identity, () =>
    needsOf(service as Service, request, body, open.place),
  );
  if (refusal) return refuse(refusal.status, refusal.name, refusal.message);
  if (fault) {
    const call: DoorCall = { service, operation: operationOf(service, request), identity };
    if (applyFault(await fault('before', call), call, response)) return void request.resume();
    holdReply(request, response, fault, call);
  }
  await handle(request, response, identity, body);
}

function secretArn(region: string, name: string): string {
  return `arn:aws:secretsmanager:${region}:${ACCOUNT_ID}:secret:${name}`;
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
