// What a role allows is decided as IAM does, and a statement that cannot be decided here is refused in one sentence.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the variable is one of IAM policies.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { checkStatement, judge, type Statement } from '../../local/iam/policy.ts';

const runs = { numRuns: Number(process.env.RUNS ?? 300) };

describe('a verdict', () => {
  const allow = (Action: string, Resource: string): Statement => ({ Effect: 'Allow', Action, Resource });
  const word = fc.string({ unit: fc.constantFrom('a', 'B', ':', '/', '.', '+'), maxLength: 8 });
  const pattern = fc.string({ unit: fc.constantFrom('a', 'B', ':', '/', '.', '*', '?'), maxLength: 8 });
  const anyStatement: fc.Arbitrary<Statement> = fc
    .tuple(fc.constantFrom('Allow' as const, 'Deny' as const), fc.boolean(), fc.boolean(), pattern, pattern)
    .map(([Effect, notAction, notResource, acts, things]) => ({
      Effect,
      [notAction ? 'NotAction' : 'Action']: acts,
      [notResource ? 'NotResource' : 'Resource']: things,
    }));
  const statements = fc.array(anyStatement, { maxLength: 5 });

  /** The definition of `*` and `?`, letter by letter. */
  const matches = (glob: string, text: string): boolean => {
    if (glob === '') return text === '';
    if (glob[0] === '*') return matches(glob.slice(1), text) || (text !== '' && matches(glob, text.slice(1)));
    return text !== '' && (glob[0] === '?' || glob[0] === text[0]) && matches(glob.slice(1), text.slice(1));
  };

  test('follows the definition of the wildcards, in actions whatever their case', () => {
    fc.assert(
      fc.property(pattern, word, (glob, action) => {
        const verdict = judge([allow(glob, '*')], { action, resource: 'x' });
        expect(verdict === 'allowed').toBe(matches(glob.toLowerCase(), action.toLowerCase()));
      }),
      runs,
    );
  });

  test('takes a resource part by part, of which only the last reaches over colons', () => {
    const part = fc.string({ unit: fc.constantFrom('a', '*', '?'), maxLength: 3 });
    const name = fc.string({ unit: fc.constantFrom('a', 'b', ':'), maxLength: 4 });
    fc.assert(
      fc.property(
        fc.array(part, { minLength: 6, maxLength: 6 }),
        fc.array(name, { minLength: 6, maxLength: 6 }),
        (globs, names) => {
          const [resource, whole] = [names.join(':'), globs.join(':')];
          const parts = resource.split(':');
          const read = [...parts.slice(0, 5), parts.slice(5).join(':')];
          const expected = globs.every((glob, at) => matches(glob, read[at] ?? ''));
          expect(judge([allow('*', whole)], { action: 'a', resource }) === 'allowed').toBe(expected);
        },
      ),
      runs,
    );
    expect(
      judge([allow('*', 'arn:aws:s3:::Bucket/*')], {
        action: 's3:GetObject',
        resource: 'arn:aws:s3:::bucket/a',
      }),
    ).toBe('not allowed');
  });

  test('is a denial as soon as one statement denies, in whatever order they stand', () => {
    fc.assert(
      fc.property(statements, fc.integer({ min: 0, max: 5 }), word, word, (some, at, action, resource) => {
        const denial: Statement = { Effect: 'Deny', Action: action, Resource: '*' };
        expect(judge(some.toSpliced(at, 0, denial), { action, resource })).toBe('denied');
      }),
      runs,
    );
  });

  test('needs a statement that allows; one more never takes away, and a Deny never gives', () => {
    expect(judge([], { action: 's3:GetObject', resource: 'x' })).toBe('not allowed');
    fc.assert(
      fc.property(statements, anyStatement, word, word, (some, one, action, resource) => {
        const [before, after] = [some, [...some, one]].map((list) => judge(list, { action, resource }));
        if (one.Effect === 'Allow') expect(before === 'allowed' && after !== 'allowed').toBe(false);
        else expect(before !== 'allowed' && after === 'allowed').toBe(false);
      }),
      runs,
    );
  });

  test('by NotAction or NotResource is the opposite of that by Action or Resource', () => {
    fc.assert(
      fc.property(pattern, word, (glob, text) => {
        const of = (one: object, asked: object) =>
          judge([{ Effect: 'Allow', ...one } as Statement], { action: 'a', resource: 'r', ...asked });
        const by = of({ Action: glob, Resource: '*' }, { action: text });
        expect(of({ NotAction: glob, Resource: '*' }, { action: text })).not.toBe(by);
        const on = of({ Action: '*', Resource: glob }, { resource: text });
        expect(of({ Action: '*', NotResource: glob }, { resource: text })).not.toBe(on);
      }),
      runs,
    );
  });

  test.each([
    [
      { Condition: { Bool: { 'aws:SecureTransport': 'true' } } },
      'has the condition {"Bool":{"aws:SecureTransport":"true"}}',
    ],
    [{ Principal: '*' }, 'has a statement with Principal'],
    [{ Effect: 'Maybe' }, 'has a statement with the effect Maybe'],
    [
      { Resource: 'arn:aws:s3:::b/${aws:username}' },
      'has a statement with the resource "arn:aws:s3:::b/${aws:username}"',
    ],
    [{ NotAction: 'a' }, 'has a statement with 2 of Action and NotAction'],
    [{ Resource: undefined }, 'has a statement with 0 of Resource and NotResource'],
    [{ Action: [{ Ref: 'x' }] }, 'has a statement with the action {"Ref":"x"}'],
  ])('on %j cannot be made, which one sentence says', (part, what) => {
    const written = { Effect: 'Allow', Action: 'a', Resource: '*', ...part };
    expect(() => checkStatement(written, 'Kernel/Policy')).toThrow(
      new Error(`Kernel/Policy ${what}, which the embedded stack cannot evaluate.`),
    );
  });
});
