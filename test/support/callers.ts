// Calls of a test as each demo user and as nobody, and a site where every role is held by one of them.
import { createPrivateKey, sign } from 'node:crypto';
import { CLIENT_ID, type DemoUser, demoUsers, type Issuer } from '../../local/issuer.ts';
import type { Answer, TestStack } from './stack.ts';

export type Role =
  | 'owner'
  | 'admin'
  | 'billing'
  | 'analyst'
  | 'operator'
  | 'player'
  | 'finance'
  | 'platform-admin';
export type Call = (
  role: Role | null,
  method: string,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
) => Promise<Answer>;

export function userOf(role: Role): DemoUser {
  return demoUsers.find((one) => one.role === role) as DemoUser;
}

/** The second finance user: whoever approves is not whoever proposed. */
export const secondFinance = demoUsers.filter(({ role }) => role === 'finance')[1] as DemoUser;

/** Calls with a user's token, or with none; a redirect is an answer like any other. */
export function callsOf(stack: TestStack): Call {
  return async (role, method, path, body, headers = {}) => {
    const authorization = role ? { authorization: `Bearer ${await stack.issuer.token(userOf(role))}` } : {};
    return callWith(stack, method, path, body, { ...authorization, ...headers });
  };
}

export async function callWith(
  stack: TestStack,
  method: string,
  path: string,
  body: unknown,
  headers: Record<string, string>,
): Promise<Answer> {
  const text = typeof body === 'string' || body === undefined ? body : JSON.stringify(body);
  const response = await fetch(`${stack.url}${path}`, {
    method,
    redirect: 'manual',
    headers,
    ...(text !== undefined && { body: text }),
  });
  const answer = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    body: answer.startsWith('{') ? JSON.parse(answer) : answer,
  };
}

/** A site of the demo owner, with the demo users of the other roles as its members; player and finance are strangers. */
export async function staffedSite(stack: TestStack, plan: object = { monthly_limit: '1000' }) {
  const { body } = await stack.admin('POST', '/sites', {
    ...{ name: 'Staffed', origins: ['https://example.com'], user_id: userOf('owner').id, plan },
  });
  for (const role of ['admin', 'billing', 'analyst', 'operator'] as const)
    await stack.admin('PUT', `/sites/${body.id}/members/${userOf(role).id}`, { role });
  return body as { id: string; public_id: string };
}

export function cronSecretOf(stack: TestStack): string {
  const { ref } = stack.resource('AWS::SecretsManager::Secret', 'CronSecret');
  return stack.state.secret(ref.split(':').at(-1) ?? '');
}

/** A token with the claims of an access token, some of them changed, signed by the issuer's own key. */
export function forgedToken(issuer: Issuer, user: DemoUser, changed: object = {}): string {
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    ...{ iss: issuer.url, sub: user.id, client_id: CLIENT_ID, token_use: 'access', iat: now, exp: now + 600 },
    ...{ 'cognito:groups': user.groups, ...changed },
  };
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg: 'RS256', typ: 'JWT', kid: issuer.key.kid })}.${part(claims)}`;
  const key = createPrivateKey({ key: issuer.key as Record<string, string>, format: 'jwk' });
  return `${signed}.${sign('RSA-SHA256', Buffer.from(signed), key).toString('base64url')}`;
}

/** Status and code of an answer. */
export const told = ({ status, body }: Answer): [number, string | undefined] => [status, body.code];
