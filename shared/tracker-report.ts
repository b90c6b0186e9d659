// What a tracker says of its own work in a body: read tolerantly, for it decides nothing.
import type { JsonObject, TrackedEvent } from './event.ts';

/** Nearer than this, a difference of clocks is the way here. */
const skew_min_ms = 60_000;
const skew_max_ms = 100 * 365 * 24 * 60 * 60 * 1000;

/** Of one request in the compact form. */
export interface TrackerReport {
  /** `browser/0.1.0`, or null: no tracker that counts itself. */
  sdk: string | null;
  retried: boolean;
  /** Our clock minus the client's; null when it does not say. */
  skew_ms: number | null;
}

/** Reads the envelope of a compact body; what is not of its type is as if it were not there. */
export function readReport({ sdk, r, st }: JsonObject, now: Date): TrackerReport {
  const skew_ms = typeof st === 'number' ? Math.round(now.getTime() - st) : Number.NaN;
  return {
    sdk: typeof sdk === 'string' && /^[a-z]{1,16}(\/\d{1,4})(\.\d{1,4}){2}$/.test(sdk) ? sdk : null,
    retried: typeof r === 'number' && r > 0,
    skew_ms: Math.abs(skew_ms) < skew_max_ms ? skew_ms : null,
  };
}

/** Notes with the event how far its clock was off: its own time stays as it was told. */
export function noteSkew({ payload }: TrackedEvent, report: TrackerReport | undefined): void {
  const skew_ms = report?.skew_ms ?? 0;
  if (Math.abs(skew_ms) >= skew_min_ms) payload.skew_ms = skew_ms;
}
