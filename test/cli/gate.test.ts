// The release gate's verdicts: an item holds only when each test that shows it ran and passed.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { checklist, filesOf, type Item, judge, type Report } from '../../scripts/gate-checklist.ts';

const file = 'test/sql/a.test.ts';
const item: Item = {
  part: 'B',
  claim: 'It holds',
  shown_by: [{ file, test: /^one / }, { file: 'test/sql/b.test.ts' }],
};

function report(...[a, b]: [string, string][][]): Report {
  const result = (name: string, tests: [string, string][]) => ({
    name: `/somewhere/${name}`,
    status: tests.every(([, status]) => status !== 'failed') ? 'passed' : 'failed',
    assertionResults: tests.map(([fullName, status]) => ({ fullName, status })),
  });
  const testResults = [...(a ? [result(file, a)] : []), ...(b ? [result('test/sql/b.test.ts', b)] : [])];
  return { success: true, numFailedTests: 0, testResults };
}

test('an item holds when every test that shows it passed, whatever became of others', () => {
  const run = report(
    [
      ['one thing', 'passed'],
      ['two things', 'failed'],
    ],
    [['all', 'passed']],
  );
  expect(judge(item, run)).toMatchObject({ ok: true, why: 'shown by 2 tests' });
});

test.each<[string, Report, string]>([
  ['failed', report([['one thing', 'failed']], [['all', 'passed']]), `failed: ${file}: one thing`],
  ['was skipped', report([['one thing', 'skipped']], [['all', 'passed']]), `skipped: ${file}: one thing`],
  ['was renamed', report([['another thing', 'passed']], [['all', 'passed']]), `not shown by ${file} /^one /`],
  ['lies in a file that did not run', report([['one thing', 'passed']]), 'not shown by test/sql/b.test.ts'],
  ['lies in a file that is empty', report([['one thing', 'passed']], []), 'not shown by test/sql/b.test.ts'],
])('an item does not hold when a test that shows it %s', (_what, run, why) => {
  expect(judge(item, run)).toMatchObject({ ok: false, why });
});

test('every file of the checklist is there, and each part has items', () => {
  const missing = filesOf(checklist).filter((name) => !existsSync(join(import.meta.dirname, '../..', name)));
  expect(missing).toEqual([]);
  expect(new Set(checklist.map(({ part }) => part))).toEqual(new Set(['A', 'B', 'C']));
});
