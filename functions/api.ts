// The control plane: one route, one verb. Administration needs the token of a platform admin.
import httpRouter from '@middy/http-router';
import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2, Context } from 'aws-lambda';
import { dataApi } from '../shared/adapters/data-api.ts';
import { usageCounter } from '../shared/adapters/dynamodb.ts';
import {
  createKey,
  createSite,
  listKeys,
  listSites,
  page_sites_max,
  revokeKey,
  setPlan,
  siteUsage,
} from '../shared/administration.ts';
import { type ApiEnvironment, build_variables, database_variables, environment } from '../shared/config.ts';
import { KernelError } from '../shared/errors.ts';
import { readReceipt } from '../shared/receipt.ts';
import { type Identity, isPlatformAdmin, requirePlatformAdmin, tokenVerifier } from '../shared/token.ts';
import { type HttpAnswer, type HttpRequest, http } from './runtime.ts';

const body_bytes_max = 64 * 1024;

const env = environment<ApiEnvironment>(
  ...build_variables,
  ...database_variables,
  'USAGE_TABLE',
  'TOKEN_ISSUER',
  'TOKEN_CLIENT_ID',
);
const database = dataApi(env);
const counter = usageCounter(env.USAGE_TABLE);
const verify = tokenVerifier(env.TOKEN_ISSUER, env.TOKEN_CLIENT_ID);

/** A route for a signed-in user: the verb sees what row-level security shows that user. */
function user(path: string, verb: (request: HttpRequest, identity: Identity) => Promise<object>) {
  const door = async (request: HttpRequest): Promise<HttpAnswer> => {
    const identity = await verify(request.headers.authorization);
    const result = await verb(request, identity);
    return {
      status: 200,
      headers: { 'cache-control': 'no-store' },
      body: { ok: true, ...result, request_id: request.request_id },
    };
  };
  return { method: 'GET' as const, path: `/api/sites${path}`, handler: http(env, door) };
}

type AdminVerb = (request: HttpRequest, actor: string, ref: string) => Promise<object>;

/** A route for platform admins: verifies the token, then answers what the verb returns. */
function admin(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, verb: AdminVerb, status = 200) {
  const door = async (request: HttpRequest): Promise<HttpAnswer> => {
    const identity = await verify(request.headers.authorization);
    requirePlatformAdmin(identity);
    const result = await verb(request, identity.subject, request.pathParameters.ref ?? '');
    return {
      status,
      headers: { 'cache-control': 'no-store' },
      body: { ok: true, ...result, request_id: request.request_id },
    };
  };
  return { method, path: `/api/admin${path}`, handler: http(env, door) };
}

const router = httpRouter<APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2>([
  { method: 'GET' as const, path: '/api/health', handler: http(env, health) },
  admin('POST', '/sites', (request, actor) => createSite(database, json(request), actor), 201),
  admin('GET', '/sites', ({ query }) => listSites(database, query.cursor, pageSize(query.limit))),
  admin('PUT', '/sites/{ref}/plan', (request, actor, ref) => setPlan(database, ref, json(request), actor)),
  admin('GET', '/sites/{ref}/usage', ({ query }, _actor, ref) =>
    siteUsage(database, counter, ref, query.month),
  ),
  admin('GET', '/sites/{ref}/keys', (_request, _actor, ref) => listKeys(database, ref)),
  admin('POST', '/sites/{ref}/keys', (_request, actor, ref) => createKey(database, ref, false, actor), 201),
  admin(
    'POST',
    '/sites/{ref}/keys/rotate',
    (_request, actor, ref) => createKey(database, ref, true, actor),
    201,
  ),
  admin('DELETE', '/sites/{ref}/keys/{key}', ({ pathParameters }, actor, ref) =>
    revokeKey(database, ref, pathParameters.key ?? '', actor),
  ),
  user('/{ref}/events/{ingest_id}', ({ pathParameters }, identity) =>
    readReceipt(
      database,
      identity.subject,
      isPlatformAdmin(identity),
      pathParameters.ref ?? '',
      pathParameters.ingest_id ?? '',
    ),
  ),
  { method: 'ANY' as const, path: '/{proxy+}', handler: http(env, notFound) },
]);
/** The router takes three parameters, which Lambda would take for a callback handler. */
export const handler = (event: APIGatewayProxyEventV2, context: Context) =>
  router(event, context, undefined as never);

async function notFound({ method, path }: HttpRequest): Promise<never> {
  throw new KernelError('not_found', `There is no ${method} ${path}.`);
}

async function health({ request_id }: HttpRequest): Promise<HttpAnswer> {
  const headers = { 'cache-control': 'no-store' };
  const [row] = await database.query<{ health: string }>('select kernel_health()::text health');
  const { now, writable } = JSON.parse(row?.health ?? '{}') as { now: string; writable: boolean };
  const body = {
    ok: writable,
    status: writable ? 'healthy' : 'read_only',
    stage: env.STAGE,
    version: env.KERNEL_VERSION,
    now,
    request_id,
  };
  return { status: writable ? 200 : 503, headers, body };
}

function json(request: HttpRequest): unknown {
  if (Buffer.byteLength(request.body) > body_bytes_max)
    throw new KernelError('payload_too_large', 'Payload too large');
  try {
    return JSON.parse(request.body);
  } catch {
    throw new KernelError('invalid_json', 'The body is not JSON.');
  }
}

function pageSize(limit: string | undefined): number {
  if (limit === undefined) return 50;
  const size = Number(limit);
  if (!Number.isInteger(size) || size < 1 || size > page_sites_max) {
    throw new KernelError(
      'invalid_request',
      `The parameter limit must be a whole number from 1 to ${page_sites_max}.`,
    );
  }
  return size;
}
