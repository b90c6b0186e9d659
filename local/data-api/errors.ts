// The errors of the RDS Data API, and how those of Postgres and of its driver become one of them.

const STATUS = {
  AccessDeniedException: 403,
  BadRequestException: 400,
  DatabaseErrorException: 400,
  DatabaseNotFoundException: 404,
  DatabaseResumingException: 400,
  DatabaseUnavailableException: 504,
  ForbiddenException: 403,
  HttpEndpointNotEnabledException: 400,
  InternalServerErrorException: 500,
  InvalidSecretException: 400,
  NotFoundException: 404,
  SecretsErrorException: 400,
  ServiceUnavailableError: 503,
  StatementTimeoutException: 400,
  ThrottlingException: 400,
  TransactionNotFoundException: 404,
  UnsupportedResultException: 400,
  ValidationException: 400,
} as const;

export type ErrorName = keyof typeof STATUS;

export class DataApiError extends Error {
  override readonly name: string;
  readonly status: number;
  /** Further members of the reply, such as `dbConnectionId`. */
  readonly detail: Record<string, unknown>;

  constructor(name: string, message: string, status?: number, detail: Record<string, unknown> = {}) {
    super(message);
    this.name = name;
    this.status = status ?? (STATUS as Record<string, number>)[name] ?? 400;
    this.detail = detail;
  }
}

export const refuse = (name: ErrorName, message: string): DataApiError => new DataApiError(name, message);

export const transactionNotFound = (id: string): DataApiError =>
  refuse('TransactionNotFoundException', `Transaction ${id} is not found`);

type DriverError = Error & { code?: string; severity?: string };

/** Postgres answered with a SQLSTATE, rather than the way to it having failed. */
export const isSqlError = (error: unknown): boolean =>
  /^[0-9A-Z]{5}$/.test((error as DriverError).code ?? '');

export function toDataApiError(error: unknown): DataApiError {
  if (error instanceof DataApiError) return error;
  const { message, code, severity } = error as DriverError;
  if (isSqlError(error)) {
    return refuse('DatabaseErrorException', `${severity ?? 'ERROR'}: ${message}; SQLState: ${code}`);
  }
  // A refused connection, one that broke, or none free in time. With any of them the outcome is not known.
  const unavailable =
    /^E[A-Z]+$/.test(code ?? '') || /connect|timeout|terminated|closed|queryable/i.test(message ?? '');
  if (unavailable)
    return refuse('DatabaseUnavailableException', `The database is not available: ${message || code}`);
  return refuse('InternalServerErrorException', message);
}

/** While connecting, a server that is starting or stopping is one that is away. */
export function toConnectError(error: unknown): DataApiError {
  const { code, message } = error as DriverError;
  if (/^57P0[1-3]$/.test(code ?? '')) {
    return refuse('DatabaseUnavailableException', `The database is not available: ${message}`);
  }
  return toDataApiError(error);
}
