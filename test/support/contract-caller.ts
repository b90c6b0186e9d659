// Calls operations of the contract on the running stack and holds each answer against what the contract says.
import { expect } from 'vitest';
import { type DemoUser, demoUsers } from '../../local/issuer.ts';
import { codesOf, type Operation } from '../../shared/contract-operation.ts';
import { errorStatus } from '../../shared/errors.ts';
import { conforms, operation } from './conforms.ts';
import type { Answer, TestStack } from './stack.ts';

export interface Ask {
  path?: Record<string, string>;
  query?: Record<string, string>;
  body?: unknown;
  /** A role or name of the demo users, another user, the cron secret, or nobody. */
  as?: string | DemoUser;
  headers?: Record<string, string>;
}

/** A caller of operations, which remembers the statuses that each was answered with. */
export function caller(stack: TestStack) {
  const answered = new Map<string, Set<number>>();
  const { ref } = stack.resource('AWS::SecretsManager::Secret', 'CronSecret');
  const secret = stack.state.secret(ref.split(':').at(-1) ?? '');

  async function credentials(as: Ask['as']): Promise<Record<string, string>> {
    if (as === undefined) return {};
    const user = typeof as === 'object' ? as : demoUsers.find(({ role, name }) => role === as || name === as);
    return { authorization: `Bearer ${user ? await stack.issuer.token(user) : secret}` };
  }

  async function ask(id: string, { path = {}, query, body, as, headers }: Ask = {}): Promise<Answer> {
    const { path: template, method, body: taken } = operation(id);
    const filled = template.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(path[name] ?? 'x'));
    const url = `${stack.url}${filled}?${new URLSearchParams(query)}`;
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const response = await fetch(url, {
      method: method.toUpperCase(),
      headers: {
        ...(await credentials(as)),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      redirect: 'manual',
      ...(text !== undefined && { body: text }),
    });
    const raw = await response.text();
    const isJson = response.headers.get('content-type')?.startsWith('application/json');
    const answer = {
      status: response.status,
      headers: response.headers,
      body: isJson ? JSON.parse(raw) : raw,
    };
    conforms(operation(id), answer);
    if (answer.status < 400 && body !== undefined)
      expect(taken?.['application/json']?.safeParse(JSON.parse(text ?? '')).error).toBeUndefined();
    answered.set(id, (answered.get(id) ?? new Set()).add(answer.status));
    return answer;
  }

  /** Those of the operations of which a success, or any refusal, was not seen, with what was. */
  function unseen(among: Operation[]): string[] {
    const wanting = among.filter((described) => {
      const statuses = [...(answered.get(described.id) ?? [])];
      const wanted = described.replies.map(({ status }) => status).filter((status) => status < 400);
      const refusable = codesOf(described).some((code) => errorStatus[code] < 500);
      return (
        !wanted.every((one) => statuses.includes(one)) || (refusable && !statuses.some((one) => one >= 400))
      );
    });
    return wanting.map(({ id }) => `${id}: ${[...(answered.get(id) ?? [])]}`);
  }
  return { ask, unseen };
}
