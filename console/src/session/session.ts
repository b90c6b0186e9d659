// The session of this tab: an access token in sessionStorage, or an admin_token that a tool left in localStorage.
import { useSyncExternalStore } from 'react';

const token_key = 'rk:token';
const admin_key = 'admin_token';

export interface Session {
  token: string;
  /** The token's `sub`. */
  subject: string;
  name: string;
  groups: readonly string[];
  expires_at_ms: number;
}
export interface State {
  session: Session | undefined;
  /** Why there is no session, for the sign-in page. */
  ended?: 'expired' | 'signed-out';
}

const listeners = new Set<() => void>();
let state: State = { session: load() };
if (state.session && state.session.expires_at_ms <= Date.now())
  state = { session: undefined, ended: 'expired' };

export const session = {
  get: () => state,
  subscribe(listener: () => void): () => void {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
};

export function useSessionState(): State {
  return useSyncExternalStore(session.subscribe, session.get);
}

export function begin(token: string): void {
  sessionStorage.setItem(token_key, token);
  change({ session: parse(token) });
}

/** The kernel did not take this token; another one may have come since. */
export function expired(token: string): void {
  if (state.session?.token !== token) return;
  forget();
  change({ session: undefined, ended: 'expired' });
}

export function end(): void {
  forget();
  change({ session: undefined, ended: 'signed-out' });
}

function change(next: State): void {
  state = next;
  for (const listener of listeners) listener();
}

function forget(): void {
  sessionStorage.removeItem(token_key);
  localStorage.removeItem(admin_key);
}

function load(): Session | undefined {
  const token = sessionStorage.getItem(token_key) ?? localStorage.getItem(admin_key);
  return token ? parse(token) : undefined;
}

/** What the token says of itself: only what is shown goes by it, for the kernel verifies each call. */
function parse(token: string): Session | undefined {
  try {
    const part = (token.split('.')[1] ?? '').replaceAll('-', '+').replaceAll('_', '/');
    const bytes = Uint8Array.from(atob(part), (character) => character.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
    const groups = claims['cognito:groups'];
    return {
      token,
      subject: String(claims.sub ?? ''),
      name: String(claims.username ?? claims.sub ?? ''),
      groups: Array.isArray(groups) ? groups.map(String) : [],
      expires_at_ms: Number(claims.exp ?? 0) * 1000,
    };
  } catch {
    return undefined;
  }
}
