// Whether the kernel can be reached, since when not, and when it last answered.
import { useSyncExternalStore } from 'react';

export interface Connection {
  /** Undefined while there is a connection. */
  lost_since_ms: number | undefined;
  answered_at_ms: number | undefined;
}

const listeners = new Set<() => void>();
let now: Connection = { lost_since_ms: undefined, answered_at_ms: undefined };

/** No answer came: the network is away, or the kernel is. */
export class NetworkError extends Error {}

/** Asks, and learns by it whether there is a connection. @throws NetworkError; what `fetch` throws when the caller gave up. */
export async function reach(url: string, init: RequestInit): Promise<Response> {
  const asked_at_ms = Date.now();
  try {
    const response = await fetch(url, init);
    answered(asked_at_ms);
    return response;
  } catch (cause) {
    if (init.signal?.aborted) throw cause;
    lost();
    throw new NetworkError('No connection.', { cause });
  }
}

/** @param asked_at_ms an answer to what was asked before the loss does not end it. */
export function answered(asked_at_ms: number): void {
  const { lost_since_ms } = now;
  const before = lost_since_ms !== undefined && asked_at_ms < lost_since_ms;
  change({ lost_since_ms: before ? lost_since_ms : undefined, answered_at_ms: Date.now() });
}

function lost(): void {
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
