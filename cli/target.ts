// Which stack a command talks to: the options, then the environment, then the local stack of this checkout.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Failure, text, UsageError, type Values } from './command.ts';

export type Target = { url: string; token: string | undefined };

export const LOCAL_DIRECTORY = fileURLToPath(new URL('../.local/', import.meta.url));

export type LocalUser = { name: string; role: string; id: string; token: string };
type LocalStack = {
  url: string;
  token: string | undefined;
  cronSecret: string | undefined;
  users: LocalUser[];
};

function localStack(): LocalStack | undefined {
  let content: string;
  try {
    content = readFileSync(`${LOCAL_DIRECTORY}stack.json`, 'utf8');
  } catch {
    return undefined;
  }
  try {
    const { url, secrets, users } = JSON.parse(content) as {
      url?: string;
      secrets?: { admin_token?: string; cron_secret?: string };
      users?: LocalUser[];
    };
    if (typeof url !== 'string') return undefined;
    return { url, token: secrets?.admin_token, cronSecret: secrets?.cron_secret, users: users ?? [] };
  } catch {
    throw new Failure('The file .local/stack.json is not valid JSON: start the stack again with npm start.');
  }
}

function base(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (!parsed || !/^https?:$/.test(parsed.protocol)) throw new UsageError(`"${url}" is not an http(s) URL.`);
  return `${parsed.origin}${parsed.pathname}`.replace(/\/+$/, '');
}

export function findTarget(values: Values, env: NodeJS.ProcessEnv = process.env): Target {
  const named = text(values, 'url') ?? (env.KERNEL_URL || undefined);
  const token = text(values, 'token') ?? (env.KERNEL_TOKEN || undefined);
  if (named !== undefined && token !== undefined) return { url: base(named), token };
  const local = localStack();
  if (named === undefined) {
    if (!local) {
      throw new Failure(
        'No local stack is known (.local/stack.json): start one with npm start or pass --url.',
      );
    }
    return { url: base(local.url), token: token ?? local.token };
  }
  const url = base(named);
  // The local token is a secret of the local stack: no other address ever sees it.
  return { url, token: local && base(local.url) === url ? local.token : undefined };
}

/** The secret of the jobs' doors; as the token, the local one never leaves for another address. */
export function findCronSecret(values: Values, url: string, env: NodeJS.ProcessEnv = process.env): string {
  const named = text(values, 'secret') ?? (env.KERNEL_CRON_SECRET || undefined);
  const local = localStack();
  const secret = named ?? (local && base(local.url) === url ? local.cronSecret : undefined);
  if (!secret)
    throw new Failure(`No cron secret is known for ${url}: pass --secret or set KERNEL_CRON_SECRET.`);
  return secret;
}

/** The demo users of the running local stack. */
export function localUsers(): LocalUser[] {
  const users = localStack()?.users;
  if (!users) throw new Failure('No local stack is known (.local/stack.json): start one with npm start.');
  return users;
}
