// Rewrites the `:name` placeholders of a Data API statement to the `$n` of Postgres, leaving literals and comments alone.
import { refuse } from './errors.ts';

export type Compiled = {
  text: string;
  /** The name of `$1`, `$2`, …; a name that is used twice has one number. */
  names: string[];
};

const CACHE_SIZE = 1_000;
const cache = new Map<string, Compiled>();

export function compile(sql: string): Compiled {
  const known = cache.get(sql);
  if (known) return known;
  const compiled = translate(sql);
  // Statements are constants of the program; one that builds its SQL must not fill the memory.
  if (cache.size >= CACHE_SIZE) cache.clear();
  cache.set(sql, compiled);
  return compiled;
}

function translate(sql: string): Compiled {
  const names: string[] = [];
  let text = '';
  let ended = false;
  for (let at = 0; at < sql.length; ) {
    const end = tokenEnd(sql, at);
    const token = sql.slice(at, end);
    if (token === ';') ended = true;
    else if (ended && !/^\s*$|^--|^\/\*/.test(token)) {
      throw refuse('ValidationException', "Multistatements aren't supported.");
    }
    if (isPlaceholder(token)) {
      const name = token.slice(1);
      if (!names.includes(name)) names.push(name);
      text += `$${names.indexOf(name) + 1}`;
    } else if (token !== ';') text += token;
    at = end;
  }
  return { text, names };
}

const isPlaceholder = (token: string): boolean => /^:[A-Za-z_]/.test(token);

const PATTERNS = {
  space: /\s+/y,
  // Identifiers may hold `$`, which keeps the tag of a dollar quote from starting inside one.
  word: /[\p{L}_][\p{L}\p{N}_$]*/uy,
  number: /[0-9][0-9A-Za-z_.]*/y,
  placeholder: /:[A-Za-z_]\w*/y,
  line: /--[^\n]*/y,
  tag: /\$(?:[\p{L}_][\p{L}\p{N}_]*)?\$/uy,
};

/** The position after the token that starts at `at`; an unfinished literal ends with the text, for Postgres to refuse. */
function tokenEnd(sql: string, at: number): number {
  const char = sql[at];
  const next = sql[at + 1];
  if (char === "'" || char === '"') return quotedEnd(sql, at, char, false);
  if ((char === 'e' || char === 'E') && next === "'") return quotedEnd(sql, at + 1, "'", true);
  if (char === '-' && next === '-') return match(PATTERNS.line, sql, at);
  if (char === '/' && next === '*') return commentEnd(sql, at);
  if (char === '$') return dollarEnd(sql, at);
  if (char === ':') return colonEnd(sql, at);
  return (
    matchEnd(PATTERNS.space, sql, at) ??
    matchEnd(PATTERNS.word, sql, at) ??
    matchEnd(PATTERNS.number, sql, at) ??
    at + 1
  );
}

/** `::` is a cast, `:=` an argument, and in `[1:n]` or `[a[1]:n]` the colon belongs to a slice. */
function colonEnd(sql: string, at: number): number {
  if (sql[at + 1] === ':') return at + 2;
  return /[\w\]]/.test(sql[at - 1] ?? '') ? at + 1 : match(PATTERNS.placeholder, sql, at);
}

function matchEnd(pattern: RegExp, sql: string, at: number): number | undefined {
  pattern.lastIndex = at;
  return pattern.test(sql) ? pattern.lastIndex : undefined;
}

const match = (pattern: RegExp, sql: string, at: number): number => matchEnd(pattern, sql, at) ?? at + 1;

/** `open` is the position of the quote; a doubled quote stands for itself, a backslash escapes in `E'…'` only. */
function quotedEnd(sql: string, open: number, quote: string, escapes: boolean): number {
  for (let at = open + 1; at < sql.length; at++) {
    if (escapes && sql[at] === '\\') at++;
    else if (sql[at] === quote) {
      if (sql[at + 1] !== quote) return at + 1;
      at++;
    }
  }
  return sql.length;
}

function commentEnd(sql: string, open: number): number {
  let depth = 1;
  for (let at = open + 2; at < sql.length; at++) {
    if (sql.startsWith('/*', at)) {
      depth++;
      at++;
    } else if (sql.startsWith('*/', at)) {
      depth--;
      at++;
      if (depth === 0) return at + 1;
    }
  }
  return sql.length;
}

function dollarEnd(sql: string, at: number): number {
  const bodyStart = matchEnd(PATTERNS.tag, sql, at);
  if (bodyStart === undefined) return at + 1;
  const tag = sql.slice(at, bodyStart);
  const close = sql.indexOf(tag, bodyStart);
  return close < 0 ? sql.length : close + tag.length;
}
