// What a command is made of, how its options are read, and the two ways in which it may end badly.
import { parseArgs } from 'node:util';
import type { Api } from './api.ts';
import type { Target } from './target.ts';

/** Something failed: exit 1 with its sentence. */
export class Failure extends Error {}

/** The command line itself is wrong: exit 2 with its sentence and the usage line. */
export class UsageError extends Error {}

export type Option = { type: 'string' | 'boolean'; multiple?: boolean; value?: string; help: string };
export type Values = Record<string, string | boolean | (string | boolean)[] | undefined>;

export type Call = {
  args: string[];
  values: Values;
  json: boolean;
  target: () => Target;
  api: () => Api;
};

export type Command = {
  words: string;
  usage: string;
  summary: string;
  positionals: number;
  options: Record<string, Option>;
  run: (call: Call) => Promise<number>;
};

export const COMMON: Record<string, Option> = {
  url: {
    type: 'string',
    value: 'URL',
    help: 'the stack to talk to (default: KERNEL_URL, then .local/stack.json)',
  },
  token: {
    type: 'string',
    value: 'TOKEN',
    help: 'the platform admin token (default: KERNEL_TOKEN, then .local)',
  },
  json: { type: 'boolean', help: 'print one JSON object on stdout' },
  help: { type: 'boolean', help: 'print this help' },
};

export function usageLine(command: Command): string {
  return `Usage: kernel ${command.words}${command.usage ? ` ${command.usage}` : ''}`;
}

/** Reads the words after the command; node's own messages are cut down to their first sentence. */
export function readArguments(command: Command, argv: string[]): { args: string[]; values: Values } {
  const options: Record<string, { type: 'string' | 'boolean'; multiple?: boolean }> = {};
  for (const [name, { type, multiple }] of Object.entries({ ...command.options, ...COMMON })) {
    options[name] = { type, multiple: multiple ?? false };
  }
  try {
    const args = joinDashed(argv, options);
    const { values, positionals } = parseArgs({ args, options, allowPositionals: true, strict: true });
    return { args: positionals, values: { ...values } };
  } catch (error) {
    const [sentence = ''] = (error as Error).message.split(/\.\s|\n/);
    throw new UsageError(`${sentence.replace(/\.$/, '')}.`);
  }
}

/**
 * `--events -5` as `--events=-5`, a secret that begins with a dash too: node takes a dash for the beginning of an option,
 * and no option of ours is a single letter.
 */
function joinDashed(argv: string[], options: Record<string, { type: 'string' | 'boolean' }>): string[] {
  const joined: string[] = [];
  for (const word of argv) {
    const before = joined.at(-1) ?? '';
    const takesValue = before.startsWith('--') && options[before.slice(2)]?.type === 'string';
    if (takesValue && /^-[^-]/.test(word)) joined[joined.length - 1] = `${before}=${word}`;
    else joined.push(word);
  }
  return joined;
}

export function text(values: Values, name: string): string | undefined {
  const value = values[name];
  if (value === '') throw new UsageError(`Option --${name} must not be empty.`);
  return typeof value === 'string' ? value : undefined;
}

export function required(values: Values, name: string): string {
  const value = text(values, name);
  if (value === undefined) throw new UsageError(`Option --${name} is missing.`);
  return value;
}

/** A whole number within bounds, for values that stay small enough for a JavaScript number. */
export function integer(values: Values, name: string, min: number, max: number): number | undefined {
  const value = text(values, name);
  if (value === undefined) return undefined;
  const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
  if (!(number >= min && number <= max)) {
    throw new UsageError(`Option --${name} must be a whole number from ${min} to ${max}, not "${value}".`);
  }
  return number;
}

/** A decimal that travels as the text it was given as, so that no digit is lost on the way. */
export function decimal(values: Values, name: string, fraction: boolean): string | undefined {
  const value = text(values, name);
  if (value !== undefined && !(fraction ? /^\d+(\.\d+)?$/ : /^\d+$/).test(value)) {
    throw new UsageError(
      `Option --${name} must be a ${fraction ? 'decimal' : 'whole'} number, not "${value}".`,
    );
  }
  return value;
}

/** A month as the stack writes it, YYYY-MM in UTC. */
export function month(values: Values, name = 'month'): string | undefined {
  const value = text(values, name);
  if (value !== undefined && !/^\d{4}-(0[1-9]|1[0-2])$/.test(value)) {
    throw new UsageError(`Option --${name} must look like 2026-01, not "${value}".`);
  }
  return value;
}

export function requiredMonth(values: Values, name = 'month'): string {
  required(values, name);
  return month(values, name) ?? '';
}
