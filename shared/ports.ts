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
  /** What a mock provider is asked to answer, for tests; a real one does not know it. */
  outcome?: string | undefined;
}

export interface PaymentResult {
  /** UNKNOWN: the provider did not say; only asking again with the same key is safe. */
  status: 'AUTHORIZED' | 'CAPTURED' | 'PAID' | 'REVERSED' | 'FAILED' | 'UNKNOWN';
  provider_ref?: string;
  provider_event_id?: string;
}

/** Moves money outside: a company's real provider, and the mock one. */
export interface PaymentProvider {
  readonly name: string;
  /** Never throws: what goes wrong on the way is UNKNOWN. */
  order(
    action: 'authorize_deposit' | 'capture_deposit' | 'payout_withdrawal' | 'refund_deposit',
    order: PaymentOrder,
  ): Promise<PaymentResult>;
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
