// Holds an answer of the running stack against the operation that the contract describes: status, body and headers, to the field.
import { expect } from 'vitest';
import { operations } from '../../shared/contract.ts';
import {
  codesOf,
  errorBody,
  everyHeader,
  isOptional,
  type Operation,
  type Reply,
  repliesOf,
} from '../../shared/contract-operation.ts';
import { errorStatus } from '../../shared/errors.ts';
import type { Answer } from './stack.ts';

/** Headers of which the contract must speak; those of HTTP itself and of caching it may leave out. */
const spoken =
  /^(x-opsmantik-|x-request-id$|retry-after$|ratelimit|location$|allow$|vary$|access-control-|content-disposition$|idempotency-replayed$|x-next-cursor$)/;

export function operation(id: string): Operation {
  const found = operations.find((one) => one.id === id);
  if (!found) throw new Error(`The contract has no operation ${id}.`);
  return found;
}

/** Throws unless one of the operation's replies describes the answer; undocumented fields and headers count. */
export function conforms(described: Operation, { status, headers, body }: Answer): void {
  const type = headers.get('content-type')?.split(';')[0];
  const replies = repliesOf(described).filter(
    (reply) => reply.status === status && (reply.type ?? 'application/json') === type,
  );
  const where = `${described.id} ${status} ${type} ${JSON.stringify(body).slice(0, 2_000)}`;
  expect(replies.length, `${where} is not documented`).toBeGreaterThan(0);
  const faults = replies.map((reply) => [...bodyFaults(reply, body), ...headerFaults(reply, headers)]);
  const fitting = replies.filter((_, n) => faults[n]?.length === 0);
  expect(fitting.length > 0 ? [] : faults, where).toEqual([]);
  if (fitting.some((reply) => reply.body !== errorBody)) return; // its own schema names the code, if it has one
  expect(
    codesOf(described).filter((code) => errorStatus[code] === status),
    where,
  ).toContain(body.code);
}

function bodyFaults({ body: schema }: Reply, body: unknown): string[] {
  const parsed = schema.safeParse(body);
  return parsed.error?.issues.map((issue) => JSON.stringify(issue)) ?? [];
}

function headerFaults({ headers: own = {} }: Reply, headers: Headers): string[] {
  const documented = { ...everyHeader, ...own };
  const wrong = Object.entries(documented).flatMap(([name, schema]) => {
    const value = headers.get(name);
    if (value === null) return isOptional(schema) ? [] : [`The header ${name} is missing.`];
    return schema.safeParse(value).success ? [] : [`The header ${name} is ${value}.`];
  });
  const unknown = [...headers.keys()].filter((name) => spoken.test(name) && !(name in documented));
  return [...wrong, ...unknown.map((name) => `The header ${name} is not documented.`)];
}
