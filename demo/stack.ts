// The stack that the demo fills: calls of its public API as any user, its jobs' doors, and its database for what no API may do.
import { createPrivateKey, sign } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { CLIENT_ID, demoUsers } from '../local/issuer.ts';

const token_life_s = 3_600;
const wait_ms = 15_000;
const poll_ms = 100;

/** What the demo must know of a stack. */
export interface DemoStack {
  url: string;
  /** As the superuser. */
  database_url: string;
  cron_secret: string;
  /** The embedded issuer with its signing key: players of the demo have tokens as everybody has. */
  issuer: { url: string; key: Record<string, unknown> };
}

// biome-ignore lint/suspicious/noExplicitAny: answers have many shapes
export type Answer = { status: number; body: any };
export interface Caller {
  id: string;
  groups?: string[];
}
export type Call = (
  method: string,
  path: string,
  body?: unknown,
  more?: Record<string, string>,
) => Promise<Answer>;

export interface Demo {
  database: pg.Client;
  /** Calls as this user; @throws Error with the API's sentence unless the answer is 2xx. */
  as(caller: Caller): Call;
  /** Starts a job by its door, as the operator does. */
  cron(path: string): Promise<Answer>;
  /** One request of a tracker; refusals are answers, too. */
  sync(origin: string, body: unknown): Promise<Answer>;
  /** Runs statements with the triggers switched off, which only a superuser can do. */
  behindGuards(run: () => Promise<unknown>): Promise<void>;
  close(): Promise<void>;
}

export const userOf = (role: string, nth = 0): Caller => {
  const user = demoUsers.filter((one) => one.role === role)[nth];
  if (!user) throw new Error(`There is no demo user with the role ${role}.`);
  return user;
};

export async function openDemo(stack: DemoStack): Promise<Demo> {
  const database = new pg.Client({ connectionString: stack.database_url });
  database.on('error', () => undefined); // what fails next says so
  await database.connect();
  return {
    database,
    as(caller) {
      const authorization = `Bearer ${accessToken(stack.issuer, caller)}`;
      return async (method, path, body, more = {}) =>
        accepted(
          `${method} ${path}`,
          await request(stack.url, method, path, body, { authorization, ...more }),
        );
    },
    cron: async (path) => {
      const headers = { authorization: `Bearer ${stack.cron_secret}` };
      return accepted(`POST ${path}`, await request(stack.url, 'POST', path, undefined, headers));
    },
    sync: (origin, body) => request(stack.url, 'POST', '/api/sync', body, { origin }),
    async behindGuards(run) {
      await database.query('set session_replication_role = replica');
      await run().finally(() => database.query('set session_replication_role = origin'));
    },
    close: () => database.end(),
  };
}

/** Waits until the answer is true. @throws Error when that takes too long. */
export async function until(what: string, done: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + wait_ms; Date.now() < end; await sleep(poll_ms)) if (await done()) return;
  throw new Error(`${what} took more than ${wait_ms / 1_000} s.`);
}

async function request(
  url: string,
  method: string,
  path: string,
  body: unknown,
  headers: Record<string, string>,
): Promise<Answer> {
  const response = await fetch(`${url}${path}`, {
    method,
    headers: { 'content-type': 'application/json', ...headers },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: text.startsWith('{') ? JSON.parse(text) : text };
}

function accepted(what: string, answer: Answer): Answer {
  if (answer.status >= 200 && answer.status < 300) return answer;
  throw new Error(`${what} answered ${answer.status}: ${answer.body.error ?? answer.body}`);
}

/** An access token with the claims of Cognito's, by the issuer's own key. */
function accessToken(issuer: DemoStack['issuer'], { id, groups = [] }: Caller): string {
  const now_s = Math.floor(Date.now() / 1_000);
  const claims = {
    ...{ iss: issuer.url, sub: id, client_id: CLIENT_ID, token_use: 'access', 'cognito:groups': groups },
    ...{ iat: now_s, exp: now_s + token_life_s },
  };
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg: 'RS256', typ: 'JWT', kid: issuer.key.kid })}.${part(claims)}`;
  const key = createPrivateKey({ key: issuer.key as Record<string, string>, format: 'jwk' });
  return `${signed}.${sign('RSA-SHA256', Buffer.from(signed), key).toString('base64url')}`;
}
