// Money over HTTP: players by their own token, finance by the tenant of theirs. One route, one verb of the ledger.
import httpRouter from '@middy/http-router';
import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2, Context } from 'aws-lambda';
import { dataApi } from '../shared/adapters/data-api.ts';
import { paymentProviders } from '../shared/adapters/providers.ts';
import { secretsManager } from '../shared/adapters/secrets.ts';
import { sqs } from '../shared/adapters/sqs.ts';
import { build_variables, database_variables, environment, type MoneyEnvironment } from '../shared/config.ts';
import { csvLine } from '../shared/csv.ts';
import { deposit } from '../shared/deposit.ts';
import { type ErrorCode, errorStatus, KernelError } from '../shared/errors.ts';
import * as finding from '../shared/finding.ts';
import { pageSize, readJson } from '../shared/input.ts';
import { type MoneyAnswer, optionalKey, requireKey, type Staff } from '../shared/money-answer.ts';
import * as payment from '../shared/payment-method.ts';
import * as player from '../shared/player.ts';
import * as runs from '../shared/provider-run.ts';
import {
  type Identity,
  isPlatformAdmin,
  requirePlatformAdmin,
  staffTenant,
  tokenVerifier,
} from '../shared/token.ts';
import * as withdrawal from '../shared/withdrawal.ts';
import { type HttpAnswer, type HttpRequest, http, logger, noRoute } from './runtime.ts';

const body_bytes_max = 256 * 1024;
const page_usual = 50;
const page_max = 200;
const offset_max = 1_000_000;
const export_rows_max = 10_000;
const export_page = 500;
const no_store = { 'cache-control': 'no-store' };
/** What an answer of the ledger says for the ledger's own sake. */
const internal = new Set([
  'transfer_ids',
  'balances',
  'hold_id',
  'decided_by',
  'created_at',
  'order',
  'attempt_id',
  'movement',
]);
const columns = [
  ...['tx_id', 'player_id', 'amount_minor', 'currency', 'method', 'address', 'state', 'created_at'],
  ...['reviewed_by', 'reviewed_at', 'review_reason', 'paid_at', 'provider', 'provider_ref'],
];

const env = environment<MoneyEnvironment>(
  ...build_variables,
  ...database_variables,
  'TOKEN_ISSUER',
  'TOKEN_CLIENT_ID',
  'PROVIDER_SECRET_ARNS',
  'MATCH_QUEUE_URL',
);
const database = dataApi(env);
const providers = paymentProviders(database, secretsManager(), env.PROVIDER_SECRET_ARNS);
const matching = sqs(env.MATCH_QUEUE_URL);
const verify = tokenVerifier(env.TOKEN_ISSUER, env.TOKEN_CLIENT_ID);

type Method = 'GET' | 'POST' | 'PUT';
type Door<Caller> = (request: HttpRequest, caller: Caller, id: string) => Promise<MoneyAnswer | HttpAnswer>;

function route<Caller>(
  method: Method,
  path: string,
  enter: (identity: Identity, request: HttpRequest) => Caller,
  door: Door<Caller>,
) {
  const handler = http(env, async (request) => {
    const caller = enter(await verify(request.headers.authorization), request);
    const answer = await door(request, caller, request.pathParameters.id ?? '');
    return 'status' in answer && 'body' in answer
      ? (answer as HttpAnswer)
      : shown(answer as MoneyAnswer, request);
  });
  return { method, path: `/api/v1${path}`, handler };
}

const self = (identity: Identity) => identity.subject;
const staff = (identity: Identity, { query }: HttpRequest): Staff => ({
  tenant: staffTenant(identity, query.tenant_id),
  actor: identity.subject,
});
const platformAdmin = (identity: Identity, request: HttpRequest): Staff => {
  requirePlatformAdmin(identity);
  return staff(identity, request);
};
/** A tenant's finance works on its own findings, a platform admin on all of them, or on those of a tenant that is named. */
const reviewer = (identity: Identity, request: HttpRequest): finding.Reviewer =>
  isPlatformAdmin(identity) && request.query.tenant_id === undefined
    ? { tenant: null, actor: identity.subject }
    : staff(identity, request);
const own = (method: Method, path: string, door: Door<string>) => route(method, `/player${path}`, self, door);
const finance = (method: Method, path: string, door: Door<Staff>) => route(method, path, staff, door);
const review = (method: Method, path: string, door: Door<finding.Reviewer>) =>
  route(method, path, reviewer, door);
const key = ({ headers }: HttpRequest) => headers['idempotency-key'];
const outcome = ({ headers }: HttpRequest) => headers['x-mock-outcome'];

const playerRoutes = [
  own('POST', '/register', (r, who) => player.register(database, who, json(r))),
  own('POST', '/kyc', (_, who) => player.submitKyc(database, who)),
  own('GET', '/wallet/balance', ({ query }, who) => player.readBalance(database, who, query.currency)),
  own('POST', '/wallet/deposit', (r, who) =>
    deposit(database, providers, who, requireKey(key(r)), json(r), outcome(r)),
  ),
  own('POST', '/wallet/withdraw', (r, who) =>
    withdrawal.requestWithdrawal(database, who, requireKey(key(r)), json(r)),
  ),
  own('POST', '/wallet/withdrawals/{id}/cancel', (_, who, tx) =>
    withdrawal.cancelWithdrawal(database, who, tx),
  ),
  own('GET', '/wallet/transactions', ({ query }, who) =>
    withdrawal.listOwn(database, who, number(query.page, 'page', 1, 10_000, 1), size(query)),
  ),
];

const decide = (verb: withdrawal.FinanceVerb) => (r: HttpRequest, who: Staff, tx: string) =>
  withdrawal.decide(database, who, verb, tx, optionalKey(key(r)), json(r));
const pay =
  (verb: withdrawal.FinanceVerb, keyOf: typeof optionalKey = requireKey) =>
  (r: HttpRequest, who: Staff, tx: string) =>
    withdrawal.pay(database, providers, who, verb, tx, keyOf(key(r)), json(r), outcome(r));

const financeRoutes = [
  finance('GET', '/finance/withdrawals', ({ query }, who) =>
    withdrawal.list(database, who, query, size(query), offset(query)),
  ),
  finance('GET', '/finance/withdrawals/export', ({ query }, who) => exported(query, who)),
  finance('GET', '/finance/withdrawals/{id}', (_, who, tx) => withdrawal.read(database, who, tx)),
  finance('POST', '/finance/withdrawals/{id}/review', decide('review')),
  finance('POST', '/finance/withdrawals/{id}/mark-paid', decide('mark_paid')),
  finance('POST', '/finance/withdrawals/{id}/payout', pay('payout')),
  finance('POST', '/finance/withdrawals/{id}/recheck', pay('recheck')),
  finance('POST', '/finance/withdrawals/{id}/retry', pay('retry', optionalKey)),
  finance('POST', '/finance-actions/withdrawals/{id}/retry', pay('retry', optionalKey)),
  finance('GET', '/admin/players/{id}/wallet', (_, who, id) => player.readPlayer(database, who, id)),
  finance('POST', '/admin/players/{id}/kyc', (r, who, id) => player.decideKyc(database, who, id, json(r))),
  finance('POST', '/admin/players/{id}/verification', (r, who, id) =>
    player.verifyPlayer(database, who, id, json(r)),
  ),
  finance('POST', '/admin/ledger/adjust', (r, who) =>
    player.adjust(database, who, requireKey(key(r)), json(r)),
  ),
  finance('GET', '/admin/policy', (_, who) => player.readPolicy(database, who)),
  finance('GET', '/admin/payment-methods', (_, who) => payment.listMethods(database, who)),
  finance('GET', '/admin/products', (_, who) => payment.listProducts(database, who)),
  route('PUT', '/admin/payment-methods', platformAdmin, (r, who) =>
    payment.setMethod(database, who, json(r)),
  ),
  finance('PUT', '/admin/provider-customers', (r, who) => payment.setCustomer(database, who, json(r))),
  route('PUT', '/admin/products', platformAdmin, (r, who) => payment.setProduct(database, who, json(r))),
  route('PUT', '/admin/correction-ceiling', platformAdmin, (r, who) =>
    finding.setCeiling(database, who.tenant, who.actor, json(r)),
  ),
  route('PUT', '/admin/policy', platformAdmin, (r, who) => player.setPolicy(database, who, json(r))),
  route('POST', '/admin/legacy-balances', platformAdmin, (r, who) =>
    player.importLegacy(database, who, json(r)),
  ),
];

const reconciliationRoutes = [
  review('GET', '/payments/reconciliation/findings', ({ query }, who) =>
    finding.listFindings(database, who, query, size(query), offset(query)),
  ),
  review('GET', '/payments/reconciliation/findings/{id}', (_, who, id) =>
    finding.readFinding(database, who, id),
  ),
  review('POST', '/payments/reconciliation/findings/{id}/resolve', (r, who, id) =>
    finding.resolveFinding(database, who, id, json(r)),
  ),
  review('PUT', '/payments/reconciliation/findings/{id}/owner', (r, who, id) =>
    finding.ownFinding(database, who, id, json(r)),
  ),
  review('POST', '/payments/reconciliation/findings/{id}/correction', (r, who, id) =>
    finding.correctFinding(database, who, id, requireKey(key(r)), json(r)),
  ),
  review('POST', '/payments/reconciliation/corrections/{id}/decision', (r, who, id) =>
    finding.decideCorrection(database, who, id, json(r)),
  ),
  review('POST', '/payments/reconciliation/run', runNow),
  review('POST', '/reconciliation/runs', queueRun),
  review('GET', '/reconciliation/runs', ({ query }, who) =>
    runs.listRuns(database, who, query.provider, size(query), offset(query)),
  ),
  review('GET', '/reconciliation/runs/{id}', (_, who, id) => runs.readRunOf(database, who, id)),
];

/** Exported for the test that holds them against docs/openapi.json. */
export const routes = [
  ...playerRoutes,
  ...financeRoutes,
  ...reconciliationRoutes,
  { method: 'ANY' as const, path: '/{proxy+}', handler: http(env, noRoute) },
];
const router = httpRouter<APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2>(routes);
/** The router takes three parameters, which Lambda would take for a callback handler. */
export const handler = (event: APIGatewayProxyEventV2, context: Context) =>
  router(event, context, undefined as never);

/** What the ledger answered, as HTTP: a replay has the status and the body of the first answer. */
function shown(
  { outcome, code, sentence, replayed, ...answer }: MoneyAnswer,
  request: HttpRequest,
): HttpAnswer {
  const { request_id } = request;
  const headers = { ...no_store, ...(replayed && { 'idempotency-replayed': 'true' }) };
  const fields = Object.fromEntries(Object.entries(answer).filter(([name]) => !internal.has(name)));
  if (outcome === 'done') return { status: 200, headers, body: { ok: true, ...fields, request_id } };
  const known = code !== undefined && code in errorStatus ? (code as ErrorCode) : 'internal';
  const wait = fields.retry_after_s === undefined ? {} : { 'retry-after': String(fields.retry_after_s) };
  const body = { ok: false, error: sentence ?? 'Refused.', code: known, ...fields, request_id };
  return { status: errorStatus[known], headers: { ...headers, ...wait }, body };
}

/** The newest rows that the filters find; a header says where to go on when there are more than one file holds. */
async function exported(query: HttpRequest['query'], who: Staff): Promise<HttpAnswer> {
  let csv = csvLine(columns);
  let cursor: string | null | undefined = query.cursor;
  let rows = 0;
  do {
    const asked = { ...query, ...(cursor && { cursor }) };
    const page = await withdrawal.list(database, who, asked, export_page, 0);
    for (const item of page.items) csv += csvLine(columns.map((column) => item[column]));
    rows += page.items.length;
    cursor = page.next_cursor;
  } while (cursor && rows < export_rows_max);
  const type = { 'content-type': 'text/csv; charset=utf-8' };
  const disposition = { 'content-disposition': 'attachment; filename="withdrawals.csv"' };
  const more = cursor ? { 'x-next-cursor': cursor } : {};
  return { status: 200, headers: { ...no_store, ...type, ...disposition, ...more }, body: csv };
}

function size({ limit }: HttpRequest['query']): number {
  return pageSize(limit, page_usual, page_max);
}

function offset(query: HttpRequest['query']): number {
  return number(query.offset, 'offset', 0, offset_max, 0);
}

/** The last day of a provider, in this very call. */
async function runNow(
  { query, request_id }: HttpRequest,
  { tenant, actor }: finding.Reviewer,
): Promise<MoneyAnswer | HttpAnswer> {
  const asked = await runs.requestRun(
    database,
    tenant,
    runs.lastDay(query.provider ?? '', Date.now()),
    actor,
  );
  if (asked.code === 'UNSUPPORTED_PROVIDER') return unsupported(request_id);
  const run = await runs.workOnRun(database, providers.of, asked.run?.id ?? '');
  return { outcome: 'done', status: run?.status === 'completed' ? 'ok' : (run?.status ?? 'queued'), run };
}

/** Beside the 404 of a webhook: here the provider is a parameter, not a place. */
const unsupported = (request_id: string): HttpAnswer => ({
  status: 400,
  headers: no_store,
  body: {
    ok: false,
    error: 'There is no such provider that can be reconciled.',
    code: 'UNSUPPORTED_PROVIDER',
    request_id,
  },
});

/** Queued; a message that is lost costs time only, for the nightly job takes what waits. */
async function queueRun(request: HttpRequest, { tenant, actor }: finding.Reviewer) {
  const { request_id } = request;
  const asked = await runs.requestRun(database, tenant, runs.readRun(json(request)), actor);
  if (asked.code === 'UNSUPPORTED_PROVIDER') return unsupported(request_id);
  if (asked.run?.status === 'queued')
    await matching.send(JSON.stringify({ run: asked.run.id })).catch((cause: unknown) => {
      logger.warn('MATCH_PUBLISH_FAILED', { run: asked.run?.id, cause: cause as Error });
    });
  return asked;
}

function number(value: string | undefined, name: string, min: number, max: number, usual: number): number {
  if (value === undefined) return usual;
  const found = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN;
  if (found >= min && found <= max) return found;
  throw new KernelError(
    'invalid_request',
    `The parameter ${name} must be a whole number from ${min} to ${max}.`,
  );
}

/** An empty body is an empty object: some calls say everything by their path and key. */
function json({ body }: HttpRequest): unknown {
  return body === '' ? {} : readJson(body, body_bytes_max);
}
