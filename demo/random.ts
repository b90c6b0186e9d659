// A seeded stream of random numbers, so that every run of the demo tells the same story.

export interface Random {
  /** A whole number from 0 to below n. */
  below(n: number): number;
  pick<T>(items: readonly T[]): T;
  /** An id that looks random and is the same for the same seed. */
  uuid(): string;
}

/** The mulberry32 generator. */
export function random(seed: number): Random {
  let state = seed >>> 0;
  const below = (n: number) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * n);
  };
  const hex = (digits: number) => Array.from({ length: digits }, () => below(16).toString(16)).join('');
  return {
    below,
    pick: (items) => items[below(items.length)] as (typeof items)[0],
    uuid: () => `${hex(8)}-${hex(4)}-4${hex(3)}-${'89ab'[below(4)]}${hex(3)}-${hex(12)}`,
  };
}
