// The ledger as a few maps in memory: what ingest() must decide and keep, said a second time and in another way.

export type Policy = 'all' | 'by_kind';

/** An event as the model draws it: with an id (v3), or without one in a bucket of time (v1). */
export interface DrawnEvent {
  id?: string;
  content: keyof typeof kinds;
  /** v1 only; all events of one request lie in the same bucket. */
  bucket?: number;
}

/** Category and action of a content, and whether `by_kind` bills it. */
export const kinds = {
  conversion: { ec: 'conversion', ea: 'buy', billable: true, reason: 'conversion' },
  view: { ec: 'interaction', ea: 'view', billable: true, reason: 'interaction_view' },
  scroll: { ec: 'interaction', ea: 'scroll_depth', billable: false, reason: 'scroll_depth' },
  system: { ec: 'system', ea: 'heartbeat', billable: false, reason: 'system' },
  other: { ec: 'c', ea: 'e', billable: true, reason: 'default_billable' },
};

/** Long enough that what this test wrote lies within it, and too short for a row of another month. */
export const young_ms = 2_000_000_000;

const bytes = (text: string, length: number) =>
  Buffer.from(text.padEnd(length, '.')).subarray(0, length).toString('hex');

/** The event as ingest() takes it. */
export function wire({ id, content, bucket = 0 }: DrawnEvent, young: boolean): Record<string, unknown> {
  const { ec, ea } = kinds[content];
  const payload = { url: 'https://example.com/', ec, ea, el: content };
  if (id !== undefined) {
    return { key: bytes(id, 16), version: 3, hash: bytes(content, 32), payload: { i: id, ...payload } };
  }
  const key = bytes(`${content}@${bucket}`, 32);
  const previous = bytes(`${content}@${bucket - 1}`, 32);
  return { key, previous, bucket_ms: young ? young_ms : 0, version: 1, payload };
}

export interface Told {
  outcomes: string[];
  remaining: bigint;
  used: bigint;
}

interface Kept {
  hash: string | undefined;
  state: 'ACCEPTED' | 'OVERAGE';
  billable: boolean;
  reason: string;
  month: string;
}

export class LedgerModel {
  limit: bigint;
  soft = false;
  /** Thousandths, so that the cap is a whole-number division. */
  multiplier = 2_000n;
  enforced = true;
  policy: Policy = 'all';
  readonly kept = new Map<string, Kept>();
  /** Month → hash of the rejected row, for each key. */
  readonly rejected = new Map<string, Map<string, string | undefined>>();
  readonly conflicts = new Set<string>();
  readonly usage = new Map<string, { count: bigint; overage: bigint }>();
  readonly frozen = new Set<string>();
  /** Batch → how many of its events wait in the outbox. */
  readonly waiting = new Map<string, number>();
  delivered = 0;

  constructor(limit: bigint) {
    this.limit = limit;
  }

  /** Decides event by event, whether they came in one request or in several. */
  ingest(events: Record<string, unknown>[], batch: string, month: string): Told {
    if (!this.usage.has(month)) this.usage.set(month, { count: 0n, overage: 0n });
    const outcomes = events.map((event) => this.#decide(event, batch, month));
    const used = this.usage.get(month)?.count ?? 0n;
    return { outcomes, used, remaining: used < this.limit ? this.limit - used : 0n };
  }

  #decide(event: Record<string, unknown>, batch: string, month: string): string {
    const key = String(event.key);
    const hash = event.hash as string | undefined;
    const refused = this.rejected.get(key) ?? new Map<string, string | undefined>();
    const twin = this.kept.get(key);
    const latest = [...refused.keys()].sort().at(-1);
    if (hash !== undefined && (twin || latest !== undefined)) {
      const known = twin ? twin.hash : refused.get(latest ?? '');
      if (known !== hash) {
        this.conflicts.add(`${key} ${hash}`);
        return 'conflict';
      }
    }
    const before = event.bucket_ms === young_ms ? this.kept.get(String(event.previous)) : undefined;
    if (twin || before?.month === month) return 'duplicate';
    return this.#admit(event, key, hash, refused, batch, month);
  }

  #admit(
    event: Record<string, unknown>,
    key: string,
    hash: string | undefined,
    refused: Map<string, string | undefined>,
    batch: string,
    month: string,
  ): string {
    const kind = kinds[(event.payload as { el: keyof typeof kinds }).el];
    const billable = this.policy === 'all' || kind.billable;
    const usage = this.usage.get(month) as { count: bigint; overage: bigint };
    const cap = this.soft ? (this.limit * this.multiplier) / 1_000n : this.limit;
    const state = !billable || usage.count < this.limit ? 'ACCEPTED' : 'OVERAGE';
    if (state === 'OVERAGE' && this.enforced && usage.count >= cap) {
      this.rejected.set(key, refused.set(month, hash));
      return 'rejected_quota';
    }
    const reason = this.policy === 'all' ? 'default_billable' : kind.reason;
    this.kept.set(key, { hash, state, billable, reason, month });
    if (billable) usage.count++;
    if (state === 'OVERAGE') usage.overage++;
    this.waiting.set(batch, (this.waiting.get(batch) ?? 0) + 1);
    return state.toLowerCase();
  }

  /** Whether a row of an earlier month can be planted; notes it when it can. */
  plant({ key, hash }: Record<string, unknown>, month: string, rejected: boolean): boolean {
    const name = String(key);
    const refused = this.rejected.get(name) ?? new Map<string, string | undefined>();
    if (this.frozen.has(month) || (rejected ? refused.has(month) : this.kept.has(name))) return false;
    const own = hash as string | undefined;
    if (rejected) this.rejected.set(name, refused.set(month, own));
    else
      this.kept.set(name, {
        hash: own,
        state: 'ACCEPTED',
        billable: true,
        reason: 'default_billable',
        month,
      });
    return true;
  }

  deliver(batch: string): void {
    this.delivered += this.waiting.get(batch) ?? 0;
    this.waiting.delete(batch);
  }

  /** The ledger's rows, one text each, sorted. */
  rows(): string[] {
    const kept = [...this.kept].map(([key, { hash, state, billable, reason, month }]) =>
      [key, month, state, billable, reason, hash ?? '-'].join(' '),
    );
    const rejected = [...this.rejected].flatMap(([key, months]) =>
      [...months].map(([month, hash]) =>
        [key, month, 'REJECTED_QUOTA', false, 'rejected_quota', hash ?? '-'].join(' '),
      ),
    );
    return [...kept, ...rejected].sort();
  }
}
