// What a function is told by its environment; the only file that reads process.env, and the type that infra/ must supply.

/** Set on every function. */
export interface BaseEnvironment {
  STAGE: string;
  COMMIT_SHA: string;
  COMMIT_BRANCH: string;
  KERNEL_VERSION: string;
  POWERTOOLS_SERVICE_NAME: string;
  POWERTOOLS_METRICS_NAMESPACE: string;
}

/** Set on every function that calls the ledger; the secret decides the database role. */
export interface DatabaseEnvironment {
  DATABASE_CLUSTER_ARN: string;
  DATABASE_SECRET_ARN: string;
  DATABASE_NAME: string;
}

export interface IngestEnvironment extends BaseEnvironment, DatabaseEnvironment {
  DELIVERY_QUEUE_URL: string;
  USAGE_TABLE: string;
  RATE_LIMIT_TABLE: string;
}

export interface DeliverEnvironment extends BaseEnvironment, DatabaseEnvironment {}

export interface RecoverEnvironment extends BaseEnvironment, DatabaseEnvironment {
  CRON_SECRET_ARN: string;
}

export interface FreezeEnvironment extends BaseEnvironment, DatabaseEnvironment {
  CRON_SECRET_ARN: string;
}

export interface ReconcileEnvironment extends BaseEnvironment, DatabaseEnvironment {
  CRON_SECRET_ARN: string;
  USAGE_TABLE: string;
}

/** Days are decimal numbers. */
export interface CleanupEnvironment extends BaseEnvironment, DatabaseEnvironment {
  CRON_SECRET_ARN: string;
  EVIDENCE_BUCKET: string;
  DISPUTE_WINDOW_DAYS: string;
  EVENTS_RETENTION_DAYS: string;
  PERSONAL_DATA_DAYS: string;
}

export interface WatchtowerEnvironment extends BaseEnvironment, DatabaseEnvironment {
  CRON_SECRET_ARN: string;
  /** Without a path and a slash at its end. */
  API_URL: string;
  USAGE_TABLE: string;
  /** JSON object: name → URL of every dead-letter queue. */
  DEAD_LETTER_QUEUE_URLS: string;
}

export interface ExportEnvironment extends BaseEnvironment, DatabaseEnvironment {
  EXPORT_BUCKET: string;
  EVIDENCE_BUCKET: string;
}

export interface ApiEnvironment extends BaseEnvironment, DatabaseEnvironment {
  USAGE_TABLE: string;
  EXPORT_QUEUE_URL: string;
  EXPORT_BUCKET: string;
  EVIDENCE_BUCKET: string;
  CRON_SECRET_ARN: string;
  TOKEN_ISSUER: string;
  TOKEN_CLIENT_ID: string;
}

/** JSON object: payment provider → ARN of its secret. */
interface ProviderSecretArns {
  PROVIDER_SECRET_ARNS: string;
}

export interface MoneyEnvironment extends BaseEnvironment, DatabaseEnvironment, ProviderSecretArns {
  TOKEN_ISSUER: string;
  TOKEN_CLIENT_ID: string;
  MATCH_QUEUE_URL: string;
}

export interface WebhookEnvironment extends BaseEnvironment, DatabaseEnvironment, ProviderSecretArns {
  PAYMENT_QUEUE_URL: string;
}

export interface ProcessEnvironment extends BaseEnvironment, DatabaseEnvironment, ProviderSecretArns {
  CRON_SECRET_ARN: string;
  /** Without a path and a slash at its end. */
  API_URL: string;
}

export interface MatchEnvironment extends BaseEnvironment, DatabaseEnvironment, ProviderSecretArns {
  CRON_SECRET_ARN: string;
  PAYMENT_QUEUE_URL: string;
}

export interface AssureEnvironment extends BaseEnvironment, DatabaseEnvironment {
  TOKEN_ISSUER: string;
  TOKEN_CLIENT_ID: string;
}

export type BackfillEnvironment = AssureEnvironment;

export interface SweepEnvironment extends BaseEnvironment, DatabaseEnvironment {
  CRON_SECRET_ARN: string;
}

export interface MigrateEnvironment extends BaseEnvironment, DatabaseEnvironment {
  /** JSON object: database login role → ARN of the secret that holds its password. */
  ROLE_SECRET_ARNS: string;
}

/** The variables of every function that answers over HTTP. */
export const build_variables = ['STAGE', 'COMMIT_SHA', 'COMMIT_BRANCH', 'KERNEL_VERSION'] as const;
/** The variables of every function that calls the ledger. */
export const database_variables = ['DATABASE_CLUSTER_ARN', 'DATABASE_SECRET_ARN', 'DATABASE_NAME'] as const;

/**
 * Reads the named variables of the environment.
 * @throws Error that names the first missing variable, so that a function with a wrong environment never starts half-way.
 */
export function environment<E extends BaseEnvironment>(...names: (keyof E & string)[]): E {
  const found: Record<string, string> = {};
  for (const name of names) {
    const value = process.env[name];
    if (value === undefined || value === '') throw new Error(`The environment variable ${name} is not set.`);
    found[name] = value;
  }
  return found as unknown as E;
}
