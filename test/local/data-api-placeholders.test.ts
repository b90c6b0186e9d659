// Which colons of a statement are placeholders, and which semicolons separate two statements.
import { describe, expect, test } from 'vitest';
import { compile } from '../../local/data-api/placeholders.ts';

describe('placeholders', () => {
  test.each([
    ['numbers them in the order of their first use', 'select :b, :a, :b', 'select $1, $2, $1'],
    [
      'leaves casts alone',
      "select :a::text, '1'::int, now()::date",
      "select $1::text, '1'::int, now()::date",
    ],
    ['leaves string literals alone', "select ':a', 'it''s :a', :b", "select ':a', 'it''s :a', $1"],
    ['reads a backslash as itself in plain literals', "select '\\', :a, '\\'", "select '\\', $1, '\\'"],
    ['reads a backslash as an escape in E literals', "select E'\\':a', :b", "select E'\\':a', $1"],
    [
      'knows an E that ends a name from one that starts a literal',
      "select type'\\', :a",
      "select type'\\', $1",
    ],
    ['leaves quoted names alone', 'select ":a", "x"":b", :c', 'select ":a", "x"":b", $1'],
    ['leaves dollar quotes alone', 'select $$:a$$, $t$ $$ :b $t$, :c', 'select $$:a$$, $t$ $$ :b $t$, $1'],
    ['knows a dollar within a name from a quote', 'select a$b$ , :c, d$b$', 'select a$b$ , $1, d$b$'],
    ['leaves line comments alone', 'select 1 -- :a ; \n, :b', 'select 1 -- :a ; \n, $1'],
    ['leaves nested comments alone', 'select /* :a /* ; */ :b */ :c', 'select /* :a /* ; */ :b */ $1'],
    [
      'leaves slices and named arguments alone',
      'select a[1:n], f(x := 2), :c',
      'select a[1:n], f(x := 2), $1',
    ],
    ['works next to operators and brackets', 'select (:a)+:b*-:c', 'select ($1)+$2*-$3'],
    ['lets an unfinished literal end with the text', "select ':a", "select ':a"],
  ])('%s', (_claim, sql, text) => {
    expect(compile(sql).text).toBe(text);
  });

  test('names are the values in order', () => {
    expect(compile('select :b_2, :a, :b_2').names).toEqual(['b_2', 'a']);
  });
});

describe('second statements', () => {
  test.each(['select 1; select 2', 'select 1;; x', "do $$ begin null; end $$; select ';'", 'a;/**/b'])(
    'are found in %s',
    (sql) => expect(() => compile(sql)).toThrow(/Multistatements/),
  );
  test.each([
    'select 1;',
    'select 1 ; -- done;\n ;',
    "select ';'",
    'do $$ begin a; b; end $$',
    'a; /* ; b */',
  ])('are not seen in %s', (sql) => expect(() => compile(sql)).not.toThrow());
});
