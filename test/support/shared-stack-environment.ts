// Where the files that share a stack run: plain Node, and a place for the stack that is closed at the end of the worker.
import type { Environment } from 'vitest/runtime';

const key = Symbol.for('kernel.shared-stack');
type Slot = { stack?: Promise<{ close(): Promise<void> }> };

/** @throws Error in a worker of another project, where nobody would close the stack. */
export function slotOf(worker: object): Slot {
  const slot = (worker as Record<symbol, Slot | undefined>)[key];
  if (!slot) throw new Error('This worker shares no stack: see vitest.config.ts.');
  return slot;
}

export default {
  name: 'shared-stack',
  viteEnvironment: 'ssr',
  setup(worker) {
    Object.assign(worker, { [key]: {} satisfies Slot });
    return { teardown: async () => (await slotOf(worker).stack)?.close() };
  },
} satisfies Environment;
