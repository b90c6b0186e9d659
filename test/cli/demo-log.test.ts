// Shows that the synthetic access log is the same for the same seed and can be replayed to its last line.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parseAccessLine } from '../../cli/access-log.ts';
import { demoLines } from '../../cli/demo-log.ts';
import { kernel, SAMPLE } from './run-kernel.ts';

const parsed = [...demoLines(10_000, 1)].map((raw) => parseAccessLine(raw));
const lines = parsed.flatMap((p) => ('line' in p ? [p.line] : []));

test('every line parses', () => {
  expect(lines).toHaveLength(10_000);
});

test('time never goes back and starts on 5 January 2026', () => {
  const times = lines.map((line) => line.time);
  expect(times).toEqual(times.toSorted());
  expect(times[0]).toMatch(/^2026-01-05T00:/);
});

test('the afternoon is busier than the night', () => {
  const during = (from: number, to: number) =>
    lines.filter((l) => Number(l.time.slice(11, 13)) >= from && Number(l.time.slice(11, 13)) < to).length;
  expect(during(12, 18)).toBeGreaterThan(4 * during(0, 6));
});

test('the same seed gives the same log and another seed gives another', () => {
  expect([...demoLines(50, 1)]).toEqual([...demoLines(50, 1)]);
  expect([...demoLines(50, 2)]).not.toEqual([...demoLines(50, 1)]);
});

test('the command writes the sample log of the tests byte for byte', async () => {
  const run = await kernel(['demo-log', '--lines', '200']);
  expect(run).toMatchObject({ code: 0, stderr: '' });
  expect(run.stdout).toBe(readFileSync(SAMPLE, 'utf8'));
});
