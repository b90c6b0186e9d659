// What the control plane answers to those who look: the overview, rows behind a number, the books, the audit log.
import * as books from '../shared/books.ts';
import { pageSize } from '../shared/input.ts';
import * as rows from '../shared/ledger-rows.ts';
import * as overview from '../shared/overview.ts';
import type { Database, OutcomeCounter } from '../shared/ports.ts';
import { type Identity, requireFinance, requirePlatformAdmin, staffTenant } from '../shared/token.ts';
import type { HttpRequest } from './runtime.ts';

const page_usual = 50;
const page_max = 200;

interface Call {
  identity: Identity;
  ref: string;
  part(name: string): string;
}
type Verb = (request: HttpRequest, call: Call) => Promise<object>;
type Enter = (identity: Identity) => void;

/** @param route makes a route of the control plane for callers with a token. */
export function readRoutes<Made>(
  route: (method: 'GET', path: string, authorize: Enter, verb: Verb) => Made,
  database: Database,
  outcomes: OutcomeCounter,
): Made[] {
  const page = ({ limit }: HttpRequest['query']) => pageSize(limit, page_usual, page_max);
  const admin = (path: string, verb: Verb) => route('GET', `/api/admin${path}`, requirePlatformAdmin, verb);
  const site = (path: string, verb: Verb) => route('GET', `/api/sites/{ref}${path}`, () => undefined, verb);
  const book = (path: string, verb: (tenant: string, request: HttpRequest, id: string) => Promise<object>) =>
    route(
      'GET',
      `/api/admin/ledger${path}`,
      () => undefined,
      async (request, { identity, part }) =>
        verb(staffTenant(identity, request.query.tenant_id), request, part('id')),
    );
  return [
    route('GET', '/api/admin/overview', requireFinance, () => overview.readOverview(database, outcomes)),
    admin('/usage', ({ query }) => overview.listSiteUsage(database, query.month, query.cursor, page(query))),
    admin('/jobs', ({ query }) => overview.listSiteJobs(database, query.status, page(query))),
    admin('/audit', ({ query }) => overview.listAudit(database, query, page(query))),
    site('/days', ({ query }, { identity, ref }) => rows.readDays(database, identity, ref, query.month)),
    site('/events', ({ query }, { identity, ref }) =>
      rows.listRows(database, identity, ref, query, page(query)),
    ),
    site('/invoices/{month}/lines', ({ query }, { identity, ref, part }) =>
      rows.readSealedLines(database, identity, ref, part('month'), query),
    ),
    book('/trial-balance', (tenant) => books.trialBalance(database, tenant)),
    book('/accounts', (tenant, { query }) => books.listAccounts(database, tenant, query, page(query))),
    book('/accounts/{id}', (tenant, { query }, id) => books.readAccount(database, tenant, id, query.cursor)),
    book('/transfers/{id}', (tenant, _, id) => books.readTransfer(database, tenant, id)),
  ];
}
