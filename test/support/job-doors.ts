// How the tests call the doors of jobs: with the token of a demo user, or with what is not one.
import { demoUsers } from '../../local/issuer.ts';
import type { JsonAnswer, TestStack } from './stack.ts';

/** The access token of the demo user with this role. */
export function tokenOf(stack: TestStack, role: string): Promise<string> {
  const user = demoUsers.find((one) => one.role === role);
  if (!user) throw new Error(`There is no demo user with the role ${role}.`);
  return stack.issuer.token(user);
}

/** A call with a bearer token, or with none. */
export async function callAs(
  stack: TestStack,
  token: string | undefined,
  path: string,
  body?: unknown,
  method = 'POST',
): Promise<JsonAnswer> {
  const response = await fetch(`${stack.url}${path}`, {
    method,
    headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  return { status: response.status, body: await response.json() };
}
