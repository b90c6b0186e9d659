// Builds the console: the same bytes are deployed and served by the embedded stack.
import { join } from 'node:path';
import { build } from 'vite';

/** Writes index.html and hashed assets; equal sources give equal bytes. */
export async function buildConsole(outDir: string): Promise<void> {
  const root = join(import.meta.dirname, '../console');
  await build({ root, configFile: join(root, 'vite.config.ts'), build: { outDir } });
}
