// Whether the kernel can be reached, since when not, and when it last answered.
import { useSyncExternalStore } from 'react';

export interface Connection {
  /** Undefined while there is a connection. */
  lost_since_ms: number | undefined;
  answered_at_ms: number | undefined;
}

const listeners = new Set<() => void>();
let now: Connection = { lost_since_ms: undefined, answered_at_ms: undefined };

/** @param asked_at_ms an answer to what was asked before the loss does not end it. */
export function answered(asked_at_ms: number): void {
  const { lost_since_ms } = now;
  const before = lost_since_ms !== undefined && asked_at_ms < lost_since_ms;
  change({ lost_since_ms: before ? lost_since_ms : undefined, answered_at_ms: Date.now() });
}

export function lost(): void {
  if (now.lost_since_ms === undefined) change({ ...now, lost_since_ms: Date.now() });
}

export function useConnection(): Connection {
  return useSyncExternalStore(subscribe, () => now);
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function change(next: Connection): void {
  now = next;
  for (const listener of listeners) listener();
}

addEventListener('offline', lost);
