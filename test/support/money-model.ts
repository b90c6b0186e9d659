// The books as a few maps in memory: what the verbs of money must decide and keep, said a second time and in another way.

export type Entry = [account: string, amount: bigint];

interface Lot {
  id: string;
  owner: string;
  remaining: bigint;
  /** Later is greater; at most zero: expired. */
  expiry: number;
}

interface Hold {
  id: string;
  owner: string;
  amount: bigint;
  expires: boolean;
  status: 'pending' | 'due' | 'resolved' | 'expired';
}

interface Booked {
  id: string;
  entries: Entry[];
  reversed: bigint;
  /** What it took from each lot and has not given back. */
  lots: Map<Lot, bigint>;
}

const most = 2n ** 63n - 1n;
const shared = /^(clearing|revenue|promotion|adjustments)$/;
const min = (a: bigint, b: bigint) => (a < b ? a : b);

/** Each verb answers 'done' or the code of its refusal; a refusal changes nothing. */
export class MoneyModel {
  readonly balances = new Map<string, bigint>();
  readonly lots: Lot[] = [];
  readonly holds: Hold[] = [];
  readonly booked: Booked[] = [];
  #aged = -1_000_000;

  open(owner: string): void {
    const names = ['available', 'held', 'promo'].map((kind) => `${owner}/${kind}`);
    for (const name of [...names, 'clearing', 'revenue', 'promotion', 'adjustments'])
      if (!this.balances.has(name)) this.balances.set(name, 0n);
  }

  /** All movements or none. */
  #post(movements: Entry[][], overdraw = false): string {
    const before = new Map(this.balances);
    for (const entries of movements) {
      const code = this.#move(entries, overdraw);
      if (code === 'done') continue;
      for (const [name, balance] of before) this.balances.set(name, balance);
      return code;
    }
    return 'done';
  }

  #move(entries: Entry[], overdraw: boolean): string {
    if (entries.some(([name]) => !this.balances.has(name))) return 'ACCOUNT_NOT_FOUND';
    if (new Set(entries.map(([name]) => name)).size < entries.length) return 'SAME_ACCOUNT';
    const after = entries.map(([name, amount]): Entry => [name, (this.balances.get(name) ?? 0n) + amount]);
    const owned = after.map(([name, balance], n) => ({
      balance,
      amount: entries[n]?.[1] ?? 0n,
      owned: !shared.test(name),
    }));
    if (!overdraw && owned.some((each) => each.owned && each.amount < 0n && each.balance < 0n))
      return 'INSUFFICIENT_FUNDS';
    if (owned.some((each) => each.owned && (each.balance > most || each.balance < -most)))
      return 'BALANCE_OUT_OF_RANGE';
    for (const [name, balance] of after) this.balances.set(name, balance);
    return 'done';
  }

  transfer(id: string, entries: Entry[], overdraw = false): string {
    const code = this.#post([entries], overdraw);
    if (code === 'done') this.booked.push({ id, entries, reversed: 0n, lots: new Map() });
    return code;
  }

  batch(movements: Entry[][]): string {
    return this.#post(movements);
  }

  hold(id: string, owner: string, amount: bigint, expires: boolean): string {
    const code = this.#post([
      [
        [`${owner}/available`, -amount],
        [`${owner}/held`, amount],
      ],
    ]);
    if (code === 'done') this.holds.push({ id, owner, amount, expires, status: 'pending' });
    return code === 'ACCOUNT_NOT_FOUND' ? 'INSUFFICIENT_FUNDS' : code;
  }

  /** Captures the amount, null = all; 0 = void. */
  resolve(hold: Hold, id: string, taken: bigint | null): string {
    if (hold.status === 'due' || hold.status === 'expired') return 'HOLD_EXPIRED';
    if (hold.status === 'resolved') return 'HOLD_RESOLVED';
    const captured = taken ?? hold.amount;
    if (captured > hold.amount) return 'CAPTURE_EXCEEDS_HOLD';
    const capture: Entry[] = [
      [`${hold.owner}/held`, -captured],
      ['clearing', captured],
    ];
    const rest = hold.amount - captured;
    const release: Entry[] = [
      [`${hold.owner}/held`, -rest],
      [`${hold.owner}/available`, rest],
    ];
    const code = this.#post([...(captured > 0n ? [capture] : []), ...(rest > 0n ? [release] : [])]);
    if (code !== 'done') return code;
    hold.status = 'resolved';
    // A capture that is taken back does not return into the hold.
    if (captured > 0n)
      this.booked.push({
        id,
        entries: [
          [`${hold.owner}/available`, -captured],
          ['clearing', captured],
        ],
        reversed: 0n,
        lots: new Map(),
      });
    return code;
  }

  expireHolds(): number {
    const due = this.holds.filter(({ status }) => status === 'due');
    return due.filter((hold) => {
      const code = this.#post([
        [
          [`${hold.owner}/held`, -hold.amount],
          [`${hold.owner}/available`, hold.amount],
        ],
      ]);
      if (code === 'done') hold.status = 'expired';
      return code === 'done';
    }).length;
  }

  grant(id: string, owner: string, amount: bigint, expiry: number): string {
    this.open(owner);
    const code = this.#post([
      [
        [`${owner}/promo`, amount],
        ['promotion', -amount],
      ],
    ]);
    if (code === 'done') this.lots.push({ id, owner, remaining: amount, expiry });
    return code;
  }

  spend(id: string, owner: string, price: bigint): string {
    const lots = this.lots
      .filter((lot) => lot.owner === owner && lot.expiry > 0 && lot.remaining > 0n)
      .sort((a, b) => a.expiry - b.expiry);
    const promo = min(
      price,
      lots.reduce((sum, { remaining }) => sum + remaining, 0n),
    );
    const entries = (
      [
        [`${owner}/available`, promo - price],
        [`${owner}/promo`, -promo],
        ['revenue', price],
      ] as Entry[]
    ).filter(([, amount]) => amount !== 0n);
    const code = this.transfer(id, entries);
    if (code === 'ACCOUNT_NOT_FOUND') return 'INSUFFICIENT_FUNDS';
    if (code !== 'done') return code;
    let left = promo;
    for (const lot of lots) {
      const part = min(left, lot.remaining);
      left -= part;
      lot.remaining -= part;
      if (part > 0n) this.booked.at(-1)?.lots.set(lot, part);
    }
    return code;
  }

  age(lot: Lot): void {
    lot.expiry = this.#aged++;
  }

  expirePromo(): number {
    const due = this.lots.filter((lot) => lot.expiry <= 0 && lot.remaining > 0n);
    for (const lot of due) {
      this.#post([
        [
          [`${lot.owner}/promo`, -lot.remaining],
          ['promotion', lot.remaining],
        ],
      ]);
      lot.remaining = 0n;
    }
    return due.length;
  }

  /** Takes back unit by unit, as it were: each side gives back its first entry before its second. */
  reverse(original: Booked, wanted: bigint | null, overdraw: boolean): string {
    const total = original.entries.reduce((sum, [, amount]) => (amount > 0n ? sum + amount : sum), 0n);
    const amount = wanted ?? total - original.reversed;
    if (amount === 0n || original.reversed + amount > total) return 'REVERSAL_EXCEEDS_ORIGINAL';
    const back: Entry[] = [];
    for (const sign of [-1n, 1n]) {
      let skip = original.reversed;
      let left = amount;
      for (const [name, moved] of original.entries.filter(([, each]) => each * sign > 0n)) {
        const size = moved * sign;
        const skipped = min(skip, size);
        const part = min(left, size - skipped);
        skip -= skipped;
        left -= part;
        if (part > 0n) back.push([name, -sign * part]);
      }
    }
    const code = this.#post([back], overdraw);
    if (code !== 'done') return code;
    original.reversed += amount;
    let promo = back.find(([name]) => name.endsWith('/promo'))?.[1] ?? 0n;
    for (const [lot, used] of [...original.lots].sort(([a], [b]) => b.expiry - a.expiry)) {
      const part = min(promo, used);
      promo -= part;
      lot.remaining += part;
      original.lots.set(lot, used - part);
    }
    return code;
  }
}
