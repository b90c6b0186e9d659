// What the browser build and the server build have in common: ids, waiting times, and how events stand on the wire.

/** The same as in package.json; a test holds them together. */
export const version = '0.1.0';
/** The kernel takes 32 KiB of an event. */
export const event_chars_max = 32 * 1024;

/** Numbers of events that were given up, by reason. */
export type Drops = Record<string, number>;

/** What the kernel says of one event of a batch. */
export interface WireResult {
  status?: string;
  ingest_id?: string;
  /** Seconds to the end of the month, of an event that the quota refused. */
  retry_after?: number;
  code?: string;
  error?: string;
}

/** A UUID of version 7: the time, then 72 random bits. */
export function uuid7(now_ms: number): string {
  const time = (now_ms + 2 ** 48).toString(16).slice(1);
  let n = 0;
  return '11111111-1111-7xxx-8xxx-xxxxxxxxxxxx'.replace(/[1x]/g, (place) => {
    const [byte] = crypto.getRandomValues(new Uint8Array(1));
    return +place ? (time[n++] as string) : ((byte as number) & 15).toString(16);
  });
}

/** The wait that a Retry-After asks for, in seconds or as a date; in milliseconds. */
export const retryAfter = (value: string | null, now_ms: number): number =>
  +(value as string) * 1000 || Math.max(0, Date.parse(value as string) - now_ms) || 0;

/** Full jitter: anything up to a limit that doubles with each retry, 5 minutes at the most. */
export const backoff = (retries: number): number => Math.random() * Math.min(300_000, 1000 * 2 ** retries);
