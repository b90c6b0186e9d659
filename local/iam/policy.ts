// Decides as IAM does whether the statements of a role allow a call: an explicit Deny wins, then an Allow, and silence is no.
//
// Not reproduced: conditions and policy variables (each stops the start), permission boundaries, session and resource policies.

/** A statement of an identity-based policy, as written in a template, with its intrinsics resolved. */
export interface Statement {
  Effect: 'Allow' | 'Deny';
  Action?: string | string[];
  NotAction?: string | string[];
  Resource?: string | string[];
  NotResource?: string | string[];
}

export interface Role {
  name: string;
  statements: Statement[];
}

export interface Grant {
  action: string;
  resource: string;
}

export type Verdict = 'allowed' | 'denied' | 'not allowed';

export function judge(statements: readonly Statement[], { action, resource }: Grant): Verdict {
  const about = statements.filter((one) => concerns(one, action, resource));
  if (about.some(({ Effect }) => Effect === 'Deny')) return 'denied';
  return about.some(({ Effect }) => Effect === 'Allow') ? 'allowed' : 'not allowed';
}

const KEYS = new Set(['Sid', 'Effect', 'Action', 'NotAction', 'Resource', 'NotResource']);

/** @throws Error with one sentence that names the place and what in the statement cannot be evaluated here. */
export function checkStatement(value: unknown, place: string): Statement {
  const statement = value as Record<string, unknown>;
  const refuse = (what: string): never => {
    throw new Error(`${place} ${what}, which the embedded stack cannot evaluate.`);
  };
  if (statement.Condition !== undefined) refuse(`has the condition ${JSON.stringify(statement.Condition)}`);
  const unknown = Object.keys(statement).find((key) => !KEYS.has(key));
  if (unknown !== undefined) refuse(`has a statement with ${unknown}`);
  if (statement.Effect !== 'Allow' && statement.Effect !== 'Deny')
    refuse(`has a statement with the effect ${statement.Effect}`);
  for (const key of ['Action', 'Resource']) {
    const given = [key, `Not${key}`].filter((name) => statement[name] !== undefined);
    if (given.length !== 1) refuse(`has a statement with ${given.length} of ${key} and Not${key}`);
    const patterns = [statement[given[0] as string]].flat();
    const odd = patterns.find((pattern) => typeof pattern !== 'string' || pattern.includes('${'));
    if (odd !== undefined) refuse(`has a statement with the ${key.toLowerCase()} ${JSON.stringify(odd)}`);
  }
  return value as Statement;
}

function concerns(statement: Statement, action: string, resource: string): boolean {
  const { Action, NotAction, Resource, NotResource } = statement;
  const asked = action.toLowerCase();
  const acts = [Action ?? NotAction ?? []].flat().some((one) => wildcard(one.toLowerCase()).test(asked));
  if (acts === (Action === undefined)) return false;
  const meant = [Resource ?? NotResource ?? []].flat().some((one) => resourcePattern(one).test(resource));
  return meant === (Resource !== undefined);
}

/** In an ARN a wildcard stays within its part, except in the last, which holds the resource with whatever colons it has. */
function resourcePattern(pattern: string): RegExp {
  const parts = pattern.split(':');
  const [head, tail] = [parts.slice(0, Math.min(5, parts.length - 1)), parts.slice(5).join(':')];
  const last = parts.length > 5 ? tail : (parts.at(-1) ?? '');
  return compiled(`r ${pattern}`, () =>
    [...head.map((part) => source(part, '[^:]')), source(last)].join(':'),
  );
}

function wildcard(pattern: string): RegExp {
  return compiled(`a ${pattern}`, () => source(pattern));
}

const known = new Map<string, RegExp>();

/** Templates hold few patterns, and every call asks for them. */
function compiled(key: string, write: () => string): RegExp {
  const found = known.get(key) ?? new RegExp(`^${write()}$`);
  known.set(key, found);
  return found;
}

function source(pattern: string, any = '[^]'): string {
  return pattern.replace(/[^\w/-]/g, (sign) => ({ '*': `${any}*`, '?': any })[sign] ?? `\\${sign}`);
}
