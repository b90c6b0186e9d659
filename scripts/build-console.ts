// Builds the console: the same bytes are deployed and served by the embedded stack.
import { join } from 'node:path';
import { build } from 'vite';

const source = join(import.meta.dirname, '../console');

/** Writes index.html and hashed assets; equal sources give equal bytes. Another root is built in the same way. */
export async function buildConsole(outDir: string, root = source): Promise<void> {
  const before = process.env.NODE_ENV;
  process.env.NODE_ENV = 'production'; // whatever it is, vite would build for it
  try {
    await build({ root, configFile: join(source, 'vite.config.ts'), build: { outDir } });
  } finally {
    if (before === undefined) delete process.env.NODE_ENV;
    else process.env.NODE_ENV = before;
  }
}
