// Shows how long the replay waits before it sends a batch again.
import { expect, test } from 'vitest';
import { delayMs, retryAfterMs } from '../../cli/replay-send.ts';

const NOW = Date.UTC(2026, 0, 5, 12);

test.each([
  [null, undefined],
  ['0', 0],
  ['7', 7_000],
  ['Mon, 05 Jan 2026 12:00:09 GMT', 9_000],
  ['Mon, 05 Jan 2026 11:00:00 GMT', 0],
  ['soon', undefined],
  ['2592000', 120_000],
])('a Retry-After of %j is a wait of %s ms, two minutes at most', (header, wait) => {
  expect(retryAfterMs(header, NOW)).toBe(wait);
});

test('the wait is drawn from the whole of a bound that doubles, up to 30 seconds', () => {
  expect([1, 2, 3, 7, 20].map((attempt) => delayMs(attempt, undefined, () => 1))).toEqual([
    200, 400, 800, 12_800, 30_000,
  ]);
  expect(delayMs(7, undefined, () => 0)).toBe(0);
});

test('no wait is shorter than what the stack asked for', () => {
  expect(delayMs(1, 5_000, () => 0)).toBe(5_000);
  expect(delayMs(7, 5_000, () => 1)).toBe(6_000);
});
