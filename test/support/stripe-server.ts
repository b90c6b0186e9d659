// A local server with the shapes of Stripe's API: payment intents, payouts, refunds and events, idempotency keys, and failures to plant.
//
// Not reproduced: customers, charges, balances, expansion, Connect, rate limits of its own, and the 24 hours after which Stripe
// forgets a key (forgetKeys does that).
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import { type Collection, collections, invalid, missing, type Params, StripeBook } from './stripe-book.ts';
import { newId } from './stripe-objects.ts';

/** timeout and lost_reply: the payment is made, and nobody is told. */
export type Failure =
  | 'card_declined'
  | 'invalid_request'
  | 'rate_limit'
  | 'server_error'
  | 'timeout'
  | 'lost_reply';

export interface StripeServer {
  url: string;
  api_key: string;
  book: StripeBook;
  /** How every request that makes something fails from now on; null: not. */
  fail(failure: Failure | null): void;
  forgetKeys(): void;
  /** Requests that came, such as `POST /v1/payouts`. */
  requests: string[];
  close(): Promise<void>;
}

interface Answer {
  status: number;
  body: object;
  headers?: Record<string, string>;
}

interface Known {
  path: string;
  params: Params;
  answer: Answer;
}

const refusals: Partial<Record<Failure, Answer>> = {
  card_declined: error(402, {
    ...{ type: 'card_error', code: 'card_declined', decline_code: 'insufficient_funds' },
    message: 'Your card has insufficient funds.',
  }),
  invalid_request: error(400, {
    ...{ type: 'invalid_request_error', code: 'balance_insufficient' },
    message: 'You have insufficient funds in your Stripe account.',
  }),
  rate_limit: error(429, {
    type: 'invalid_request_error',
    code: 'rate_limit',
    message: 'Too many requests.',
  }),
  server_error: error(500, { type: 'api_error', message: 'An unknown error occurred.' }),
};

export async function openStripe(api_key = `sk_test_${newId('local')}`): Promise<StripeServer> {
  const book = new StripeBook();
  const keys = new Map<string, Known>();
  const requests: string[] = [];
  let failure: Failure | null = null;

  const answerTo = (request: IncomingMessage, body: string): Answer => {
    const { pathname: path, searchParams } = new URL(request.url ?? '/', 'http://stripe');
    if (request.headers.authorization !== `Bearer ${api_key}`)
      return error(401, { type: 'invalid_request_error', message: 'Invalid API Key provided.' });
    const [, version, collection = '', id] = path.split('/');
    if (version !== 'v1' || !(collection in collections || collection === 'events'))
      return fromRefused(missing(path));
    if (request.method === 'POST')
      return post(book, keys, failure, collection as Collection, nested(body), request);
    return id ? retrieve(book, id) : list(book, collection, searchParams);
  };

  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    requests.push(`${request.method} ${request.url?.split('?')[0]}`);
    const answer = answerTo(request, body);
    const hides = request.method === 'POST' && (failure === 'timeout' || failure === 'lost_reply');
    if (!hides) send(response, answer);
    else if (failure === 'lost_reply') response.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ...{ api_key, book, requests },
    fail: (next) => {
      failure = next;
    },
    forgetKeys: () => keys.clear(),
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** A key repeats the first answer, also of what failed while it was done; what was refused before that is not kept. */
function post(
  book: StripeBook,
  keys: Map<string, Known>,
  failure: Failure | null,
  collection: Collection,
  params: Params,
  request: IncomingMessage,
): Answer {
  const key = request.headers['idempotency-key'] as string | undefined;
  const known = key === undefined ? undefined : keys.get(key);
  if (known) {
    const same = known.path === collection && isDeepStrictEqual(known.params, params);
    if (same) return { ...known.answer, headers: { 'idempotent-replayed': 'true' } };
    const message = 'Keys for idempotent requests can only be used with the same parameters.';
    return error(400, { type: 'idempotency_error', message });
  }
  const refusal = failure === null ? undefined : refusals[failure];
  if (refusal && (refusal.status === 429 || refusal.status === 400)) return refusal;
  const made = refusal ? null : book.make(collection, params);
  if (made && 'error' in made) return fromRefused(made);
  const answer = refusal ?? { status: 200, body: structuredClone(made) as object };
  if (key !== undefined) keys.set(key, { path: collection, params, answer });
  return answer;
}

function retrieve(book: StripeBook, id: string): Answer {
  const found = book.objects.get(id) ?? book.events.find((event) => event.id === id);
  return found ? { status: 200, body: found } : fromRefused(missing(id));
}

function list(book: StripeBook, collection: string, query: URLSearchParams): Answer {
  const all = collection === 'events' ? book.events.toReversed() : book.all(collection as Collection);
  const limit = Number(query.get('limit') ?? 10);
  if (!(limit >= 1 && limit <= 100))
    return fromRefused(invalid('parameter_invalid_integer', 'Invalid limit.'));
  const types = [...query].filter(([name]) => name.startsWith('types[')).map(([, type]) => type);
  const bound = (name: string, without: number) => Number(query.get(`created[${name}]`) ?? without);
  const wanted = all.filter(
    (one) =>
      (types.length === 0 || ('type' in one && types.includes(String(one.type)))) &&
      one.created >= bound('gte', 0) &&
      one.created < bound('lt', Number.MAX_VALUE) &&
      one.created <= bound('lte', Number.MAX_VALUE),
  );
  const after = query.get('starting_after');
  const from = after === null ? 0 : wanted.findIndex(({ id }) => id === after) + 1;
  if (after !== null && from === 0) return fromRefused(missing(after));
  const data = wanted.slice(from, from + limit);
  const has_more = wanted.length > from + limit;
  return { status: 200, body: { object: 'list', url: `/v1/${collection}`, has_more, data } };
}

/** `metadata[tx_id]=1` as the library writes it. */
function nested(body: string): Params {
  const params: Params = {};
  for (const [name, value] of new URLSearchParams(body)) {
    const [, outer = name, inner] = /^([^[]+)(?:\[([^\]]+)\])?$/.exec(name) ?? [];
    if (inner === undefined) params[outer] = value;
    else params[outer] = { ...(params[outer] as object), [inner]: value };
  }
  return params;
}

function error(status: number, told: object): Answer {
  return { status, body: { error: told } };
}

function fromRefused({ status, error: told }: ReturnType<typeof missing>): Answer {
  return error(status, told);
}

function send(response: ServerResponse, { status, body, headers = {} }: Answer): void {
  response.writeHead(status, { 'content-type': 'application/json', 'request-id': newId('req'), ...headers });
  response.end(JSON.stringify(body));
}
