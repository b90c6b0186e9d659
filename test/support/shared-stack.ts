// One stack for all the files of a worker: for tests that look at nothing but what they made themselves.
import { fakeClock } from '../../local/schedule/clock.ts';
import { slotOf } from './shared-stack-environment.ts';
import { openStack, type TestStack } from './stack.ts';

/**
 * Opened by the first file that asks, and closed with the worker. No schedule runs in it. A test that breaks an engine, or
 * counts what others may have made, opens a stack of its own.
 */
export function sharedStack(): Promise<TestStack> {
  const slot = slotOf(globalThis) as { stack?: Promise<TestStack> };
  slot.stack ??= openStack({ clock: fakeClock(new Date()) });
  return slot.stack;
}
