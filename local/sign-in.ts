// Sign-in at the embedded issuer: authorization code with PKCE, where a page of the demo users stands for a password.
//
// Not reproduced: refresh tokens, consent, sessions at the issuer, and any client but the console.
import { createHash, randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import type { OAuth2Service } from 'oauth2-mock-server';
import { CLIENT_ID, type DemoUser } from './issuer.ts';

export const authorize_path = '/oauth2/authorize';
export const token_path = '/oauth2/token';
const code_life_ms = 60_000;
/** The console on any port of this machine (RFC 8252, 7.3). */
const redirect_uris = /^http:\/\/(127\.0\.0\.1|localhost)(:\d{1,5})?\/console\/signed-in$/;
const challenge_form = /^[\w-]{43}$/;

type Parameters = Record<string, unknown>;
interface Grant {
  user: DemoUser;
  challenge: string;
  redirect_uri: string;
  nonce: string | undefined;
  until_ms: number;
}
interface Tokens {
  access(user: DemoUser): Promise<string>;
  id(user: DemoUser, nonce: string | undefined): Promise<string>;
  life_s: number;
}

/** Adds both endpoints to the service. */
export function offerSignIn(service: OAuth2Service, users: readonly DemoUser[], tokens: Tokens): void {
  const grants = new Map<string, Grant>();
  service.addRoute('GET', authorize_path, ({ query }, response) => authorize(query, response, users, grants));
  service.addRoute('POST', token_path, async ({ body }, response) => {
    const given = typeof body === 'object' && !Array.isArray(body) ? body : {};
    const grant = takeGrant(given, grants);
    if (typeof grant === 'string') {
      json(response, 400, refusal(given, grant));
      return;
    }
    json(response, 200, {
      access_token: await tokens.access(grant.user),
      id_token: await tokens.id(grant.user, grant.nonce),
      token_type: 'Bearer',
      expires_in: tokens.life_s,
    });
  });
}

function authorize(
  query: Parameters,
  response: ServerResponse,
  users: readonly DemoUser[],
  grants: Map<string, Grant>,
): void {
  const { client_id, redirect_uri, state, nonce, login_hint, code_challenge } = query;
  // To an address that is not the console's nothing is sent, not even a refusal.
  const isConsole = client_id === CLIENT_ID && redirect_uris.test(String(redirect_uri));
  if (!isConsole) {
    html(response, 400, page('Unknown client or redirect_uri', ''));
    return;
  }
  const back = new URL(String(redirect_uri));
  if (typeof state === 'string') back.searchParams.set('state', state);
  const wrong = wrongIn(query);
  if (wrong) {
    back.searchParams.set('error', wrong.error);
    back.searchParams.set('error_description', wrong.text);
    redirect(response, back);
    return;
  }
  const user = users.find(({ id, name }) => login_hint === id || login_hint === name);
  if (!user) {
    html(response, 200, chooser(query, users));
    return;
  }
  const code = randomBytes(32).toString('base64url');
  grants.set(code, {
    ...{
      user,
      redirect_uri: String(redirect_uri),
      challenge: String(code_challenge),
      until_ms: Date.now() + code_life_ms,
    },
    nonce: typeof nonce === 'string' ? nonce : undefined,
  });
  back.searchParams.set('code', code);
  redirect(response, back);
}

function wrongIn(query: Parameters): { error: string; text: string } | undefined {
  const { response_type, code_challenge, code_challenge_method } = query;
  if (response_type !== 'code')
    return { error: 'unsupported_response_type', text: 'Only response_type=code is supported.' };
  if (typeof code_challenge !== 'string' || !challenge_form.test(code_challenge))
    return { error: 'invalid_request', text: 'code_challenge is required.' };
  if (code_challenge_method !== 'S256')
    return { error: 'invalid_request', text: 'code_challenge_method must be S256.' };
  return undefined;
}

/** @returns the grant of the code, or why there is none; either way the code is used up. */
function takeGrant(body: Parameters, grants: Map<string, Grant>): Grant | string {
  const { grant_type, code, client_id, redirect_uri, code_verifier } = body;
  if (grant_type !== 'authorization_code') return 'Only grant_type=authorization_code is supported.';
  const grant = grants.get(String(code));
  grants.delete(String(code));
  if (!grant || grant.until_ms < Date.now()) return 'The code is unknown, used or too old.';
  if (client_id !== CLIENT_ID) return 'The code is of another client.';
  if (redirect_uri !== grant.redirect_uri) return 'redirect_uri is not the one that the code was sent to.';
  const challenge = createHash('sha256').update(String(code_verifier)).digest('base64url');
  if (challenge !== grant.challenge) return 'code_verifier does not fit the challenge.';
  return grant;
}

function refusal({ grant_type }: Parameters, error_description: string) {
  const error = grant_type === 'authorization_code' ? 'invalid_grant' : 'unsupported_grant_type';
  return { error, error_description };
}

const style = `:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}body{max-width:32rem;margin:3rem auto;padding:0 1rem}
ul{padding:0;list-style:none}a{display:flex;justify-content:space-between;gap:1rem;padding:.6rem .9rem;margin:.4rem 0;border:1px solid;border-radius:6px;color:inherit;text-decoration:none}
a:hover,a:focus-visible{outline:3px solid Highlight}`;
const policy = `default-src 'none'; img-src data:; style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

/** Each user a link that asks again, with the user named. */
function chooser(query: Parameters, users: readonly DemoUser[]): string {
  const links = users.map(({ id, name, role }) => {
    const asked = { ...(query as Record<string, string>), login_hint: id };
    const href = escaped(`${authorize_path}?${new URLSearchParams(asked)}`);
    return `<li><a href="${href}"><strong>${escaped(name)}</strong> <span>${escaped(role)}</span></a></li>`;
  });
  return page(
    'Sign in as a demo user',
    `<p>This issuer is part of the local stack: it asks for no password.</p><ul>${links.join('')}</ul>`,
  );
}

function page(title: string, content: string): string {
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title><link rel="icon" href="data:,"><style>${style}</style></head><body><main><h1>${title}</h1>${content}</main></body></html>`;
}

function html(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, {
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-store',
    'content-security-policy': policy,
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
  });
  response.end(body);
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  response.end(JSON.stringify(body));
}

function redirect(response: ServerResponse, to: URL): void {
  response.writeHead(302, { location: to.href, 'cache-control': 'no-store' });
  response.end();
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
