// Writes docs/openapi.json from the schemas that validate, or with --check fails when the file (or the one named) is stale.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openapi } from '../shared/contract.ts';

const root = join(import.meta.dirname, '..');
const { values, positionals } = parseArgs({
  options: { check: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const file = positionals[0] ?? join(root, 'docs/openapi.json');
const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
const text = `${JSON.stringify(openapi(version), null, 2)}\n`;

if (!values.check) {
  await writeFile(file, text);
} else if ((await readFile(file, 'utf8').catch(() => '')) !== text) {
  process.stderr.write('docs/openapi.json is stale: run "npm run openapi" and commit it.\n');
  process.exit(1);
}
