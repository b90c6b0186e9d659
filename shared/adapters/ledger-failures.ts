// Why calls of the ledger fail, in classes that each ask for another answer of whoever is on duty; told to one listener.
import { KernelError } from '../errors.ts';
import type { Database } from '../ports.ts';

/**
 * `unavailable`: away, asleep or changing its writer. `refused`: the access is set up wrongly. `secret`: no password, or a wrong
 * one. `unsupported`: a statement whose result cannot be shown, though it ran. `contention`: a lock that was not free in time.
 * `statement`: an error of Postgres that no code of ours expects.
 */
export const ledger_failures = [
  'unavailable',
  'throttled',
  'timeout',
  'secret',
  'refused',
  'unsupported',
  'contention',
  'statement',
] as const;
export type LedgerFailure = (typeof ledger_failures)[number];

/** By the name of an error of the Data API; by the first characters of a SQLSTATE. */
const by_name: Record<string, LedgerFailure> = {
  ThrottlingException: 'throttled',
  StatementTimeoutException: 'timeout',
  TimeoutError: 'timeout',
  SecretsErrorException: 'secret',
  InvalidSecretException: 'secret',
  AccessDeniedException: 'refused',
  ForbiddenException: 'refused',
  HttpEndpointNotEnabledException: 'refused',
  DatabaseNotFoundException: 'refused',
  NotFoundException: 'refused',
  UnsupportedResultException: 'unsupported',
};
const by_state: [start: string, LedgerFailure][] = [
  ['08', 'unavailable'],
  ['53', 'unavailable'],
  ['57P', 'unavailable'],
  ['57014', 'timeout'],
  ['28', 'secret'],
  ['40', 'contention'],
  ['55P03', 'contention'],
];

/** The SDK calls a connection that was cut a `TimeoutError` too; its code tells. */
const cut_off = new Set(['ECONNRESET', 'EPIPE', 'ECONNREFUSED']);

let listener: (failure: LedgerFailure) => void = () => undefined;

/** There is one: a process counts its failures once. */
export function onLedgerFailure(listen: (failure: LedgerFailure) => void): void {
  listener = listen;
}

/** The same database, whose failures are told. An answer that a caller can do something about is none. */
export function observedLedger(database: Database): Database {
  return {
    async query<Row>(...call: Parameters<Database['query']>) {
      try {
        return await database.query<Row>(...call);
      } catch (error) {
        const failure = failureOf(error);
        if (failure) listener(failure);
        throw error;
      }
    },
  };
}

/** The class of a failure; null for what is an answer. */
export function failureOf(error: unknown): LedgerFailure | null {
  const answered = error instanceof KernelError && !['ledger_unavailable', 'internal'].includes(error.code);
  if (answered) return null;
  const { name, message, code } = ((error as Error).cause ?? error) as Error & { code?: string };
  if (cut_off.has(code ?? '')) return 'unavailable';
  const known = by_name[name];
  if (known) return known;
  const state = /SQLState: (\w{5})/.exec(message)?.[1] ?? /^[0-9A-Z]{5}$/.exec(code ?? '')?.[0];
  if (state === undefined) return 'unavailable'; // nobody answered, whatever the network calls it
  return by_state.find(([start]) => state.startsWith(start))?.[1] ?? 'statement';
}
