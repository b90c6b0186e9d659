// The one error class, the closed list of its codes, and the one table from SQLSTATE to code to HTTP status.

/** Every code that a caller can meet, with the status it is answered with. */
export const errorStatus = {
  invalid_json: 400,
  payload_not_object: 400,
  missing_site_or_url: 400,
  site_not_found: 400,
  site_mismatch: 400,
  events_empty: 400,
  events_too_many: 400,
  event_id_required: 400,
  event_id_invalid: 400,
  event_invalid: 400,
  event_too_old: 400,
  event_too_large: 400,
  event_too_deep: 400,
  text_invalid: 400,
  number_not_exact: 400,
  invalid_request: 400,
  content_encoding_unsupported: 415,
  origin_not_allowed: 403,
  api_key_invalid: 403,
  not_authenticated: 401,
  forbidden: 403,
  CRON_FORBIDDEN: 403,
  receipt_not_found: 404,
  not_found: 404,
  method_not_allowed: 405,
  conflict: 409,
  keys_exhausted: 409,
  key_not_found: 404,
  payload_too_large: 413,
  rate_limited: 429,
  rejected_quota: 429,
  month_frozen: 409,
  month_open: 409,
  month_not_frozen: 409,
  append_only: 409,
  retention_refused: 409,
  export_not_found: 404,
  adjustment_not_found: 404,
  adjustment_decided: 409,
  four_eyes: 409,
  IDEMPOTENCY_KEY_REQUIRED: 400,
  IDEMPOTENCY_CONFLICT: 409,
  IDEMPOTENCY_KEY_REUSE_CONFLICT: 409,
  INSUFFICIENT_FUNDS: 400,
  REASON_REQUIRED: 400,
  INVALID_ACTION: 400,
  CURRENCY_UNKNOWN: 400,
  PAYMENT_METHOD_NOT_ALLOWED: 400,
  WITHDRAW_METHOD_NOT_ALLOWED: 400,
  AUTH_UNVERIFIED: 403,
  KYC_DEPOSIT_LIMIT: 403,
  KYC_REQUIRED_FOR_WITHDRAWAL: 403,
  PLAYER_NOT_FOUND: 404,
  TX_NOT_FOUND: 404,
  PLAYER_OF_OTHER_TENANT: 409,
  FOUR_EYES: 409,
  INVALID_STATE_TRANSITION: 409,
  ILLEGAL_TRANSACTION_STATE_TRANSITION: 409,
  HOLD_RESOLVED: 409,
  PROVIDER_EVENT_USED: 409,
  BALANCE_OUT_OF_RANGE: 422,
  LIMIT_EXCEEDED: 422,
  PAYMENT_RETRY_LIMIT_EXCEEDED: 422,
  PAYMENT_COOLDOWN_ACTIVE: 429,
  VELOCITY_LIMIT_EXCEEDED: 429,
  disabled: 503,
  migration_not_found: 404,
  ledger_unavailable: 503,
  billing_gate_closed: 500,
  internal: 500,
} as const;

export type ErrorCode = keyof typeof errorStatus;

/** An error that a caller may see: one clear sentence, a stable code, a status. */
export class KernelError extends Error {
  readonly code: ErrorCode;
  readonly status: number;

  constructor(code: ErrorCode, sentence: string, options?: ErrorOptions) {
    super(sentence, options);
    this.name = 'KernelError';
    this.code = code;
    this.status = errorStatus[code];
  }
}

/** Own SQLSTATEs of migrations/ and the few of Postgres that a caller can cause; anything else is `ledger_unavailable`. */
export const sqlStates: Record<string, { code: ErrorCode; sentence?: string }> = {
  RK001: { code: 'internal' },
  RK002: { code: 'events_too_many' },
  RK003: { code: 'site_not_found', sentence: 'Site not found or invalid' },
  RK004: { code: 'keys_exhausted' },
  RK005: { code: 'internal' },
  RK006: { code: 'key_not_found' },
  RK007: { code: 'receipt_not_found' },
  RK010: { code: 'month_frozen' },
  RK011: { code: 'append_only' },
  RK012: { code: 'month_open' },
  RK013: { code: 'month_not_frozen' },
  RK014: { code: 'forbidden' },
  RK015: { code: 'invalid_request' },
  RK016: { code: 'retention_refused' },
  RK017: { code: 'export_not_found' },
  RK018: { code: 'adjustment_not_found' },
  RK019: { code: 'adjustment_decided' },
  RK020: { code: 'four_eyes' },
  RK030: { code: 'invalid_request' },
  RK031: { code: 'conflict' },
  RK032: { code: 'internal' },
  RK033: { code: 'internal' },
  RK040: { code: 'not_found' },
  RK041: { code: 'invalid_request' },
  RK042: { code: 'internal' },
  RK043: { code: 'internal' },
  RK044: { code: 'internal' },
  RK050: { code: 'disabled' },
  RK051: { code: 'conflict' },
  RK052: { code: 'conflict' },
  RK053: { code: 'migration_not_found' },
  RK054: { code: 'conflict' },
  RK055: { code: 'conflict' },
  RK056: { code: 'ledger_unavailable' },
  '23000': { code: 'append_only', sentence: 'A frozen invoice is final.' },
  '21000': { code: 'invalid_request', sentence: 'A row is named twice.' },
  '23503': { code: 'invalid_request', sentence: 'A value names what does not exist.' },
  '23505': { code: 'conflict', sentence: 'Such a row exists already.' },
  '23514': { code: 'invalid_request', sentence: 'A value is outside its limits.' },
  '22P02': { code: 'invalid_request', sentence: 'A value is not of its type.' },
  '22P05': { code: 'text_invalid', sentence: 'A text holds U+0000.' },
  '22021': { code: 'text_invalid', sentence: 'A text holds U+0000.' },
  '22001': { code: 'invalid_request', sentence: 'A text is too long.' },
  '22007': { code: 'invalid_request', sentence: 'A value is not a date.' },
  '22008': { code: 'invalid_request', sentence: 'A date is out of range.' },
  '22003': { code: 'invalid_request', sentence: 'A number is out of range.' },
  '42501': { code: 'forbidden', sentence: 'The database role may not do this.' },
};

/** The error of a failed statement; the SQL itself never reaches the caller. */
export function sqlError(state: string, message: string, cause: unknown): KernelError {
  const known = sqlStates[state];
  if (!known) return new KernelError('ledger_unavailable', 'The ledger could not answer.', { cause });
  return new KernelError(known.code, known.sentence ?? message, { cause });
}
