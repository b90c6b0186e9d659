// A seeded stream of random numbers, so that a failing run can be played again.

export interface Random {
  /** A whole number from 0 to below n. */
  below(n: number): number;
  shuffle<T>(items: T[]): T[];
}

/** The mulberry32 generator: 32 bits of state are plenty for shuffling tests. */
export function random(seed: number): Random {
  let state = seed >>> 0;
  const below = (n: number) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * n);
  };
  return {
    below,
    shuffle(items) {
      const copy = [...items];
      for (let i = copy.length - 1; i > 0; i--) {
        const j = below(i + 1);
        [copy[i], copy[j]] = [copy[j] as (typeof copy)[0], copy[i] as (typeof copy)[0]];
      }
      return copy;
    },
  };
}

/** Shuffled batches of 1 to `max` that hold each item once and a share of them again, in other batches too. */
export function overlappingBatches<T>(items: T[], duplicates: number, max: number, source: Random): T[][] {
  const again = source.shuffle(items).slice(0, Math.floor(items.length * duplicates));
  const all = source.shuffle([...items, ...again]);
  const batches: T[][] = [];
  for (let i = 0; i < all.length; ) {
    const size = 1 + source.below(max);
    batches.push(all.slice(i, i + size));
    i += size;
  }
  return batches;
}
