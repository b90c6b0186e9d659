// How the HTTP tests call money: as a player, or as a member of finance, each with a token of their own.
import { randomUUID } from 'node:crypto';
import type { DemoUser } from '../../local/issuer.ts';
import type { JsonAnswer, TestStack } from './stack.ts';

export interface MoneyAnswer extends JsonAnswer {
  replayed: boolean;
  headers: Headers;
  text: string;
}

export type Call = (
  method: 'GET' | 'POST' | 'PUT',
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
) => Promise<MoneyAnswer>;

/** Calls below /api/v1 with the token of a user in these groups. A body that is a text is sent as it is. */
export async function caller(
  stack: TestStack,
  groups: string[] = [],
  id: string = randomUUID(),
): Promise<Call> {
  const token = await stack.issuer.token({ name: 'Test', role: 'test', id, groups } as DemoUser);
  return async (method, path, body, headers = {}) => {
    const response = await fetch(`${stack.url}/api/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      text,
      body: text.startsWith('{') ? JSON.parse(text) : text,
      replayed: response.headers.get('idempotency-replayed') === 'true',
    };
  };
}

export const key = (value: string = randomUUID()) => ({ 'idempotency-key': value });

export interface Player {
  id: string;
  call: Call;
  deposit(amount: unknown, headers?: Record<string, string>): Promise<MoneyAnswer>;
  withdraw(amount: unknown, headers?: Record<string, string>): Promise<MoneyAnswer>;
  balance(): Promise<[available: string, held: string, total: string]>;
}

/** A player of the tenant, verified and approved by its finance. */
export async function openPlayer(
  stack: TestStack,
  tenant = 'default',
  { approved = true } = {},
): Promise<Player> {
  const id = randomUUID();
  const call = await caller(stack, [], id);
  const finance = await caller(stack, [tenant === 'default' ? 'finance' : `finance:${tenant}`]);
  await call('POST', '/player/register', { tenant_id: tenant });
  await finance('POST', `/admin/players/${id}/verification`, { email_verified: true, sms_verified: true });
  if (approved) await finance('POST', `/admin/players/${id}/kyc`, { decision: 'approved', reason: 'test' });
  const move = (path: string, method: string) => (amount_minor: unknown, headers?: Record<string, string>) =>
    call('POST', `/player/wallet/${path}`, { amount_minor, method }, { ...key(), ...headers });
  return {
    id,
    call,
    deposit: move('deposit', 'test'),
    withdraw: move('withdraw', 'test_bank'),
    async balance() {
      const { body } = await call('GET', '/player/wallet/balance');
      return [body.available_real, body.held_real, body.total_real];
    },
  };
}
