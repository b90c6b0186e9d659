// Every interface to the outside, on one screen; a port exists only where two real implementations do or will.

/** A value that the ledger accepts as a named parameter; counts and money go as bigint or decimal string, never as number. */
export type Parameter = string | bigint | boolean | null;

export interface Database {
  /**
   * Runs one SQL statement with `:name` parameters in a commit of its own.
   * Integers of 64 bits, numerics and timestamps come back as strings.
   * @throws KernelError with the code of the statement's SQLSTATE, or `ledger_unavailable`.
   */
  query<Row>(sql: string, parameters?: Record<string, Parameter>): Promise<Row[]>;
}

export interface Queue {
  /** Sends one message; resolves when the queue has stored it. */
  send(body: string): Promise<void>;
}

/** The fast counter beside the ledger: it may be wrong and never decides money. */
export interface UsageCounter {
  /**
   * Sets the counter to what the ledger's own commit said, unless a later commit has been written already.
   * @param outcomes counts to add in the same write, whichever commit was faster.
   */
  set(
    site: string,
    month: string,
    used: bigint,
    asOf: bigint,
    outcomes?: Record<string, number>,
  ): Promise<void>;
  /** The last value set, or null when there is none. */
  get(site: string, month: string): Promise<{ used: bigint; asOf: bigint } | null>;
}

/** Counts of requests in fixed windows; a window's count may be lost, it never decides money. */
export interface RateWindows {
  /** Adds one to the window and returns the count after it; the window may be forgotten after `ends_s`. */
  hit(window: string, ends_s: number): Promise<number>;
}

/** What became of events that the ledger does not hold: counts that many instances add to; they never decide money. */
export interface OutcomeCounter {
  /** Adds to the counts of a site's month. */
  add(site: string, month: string, counts: Record<string, number>): Promise<void>;
  /** Every known count, 0 where nothing was added. */
  ofSite(site: string, month: string): Promise<Record<string, string>>;
  /** The sums over all sites and months. */
  totals(): Promise<Record<string, string>>;
}

/** Files too long for an answer, and evidence. */
export interface Objects {
  /** Stores the content as it comes; nothing is visible under the key before all of it is there. */
  write(key: string, content: AsyncIterable<Uint8Array>, about: { type: string }): Promise<void>;
  read(key: string): Promise<AsyncIterable<Uint8Array>>;
  /** A link that anybody may follow for so many seconds. */
  link(key: string, seconds: number, filename: string): Promise<string>;
}

/** What a payment provider is asked for; the key names the order there, and its first result is final. */
export interface PaymentOrder {
  key: string;
  tx_id: string;
  tenant_id: string;
  player_id: string;
  /** A decimal string. */
  amount_minor: string;
  currency: string;
  /** Where a payout goes. */
  address?: string | null;
  /** What the provider called the payment when it was asked before. */
  provider_ref?: string | null;
  /** When the provider was first asked: a provider forgets keys. */
  asked_at?: string;
  /** What a mock provider is asked to answer, for tests; a real one does not know it. */
  outcome?: string | undefined;
}

export interface PaymentResult {
  /** UNKNOWN: the provider did not say; only asking again with the same key is safe. */
  status: 'AUTHORIZED' | 'CAPTURED' | 'PAID' | 'REVERSED' | 'FAILED' | 'UNKNOWN';
  provider_ref?: string;
  provider_event_id?: string;
  error_code?: string;
  /** With what the player goes on at the provider. */
  client_secret?: string;
}

/** What an event of a provider means for money. */
export type EventKind =
  | 'deposit_authorized'
  | 'deposit_captured'
  | 'deposit_failed'
  | 'withdraw_paid'
  | 'withdraw_failed'
  | 'refund'
  | 'refund_failed'
  | 'chargeback'
  | 'chargeback_won';

/** One event of a provider in the kernel's words, whichever way it came; amounts are decimal strings of minor units. */
export interface ProviderEvent {
  event_id: string;
  item?: string;
  type: string;
  kind?: EventKind;
  /** It concerns nothing here. */
  ignored?: boolean;
  tx_id?: string;
  tenant_id?: string;
  player_id?: string;
  customer_id?: string;
  amount_minor?: string;
  currency?: string;
  /** What the provider calls the refund or dispute. */
  ref?: string;
  provider_ref?: string;
  attempt_key?: string;
  error_code?: string;
  occurred_at: string;
  payload: unknown;
  /** The payments of one payout that was paid in a sum. */
  members?: { tx_id: string; amount_minor: string }[];
}

/** A page of what a provider lists. */
export interface ProviderPage {
  events: ProviderEvent[];
  /** Where the next page begins; null on the last one. */
  next: string | null;
  /** Why the list is not all that happened, where the provider lets us know. */
  incomplete?: string;
}

export interface WebhookRequest {
  /** Names in lower case. */
  headers: Record<string, string | undefined>;
  raw: Buffer;
  now_ms: number;
}

export interface WebhookReading {
  signature: 'valid' | 'invalid' | 'none';
  events: ProviderEvent[];
}

/** What a provider's secret holds; two webhook secrets are valid while one is being rotated. */
export interface ProviderSecret {
  webhook_secret: string;
  previous_webhook_secret?: string;
  api_key?: string;
  /** Where its API is, for tests and proxies. */
  api_base?: string;
}

/** Moves money outside: a company's real provider, and the mock one. */
export interface PaymentProvider {
  readonly name: string;
  /** @throws KernelError `INVALID_WEBHOOK` or `MISSING_IDS`, only where the signature is valid or not needed. */
  readWebhook(request: WebhookRequest, secret: ProviderSecret): WebhookReading;
  /** Never throws: what goes wrong on the way is UNKNOWN. */
  order?(
    action: 'authorize_deposit' | 'capture_deposit' | 'payout_withdrawal' | 'refund_deposit',
    order: PaymentOrder,
  ): Promise<PaymentResult>;
  /** Whether its secret holds what it takes to call it; without this, it always does. */
  configured?(): Promise<boolean>;
  /** What happened in [from, to). @throws KernelError when the provider does not answer. */
  list?(from: string, to: string, after: string | null): Promise<ProviderPage>;
}

/** The payment providers that the kernel speaks with. */
export interface PaymentProviders {
  /** Undefined for a provider that the kernel does not know. */
  of(name: string): PaymentProvider | undefined;
  all(): PaymentProvider[];
  secret(name: string): Promise<ProviderSecret>;
}

/** Values that must not stand in an environment. */
export interface Secrets {
  /** The secret's string; read again at most every few minutes, so that a rotation takes effect. */
  get(id: string): Promise<string>;
}

/** A clock that a test can set; the ledger's own time is always the database's. */
export interface Clock {
  now(): Date;
}
