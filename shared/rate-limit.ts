// The guard against abuse: requests of one client to one site in fixed windows of a minute. It never touches billing.
import { KernelError } from './errors.ts';
import type { Clock, RateWindows } from './ports.ts';

export const window_s = 60;
export const default_requests_max = 100;
export const api_key_requests_max = 6_000;
/** Without the table each instance counts alone, so each allows a share only. */
const fallback_share = 5;
const windows_kept_max = 10_000;

export interface Rate {
  limit: number;
  remaining: number;
  /** Seconds until the window ends. */
  reset_s: number;
  allowed: boolean;
  /** The table did not answer; this instance decided by what it saw itself. */
  fallback: boolean;
}

export type RateLimiter = (client: string, limit: number) => Promise<Rate>;

export function rateLimiter(windows: RateWindows, clock: Clock): RateLimiter {
  const own = new Map<string, number>();
  return async (client, limit) => {
    const now_s = Math.floor(clock.now().getTime() / 1000);
    const starts_s = now_s - (now_s % window_s);
    const ends_s = starts_s + window_s;
    const window = `${client}#${starts_s}`;
    const seen = (own.get(window) ?? 0) + 1;
    if (own.size >= windows_kept_max) own.clear(); // older windows are over, and a flood of clients must not fill the memory
    own.set(window, seen);
    const decide = (count: number, most: number, fallback: boolean): Rate => ({
      limit: most,
      remaining: Math.max(0, most - count),
      reset_s: Math.max(1, ends_s - now_s),
      allowed: count <= most,
      fallback,
    });
    try {
      return decide(await windows.hit(window, ends_s), limit, false);
    } catch {
      return decide(seen, Math.max(1, Math.floor(limit / fallback_share)), true);
    }
  };
}

/** The standard RateLimit fields; on every answer of a request that was counted. */
export function rateHeaders({ limit, remaining, reset_s }: Rate): Record<string, string> {
  return {
    'ratelimit-policy': `"default";q=${limit};w=${window_s}`,
    ratelimit: `"default";r=${remaining};t=${reset_s}`,
  };
}

/** The refusal of a request over the limit; it never carries a quota header. */
export function rateRefusal({ reset_s }: Rate): { error: KernelError; headers: Record<string, string> } {
  return {
    error: new KernelError('rate_limited', 'Rate limit'),
    headers: { 'x-opsmantik-ratelimit': '1', 'retry-after': String(reset_s) },
  };
}
