// Why a call of the ledger failed is told in the class that says what to do, by the Data API's names and by Postgres' states alike.
import { expect, test } from 'vitest';
import { failureOf, observedLedger, onLedgerFailure } from '../../shared/adapters/ledger-failures.ts';
import { KernelError, sqlError } from '../../shared/errors.ts';

const named = (name: string, message = '') => Object.assign(new Error(message), { name });
const stated = (code: string) => Object.assign(new Error('from Postgres'), { code });
const wrapped = (cause: Error) => new KernelError('ledger_unavailable', 'x', { cause });

test.each([
  ['unavailable', named('DatabaseResumingException')],
  ['unavailable', named('DatabaseUnavailableException')],
  ['unavailable', named('ServiceUnavailableError')],
  ['unavailable', Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' })],
  ['unavailable', Object.assign(named('TimeoutError'), { code: 'ECONNRESET' })],
  ['unavailable', stated('57P01')],
  ['unavailable', stated('08006')],
  ['unavailable', named('DatabaseErrorException', 'FATAL: too many connections; SQLState: 53300')],
  ['throttled', named('ThrottlingException')],
  ['timeout', named('StatementTimeoutException')],
  ['timeout', named('TimeoutError')],
  ['timeout', stated('57014')],
  ['secret', named('SecretsErrorException')],
  ['secret', stated('28P01')],
  ['refused', named('AccessDeniedException')],
  ['refused', named('HttpEndpointNotEnabledException')],
  ['unsupported', named('UnsupportedResultException')],
  ['contention', named('DatabaseErrorException', 'ERROR: deadlock detected; SQLState: 40P01')],
  ['contention', stated('55P03')],
  ['statement', named('DatabaseErrorException', 'ERROR: no such table; SQLState: 42P01')],
  ['statement', stated('XX000')],
])('%s: %s', (failure, cause) => {
  expect(failureOf(wrapped(cause))).toBe(failure);
});

test('what a caller can do something about is an answer and no failure; a broken invariant of ours is one', () => {
  expect(failureOf(sqlError('RK010', 'frozen', new Error('x')))).toBeNull();
  expect(failureOf(sqlError('23505', 'twice', new Error('x')))).toBeNull();
  const cause = named('DatabaseErrorException', 'ERROR: impossible; SQLState: RK042');
  expect(failureOf(sqlError('RK042', 'impossible', cause))).toBe('statement');
});

test('each failed call is told once, and the caller gets the very same error', async () => {
  const told: string[] = [];
  onLedgerFailure((failure) => told.push(failure));
  const error = wrapped(named('ThrottlingException'));
  const ledger = observedLedger({ query: () => Promise.reject(error) });
  await expect(ledger.query('select 1')).rejects.toBe(error);
  expect(await observedLedger({ query: async () => [] }).query('select 1')).toEqual([]);
  expect(told).toEqual(['throttled']);
  onLedgerFailure(() => undefined);
});
