// Which stack a command talks to: the options, then the environment, then the local stack of this checkout.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Failure, text, UsageError, type Values } from './command.ts';

export type Target = { url: string; token: string | undefined };

export const LOCAL_DIRECTORY = fileURLToPath(new URL('../.local/', import.meta.url));

type LocalStack = { url: string; token: string | undefined };

function localStack(): LocalStack | undefined {
  let content: string;
  try {
    content = readFileSync(`${LOCAL_DIRECTORY}stack.json`, 'utf8');
  } catch {
    return undefined;
  }
  try {
    const stack = JSON.parse(content) as { url?: string; secrets?: { admin_token?: string } };
    return typeof stack.url === 'string' ? { url: stack.url, token: stack.secrets?.admin_token } : undefined;
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
