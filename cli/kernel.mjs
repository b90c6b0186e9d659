#!/usr/bin/env node
// The operator's command; checks the Node version before any TypeScript is read.
import { fileURLToPath } from 'node:url';

process.argv.splice(2, 0, fileURLToPath(new URL('./main.ts', import.meta.url)));
await import('../scripts/node-24.mjs');
