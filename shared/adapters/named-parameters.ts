// Rewrites the `:name` parameters of the kernel's statements, which the Data API takes, to the `$n` of Postgres.

export interface Numbered {
  text: string;
  /** The name of `$1`, `$2`, …; a name that is used twice has one number. */
  names: string[];
}

/** Tokens in which a colon means something else come first; a comment inside a comment is not read. */
const tokens = new RegExp(
  [
    String.raw`[eE]'(?:[^'\\]|\\.|'')*'`, // a string with escapes
    "'(?:[^']|'')*'",
    '"(?:[^"]|"")*"',
    String.raw`--[^\n]*`,
    String.raw`/\*.*?\*/`,
    String.raw`(?<![\p{L}\p{N}_$])(\$(?:[\p{L}_][\p{L}\p{N}_]*)?\$).*?\1`, // a dollar-quoted string
    '::|:=',
    String.raw`(?<![\w\]]):([A-Za-z_]\w*)`, // not in a slice, as in a[1:n]
  ].join('|'),
  'gsu',
);
const known = new Map<string, Numbered>();

/** Statements are constants of the program, so each is read once. */
export function numbered(sql: string): Numbered {
  const before = known.get(sql);
  if (before) return before;
  const names: string[] = [];
  const text = sql.replace(tokens, (token: string, _tag: string | undefined, name: string | undefined) => {
    if (name === undefined) return token;
    if (!names.includes(name)) names.push(name);
    return `$${names.indexOf(name) + 1}`;
  });
  const made = { text, names };
  known.set(sql, made);
  return made;
}
