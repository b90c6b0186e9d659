// The control plane: one route, one verb. Administration needs a platform admin, the site API a capability at the site.
import httpRouter from '@middy/http-router';
import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2, Context } from 'aws-lambda';
import openapi from '../docs/openapi.json' with { type: 'json' };
import { usageCounter } from '../shared/adapters/dynamodb.ts';
import { ledger } from '../shared/adapters/ledger.ts';
import { outcomeCounter } from '../shared/adapters/outcomes.ts';
import { s3 } from '../shared/adapters/s3.ts';
import { secretsManager } from '../shared/adapters/secrets.ts';
import { sqs } from '../shared/adapters/sqs.ts';
import * as administration from '../shared/administration.ts';
import { examine } from '../shared/assurance.ts';
import { listMigrations, readMigration } from '../shared/backfill.ts';
import { type ApiEnvironment, build_variables, database_variables, environment } from '../shared/config.ts';
import * as corrections from '../shared/corrections.ts';
import { requireCronSecret } from '../shared/cron.ts';
import { type DisputeAnswer, link_seconds, requestExport } from '../shared/dispute.ts';
import * as flags from '../shared/flag.ts';
import { pageSize, readJson } from '../shared/input.ts';
import { metricsJson, metricsText, readMetrics } from '../shared/metrics.ts';
import { readReceipt } from '../shared/receipt.ts';
import * as site from '../shared/site-api.ts';
import {
  type Identity,
  isPlatformAdmin,
  requireFinance,
  requirePlatformAdmin,
  requireService,
  tokenVerifier,
} from '../shared/token.ts';
import { readTracker, siteTracker } from '../shared/tracker.ts';
import { readRoutes } from './console-reads.ts';
import { type HttpAnswer, type HttpRequest, http, logger, noRoute } from './runtime.ts';

const body_bytes_max = 64 * 1024;
const page_usual = 50;
const page_max = 200;
const export_retry_s = 2;
const no_store = { 'cache-control': 'no-store' };

const env = environment<ApiEnvironment>(
  ...build_variables,
  ...database_variables,
  'USAGE_TABLE',
  'EXPORT_QUEUE_URL',
  'EXPORT_BUCKET',
  'EVIDENCE_BUCKET',
  'CRON_SECRET_ARN',
  'TOKEN_ISSUER',
  'TOKEN_CLIENT_ID',
);
const database = ledger(env);
const counter = usageCounter(env.USAGE_TABLE);
const outcomes = outcomeCounter(env.USAGE_TABLE);
const secrets = secretsManager();
const verify = tokenVerifier(env.TOKEN_ISSUER, env.TOKEN_CLIENT_ID);
const dispute = {
  // Counting or hashing a month of millions of rows takes many seconds; one attempt, for a second would start it anew.

  database: ledger(env, { request_timeout_ms: 26_000, attempts: 1 }),
  exports: s3(env.EXPORT_BUCKET),
  archive: s3(env.EVIDENCE_BUCKET),
  queue: sqs(env.EXPORT_QUEUE_URL),
};

type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';
/** What a verb of a signed-in caller is given beside the request. */
interface Call {
  identity: Identity;
  /** The site that the path names. */
  ref: string;
  /** Another part of the path. */
  part(name: string): string;
}
type Verb = (request: HttpRequest, call: Call) => Promise<object>;

/** A route for a caller with a token: `authorize` asks for more than a valid one. */
function route(
  method: Method,
  path: string,
  authorize: (identity: Identity) => void,
  verb: Verb,
  status = 200,
) {
  const door = async (request: HttpRequest): Promise<HttpAnswer> => {
    const identity = await verify(request.headers.authorization);
    authorize(identity);
    const part = (name: string) => request.pathParameters[name] ?? '';
    const result = await verb(request, { identity, ref: part('ref'), part });
    return { status, headers: no_store, body: { ok: true, ...result, request_id: request.request_id } };
  };
  return { method, path, handler: http(env, door) };
}

/** What a user may do at a site is decided in the ledger, by the verb. */
const anyone = () => undefined;

const admin = (method: Method, path: string, verb: Verb, status?: number) =>
  route(method, `/api/admin${path}`, requirePlatformAdmin, verb, status);
const finance = (method: Method, path: string, verb: Verb, status?: number) =>
  route(method, `/api/admin${path}`, requireFinance, verb, status);
const service = (path: string, verb: Verb) => route('GET', `/api/admin${path}`, requireService, verb);
const user = (method: Method, path: string, verb: Verb) => route(method, `/api/sites${path}`, anyone, verb);

const administrationRoutes = [
  admin('POST', '/sites', (r, c) => administration.createSite(database, json(r), c.identity.subject), 201),
  admin('GET', '/sites', ({ query }) => administration.listSites(database, query.cursor, page(query))),
  admin('PUT', '/sites/{ref}/plan', (r, c) =>
    administration.setPlan(database, c.ref, json(r), c.identity.subject),
  ),
  admin('PUT', '/sites/{ref}/unblock', (r, c) =>
    administration.unblockPlan(database, c.ref, json(r), c.identity.subject),
  ),
  admin('PUT', '/sites/{ref}/enforcement', (r, c) =>
    administration.setEnforcement(database, c.ref, json(r), c.identity.subject),
  ),
  admin('GET', '/sites/{ref}/settlement', (_, { ref }) => administration.readSettlement(database, ref)),
  admin('PUT', '/sites/{ref}/settlement', (r, c) =>
    administration.setSettlement(database, c.ref, json(r), c.identity.subject),
  ),
  admin('GET', '/sites/{ref}/usage', ({ query }, { ref }) =>
    administration.siteUsage(database, counter, ref, query.month),
  ),
  admin('GET', '/sites/{ref}/tracker', ({ query }, { ref }) => siteTracker(database, ref, query.month)),
  admin('GET', '/sites/{ref}/keys', (_, { ref }) => administration.listKeys(database, ref)),
  admin(
    'POST',
    '/sites/{ref}/keys',
    (_, c) => administration.createKey(database, c.ref, false, c.identity.subject),
    201,
  ),
  admin(
    'POST',
    '/sites/{ref}/keys/rotate',
    (_, c) => administration.createKey(database, c.ref, true, c.identity.subject),
    201,
  ),
  admin('DELETE', '/sites/{ref}/keys/{key}', (_, c) =>
    administration.revokeKey(database, c.ref, c.part('key'), c.identity.subject),
  ),
  admin('PUT', '/sites/{ref}/members/{user}', (r, c) =>
    administration.setMember(database, c.ref, c.part('user'), json(r), c.identity.subject),
  ),
  admin('DELETE', '/sites/{ref}/members/{user}', (_, c) =>
    administration.removeMember(database, c.ref, c.part('user'), c.identity.subject),
  ),
  admin('GET', '/flags', () => flags.listFlags(database)),
  admin('GET', '/flags/{flag}', (_, c) => flags.readFlag(database, c.part('flag'))),
  admin('PUT', '/flags/{flag}', (r, c) =>
    flags.setFlag(database, c.part('flag'), json(r), c.identity.subject),
  ),
  service('/dataMigrations', ({ query }) => listMigrations(database, query.cursor, page(query))),
  service('/dataMigrations/{id}', ({ query }, { part }) =>
    readMigration(database, part('id'), query.cursor, page(query)),
  ),
  finance('GET', '/doctor', () => examine(dispute.database)),
  finance('GET', '/sites/{ref}/adjustments', (_, { ref }) => corrections.listAdjustments(database, ref)),
  finance(
    'POST',
    '/sites/{ref}/adjustments',
    (r, c) => corrections.proposeAdjustment(database, c.ref, json(r), c.identity.subject),
    201,
  ),
  finance('POST', '/sites/{ref}/adjustments/{id}/decision', (r, c) =>
    corrections.decideAdjustment(database, c.ref, c.part('id'), json(r), c.identity.subject),
  ),
];

const siteRoutes = [
  user('GET', '', ({ query }, { identity }) => site.mySites(database, identity, query.cursor, page(query))),
  user('GET', '/{ref}/usage', ({ query }, { identity, ref }) =>
    site.readUsage(database, counter, outcomes, identity, ref, query.month),
  ),
  user('GET', '/{ref}/tracker', ({ query }, { identity, ref }) =>
    readTracker(database, identity, ref, query.month),
  ),
  user('GET', '/{ref}/plan', (_, { identity, ref }) => site.readPlan(database, identity, ref)),
  user('GET', '/{ref}/quota', (_, { identity, ref }) => site.readQuota(database, identity, ref)),
  user('GET', '/{ref}/invoices', ({ query }, { identity, ref }) =>
    site.readInvoices(database, identity, ref, query.cursor, pageSize(query.limit, 24, 120)),
  ),
  user('GET', '/{ref}/invoices/{month}', (_, { identity, ref, part }) =>
    site.proveInvoice(dispute.database, identity, ref, part('month')),
  ),
  user('GET', '/{ref}/jobs', (_, { identity, ref }) => site.readJobs(database, identity, ref)),
  user('POST', '/{ref}/jobs', (r, { identity, ref }) => site.requestJob(database, identity, ref, json(r))),
  user('GET', '/{ref}/events/{ingest_id}', (_, { identity, ref, part }) =>
    readReceipt(database, identity.subject, isPlatformAdmin(identity), ref, part('ingest_id')),
  ),
  user('POST', '/{ref}/erasures', (r, { identity, ref }) =>
    site.erasePayloads(database, identity, ref, json(r)),
  ),
];

/** Exported for the test that holds them against docs/openapi.json. */
export const routes = [
  { method: 'GET' as const, path: '/api/health', handler: http(env, health) },
  { method: 'GET' as const, path: '/openapi.json', handler: http(env, contract) },
  { method: 'GET' as const, path: '/api/metrics', handler: http(env, showMetrics) },
  { method: 'GET' as const, path: '/api/billing/dispute-export', handler: http(env, exportMonth) },
  ...administrationRoutes,
  ...siteRoutes,
  ...readRoutes(route, database, outcomes),
  { method: 'ANY' as const, path: '/{proxy+}', handler: http(env, noRoute) },
];
const router = httpRouter<APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2>(routes);
/** The router takes three parameters, which Lambda would take for a callback handler. */
export const handler = (event: APIGatewayProxyEventV2, context: Context) =>
  router(event, context, undefined as never);

async function contract(): Promise<HttpAnswer> {
  return { status: 200, headers: { 'cache-control': 'public, max-age=300' }, body: openapi };
}

async function health({ request_id }: HttpRequest): Promise<HttpAnswer> {
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
  return { status: writable ? 200 : 503, headers: no_store, body };
}

/** For probes, by the cron secret, and for platform admins, by their token. */
async function showMetrics({ headers, request_id }: HttpRequest): Promise<HttpAnswer> {
  const isToken = (headers.authorization ?? '').split('.').length === 3; // a JWT has three parts, the secret no dot
  if (isToken) requirePlatformAdmin(await verify(headers.authorization));
  else requireCronSecret(headers.authorization, await secrets.get(env.CRON_SECRET_ARN));
  const found = await readMetrics(database, outcomes);
  if (/\btext\/plain\b|openmetrics/.test(headers.accept ?? '')) {
    const type = { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' };
    return { status: 200, headers: { ...no_store, ...type }, body: metricsText(found) };
  }
  return { status: 200, headers: no_store, body: { ok: true, ...metricsJson(found), request_id } };
}

async function exportMonth({ headers, query, request_id }: HttpRequest): Promise<HttpAnswer> {
  const identity = await verify(headers.authorization);
  const answer = await requestExport(dispute, identity, query, request_id);
  return exportAnswer(answer, request_id, /\bapplication\/json\b/.test(headers.accept ?? ''));
}

/** @param told a page cannot read where a redirect leads: it asks for JSON, and is told. */
function exportAnswer(answer: DisputeAnswer, request_id: string, told: boolean): HttpAnswer {
  if (answer.kind === 'building') {
    const { found } = answer;
    const location = `/api/billing/dispute-export?site_id=${found.site_id}&year_month=${found.year_month}&export_id=${found.export_id}`;
    return {
      status: 202,
      headers: { ...no_store, location, 'retry-after': String(export_retry_s) },
      body: { ok: true, status: 'building', ...shown(found), request_id },
    };
  }
  const { state } = answer;
  const hash = answer.kind === 'inline' ? answer.export_hash : (answer.found.export_hash ?? '');
  const rows = answer.kind === 'inline' ? state.row_count : answer.found.row_count;
  const { site_id, year_month } = state;
  logger.info('BILLING_DISPUTE_EXPORT', { site_id, year_month, row_count: rows, export_hash: hash });
  const common = {
    ...no_store,
    'x-opsmantik-export-hash': hash,
    ...(state.snapshot_hash && { 'x-opsmantik-snapshot-hash': state.snapshot_hash }),
  };
  if (answer.kind === 'inline') {
    const filename = `dispute-export-${site_id.slice(0, 8)}-${year_month}.csv`;
    const disposition = { 'content-disposition': `attachment; filename="${filename}"` };
    const type = { 'content-type': 'text/csv; charset=utf-8' };
    return { status: 200, headers: { ...common, ...type, ...disposition }, body: answer.csv };
  }
  const expires = { link_expires_s: link_seconds, url: answer.link, manifest_url: answer.manifest };
  return {
    status: told ? 200 : 303,
    headers: { ...common, location: answer.link },
    body: { ok: true, status: 'ready', ...shown(answer.found), ...expires, request_id },
  };
}

function shown({ export_id, site_id, year_month, row_count, rows_done, export_hash, bytes }: Export) {
  return { export_id, site_id, year_month, row_count, rows_done, export_hash, bytes };
}

type Export = Extract<DisputeAnswer, { kind: 'building' }>['found'];

function page({ limit }: HttpRequest['query']): number {
  return pageSize(limit, page_usual, page_max);
}

function json({ body }: HttpRequest): unknown {
  return readJson(body, body_bytes_max);
}
