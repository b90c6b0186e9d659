// Both ways read the names of a statement alike: what the adapter makes of it is what the local Data API makes of it.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compile } from '../../local/data-api/placeholders.ts';
import { numbered } from '../../shared/adapters/named-parameters.ts';

const runs = Number(process.env.RUNS ?? 2_000);
const tokens = [
  ...[
    ':a',
    ':b',
    ':long_name1',
    '::text',
    ':=',
    ':',
    'a[1:n]',
    '[:a]',
    'x[y[1]:b]',
    '$1',
    'e',
    'name$1',
    '1',
  ],
  ...[
    "':a'",
    "'it''s :a'",
    "E'\\':a'",
    "e'\\\\'",
    '"q:a"',
    '"q"":a"',
    '-- :a\n',
    '/* :a */',
    '$$:a$$',
    '$t$ $$ :b $t$',
  ],
  ...['select', 'ü', ',', '(', ')', '=', '-', '/', '*', ' ', '\n', '.'],
];

test(`${runs} random statements have the same text and the same names`, () => {
  const statement = fc
    .array(fc.constantFrom(...tokens), { maxLength: 12 })
    .map((parts) => parts.join(' ')) // tokens that touch could make others, such as a comment that begins
    .filter((sql) => !sql.includes('/ *'));
  fc.assert(
    fc.property(statement, (sql) => {
      const { text, names } = compile(sql);
      expect(numbered(sql)).toEqual({ text, names });
    }),
    { numRuns: runs },
  );
});

test('a statement with everything at once', () => {
  const sql = `select :a, ':a', "b:a", x::text, f(n := :b), a[1:n], $$:a$$, E'\\':a' -- :a\n, /* :a */ :a, :b_2`;
  expect(numbered(sql)).toEqual({
    text: `select $1, ':a', "b:a", x::text, f(n := $2), a[1:n], $$:a$$, E'\\':a' -- :a\n, /* :a */ $1, $3`,
    names: ['a', 'b', 'b_2'],
  });
});
