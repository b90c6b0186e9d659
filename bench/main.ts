// `npm run bench -- <name>`: runs one bench, or names them all.
import { readdirSync } from 'node:fs';

const benches = readdirSync(import.meta.dirname)
  .filter(
    (file) =>
      file.endsWith('.ts') &&
      !['main.ts', 'measure.ts', 'load.ts', 'large-ledger.ts', 'measured.ts', 'webhook-load.ts'].includes(
        file,
      ),
  )
  .map((file) => file.replace('.ts', ''));
const name = process.argv[2];
if (name === undefined || !benches.includes(name)) {
  process.stderr.write(`Name a bench: ${benches.join(', ')}.\n`);
  process.exit(2);
}
await import(`./${name}.ts`);
