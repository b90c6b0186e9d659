// The embedded stack: reads the synthesized template, starts the engines, creates each resource, migrates, and serves.
// `npm start`, the tests and the benches all use startLocal().
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Denial } from './door/authorization.ts';
import { type DoorThread, startDoorThread } from './door/thread.ts';
import type { FaultModule } from './door/worker.ts';
import { createHttpApi, type HttpApi } from './http/http-api.ts';
import { pagesBeside } from './http/pages.ts';
import { holdPort } from './http/port.ts';
import { type Issuer, startIssuer } from './issuer.ts';
import { createFunctions, type Functions, type FunctionsOptions } from './lambda/functions.ts';
import { removeCluster } from './postgres/cluster.ts';
import { type Postgres, startPostgres } from './postgres/postgres.ts';
import type { Clock } from './schedule/clock.ts';
import type { Schedules } from './schedule/schedule.ts';
import { lockDirectory, openState, type State } from './state.ts';
import { type Assembly, classify, createResolver, creationOrder, loadAssembly } from './template/assembly.ts';
import { accessKey, clusterName, type Engines, provisioners } from './template/provision.ts';
import type { ResourceValue } from './template/resolver.ts';
import { ACCEPTED, EMULATED } from './template/resource-types.ts';
import { type Roles, readRoles } from './template/roles.ts';
import { checkServiceGrants, type ServiceNeed, serviceNeeds } from './template/service-grants.ts';
import { apiOf, type EventSources, startEventSources, startSchedules, triggerOf } from './template/wiring.ts';

const region = 'eu-west-1';
export const databaseName = 'kernel';
/** The caller that the stack's own tools use at the door. */
const operator = 'operator';

export interface LocalOptions {
  /** Holds the data, the state and stack.json. */
  directory: string;
  /** The synthesized cloud assembly. */
  assembly: string;
  /** 0, the default, takes a free one. */
  port?: number;
  /** Begins anew: removes what an earlier start left in the folder. */
  fresh?: boolean;
  /** Keeps tables, queues and objects on disk, so that they survive a restart; Postgres always does. */
  durable?: boolean;
  /** Whether Postgres waits for the disk, which it does unless told otherwise. */
  fsync?: boolean;
  /** Whether an earlier start of this assembly has migrated what lies in the folder; nothing is migrated then. */
  migrated?: boolean;
  clock?: Clock;
  doorFault?: FaultModule;
  functionFault?: FunctionsOptions['fault'];
  onLog?: FunctionsOptions['onLog'];
  /** Told of each call of a function that its role does not allow. */
  onDenied?: (denial: Denial) => void;
  progress?: (sentence: string) => void;
  /** Ends a start before its end: what has begun is stopped in order, and the start fails. */
  signal?: AbortSignal;
}

export interface LocalStack {
  url: string;
  postgres: Postgres;
  door: DoorThread;
  issuer: Issuer;
  functions: Functions;
  schedules: Schedules;
  eventSources: EventSources;
  roles: Roles;
  /** What AWS itself must be allowed to do with those roles. */
  serviceNeeds: ServiceNeed[];
  /** Resource types of the template that are accepted but not emulated, with the reason. */
  notEmulated: Map<string, string>;
  /** SDK settings with which tools and tests call the door. */
  client: Engines['client'];
  /** The name of the deployed function whose bundle this is. */
  functionName(entry: string): string;
  resource(type: string, namePart: string): ResourceValue;
  state: State;
  close(): Promise<void>;
}

/** @throws Error with one sentence that says what to do: taken port or folder, missing binaries, a template that cannot run here. */
export async function startLocal(options: LocalOptions): Promise<LocalStack> {
  const progress = (sentence: string) => {
    options.signal?.throwIfAborted();
    options.progress?.(sentence);
  };
  const unlock = lockDirectory(options.directory);
  const started: (() => unknown)[] = [unlock];
  const close = async () => {
    for (const stop of started.splice(0).reverse()) await stop();
  };
  try {
    const stack = await start(options, progress, started);
    return { ...stack, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function start(
  options: LocalOptions,
  progress: (sentence: string) => void,
  started: (() => unknown)[],
) {
  const assembly = loadAssembly(options.assembly, { region });
  const { errors, accepted } = classify(assembly, { emulated: EMULATED, accepted: ACCEPTED });
  if (errors[0]) throw new Error(errors[0]);
  const order = creationOrder(assembly, { has: (type) => EMULATED.has(type) || type in provisioners });
  const held = await holdPort(options.port);
  started.push(() => held.release());
  const { port } = held;
  if (options.fresh) removeState(options.directory);
  const state = openState(options.directory);

  progress('Starting Postgres 17');
  const postgres = await openPostgres(options, state.secret(masterSecretOf(assembly)));
  started.push(() => postgres.stop());
  const issuer = await startIssuer(state.issuerKey);
  started.push(() => issuer.close());
  state.issuerKey = issuer.key;

  progress('Opening the Data API, DynamoDB, SQS, S3 and Secrets Manager');
  const door = await openDoor(options, postgres, assembly);
  started.push(() => door.close());

  progress(`Creating ${order.length} resources of ${assembly.stacks.map(({ name }) => name).join(', ')}`);
  const values = new Map<string, ResourceValue>();
  const engines = { ...enginesOf(assembly, values, state, issuer, door), apiUrl: `http://127.0.0.1:${port}` };
  for (const resource of order) {
    options.signal?.throwIfAborted();
    const provision = provisioners[resource.type];
    if (!provision)
      throw new Error(`There is no engine for ${resource.type} of ${resource.stack}/${resource.logicalId}.`);
    values.set(`${resource.stack}/${resource.logicalId}`, await provision(resource, engines));
  }
  const rights = await grant(engines, door);
  state.save();
  const functions = createFunctions(engines.functions, {
    region,
    ...(options.onLog && { onLog: options.onLog }),
    ...(options.functionFault && { fault: options.functionFault }),
  });
  started.push(() => functions.close());

  for (const name of options.migrated ? [] : triggerOf(order, engines)) {
    progress('Migrating the database');
    const result = await functions.invoke(name, {});
    if (!result.ok) throw new Error(`The migrations failed: ${result.errorMessage}`);
  }
  const eventSources = startEventSources(order, engines, functions);
  started.push(() => eventSources.stop());
  const schedules = startSchedules(order, engines, functions, options.clock);
  started.push(() => schedules.stop());
  await held.release();
  const http: HttpApi = await createHttpApi({
    apis: apiOf(order, engines),
    functions,
    port,
    host: '127.0.0.1',
    static: pagesBeside(region, issuer),
  });
  started.push(() => http.close());

  return {
    url: engines.apiUrl,
    postgres,
    door,
    issuer,
    functions,
    schedules,
    eventSources,
    state,
    client: engines.client,
    ...rights,
    notEmulated: new Map(accepted.map(({ type }) => [type, ACCEPTED.get(type) ?? ''])),
    functionName: (entry: string) => named(engines, entry),
    resource: (type: string, part: string) => find(order, values, type, part),
  };
}

/** Gives each function the key by which the door knows it and the role of the template. */
async function grant({ assembly, resolver, functions }: Omit<Engines, 'apiUrl'>, door: DoorThread) {
  const roles = readRoles(assembly, resolver);
  for (const { name } of functions) await door.addIdentity(accessKey(name), name, roles.ofFunction(name));
  const needs = serviceNeeds(assembly, resolver, roles);
  checkServiceGrants(needs);
  return { roles, serviceNeeds: needs };
}

/** Only once it is known that the new start can go on. */
function removeState(directory: string): void {
  removeCluster(join(directory, 'postgres'));
  for (const left of ['dynamodb', 'sqs', 's3', 'state.json'])
    rmSync(join(directory, left), { recursive: true, force: true });
}

function openPostgres({ directory, fsync = true }: LocalOptions, masterPassword: string): Promise<Postgres> {
  return startPostgres({
    directory: join(directory, 'postgres'),
    masterPassword,
    database: databaseName,
    fsync,
  });
}

function openDoor(options: LocalOptions, postgres: Postgres, assembly: Assembly): Promise<DoorThread> {
  const { region: here, accountId } = assembly.pseudo;
  return startDoorThread({
    identities: new Map([[accessKey(operator), operator]]),
    secrets: new Map(),
    region,
    database: {
      clusterArn: `arn:aws:rds:${here}:${accountId}:cluster:${clusterName}`,
      host: '127.0.0.1',
      port: postgres.port,
    },
    ...(options.durable && {
      dynamodbDirectory: join(options.directory, 'dynamodb'),
      queueDirectory: join(options.directory, 'sqs'),
      objectDirectory: join(options.directory, 's3'),
    }),
    ...(options.doorFault && { fault: options.doorFault }),
    ...(options.onDenied && { onDenied: options.onDenied }),
  });
}

function enginesOf(
  assembly: Assembly,
  values: Map<string, ResourceValue>,
  state: State,
  issuer: Issuer,
  door: DoorThread,
): Omit<Engines, 'apiUrl'> {
  return {
    assembly,
    resolver: createResolver(assembly, values),
    state,
    issuerUrl: issuer.url,
    doorUrl: door.url,
    addSecret: (arn, value) => door.addSecret(arn, value),
    functions: [],
    client: {
      endpoint: door.url,
      region,
      credentials: {
        accessKeyId: accessKey(operator),
        secretAccessKey: state.secret(`access-key:${operator}`),
      },
    },
  };
}

function named(engines: Omit<Engines, 'apiUrl'>, entry: string): string {
  const found = engines.functions.find(({ environment }) => environment.POWERTOOLS_SERVICE_NAME === entry);
  if (!found) throw new Error(`The template has no function ${entry}.`);
  return found.name;
}

function find(
  order: { stack: string; logicalId: string; type: string }[],
  values: Map<string, ResourceValue>,
  type: string,
  part: string,
) {
  const found = order.find((resource) => resource.type === type && resource.logicalId.includes(part));
  const value = found && values.get(`${found.stack}/${found.logicalId}`);
  if (!value) throw new Error(`The template has no ${type} named ${part}.`);
  return value;
}

/** The cluster's own secret: Postgres is set up with its password before the resource is created. */
function masterSecretOf(assembly: Assembly): string {
  const attachment = assembly.stacks
    .flatMap(({ resources }) => resources)
    .find(({ type }) => type === 'AWS::SecretsManager::SecretTargetAttachment');
  const { SecretId } = (attachment?.properties ?? {}) as { SecretId?: { Ref?: string } };
  if (!SecretId?.Ref) throw new Error('The template attaches no secret to the cluster.');
  return SecretId.Ref;
}
