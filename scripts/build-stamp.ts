// What says of which sources the bundles were built.
import { join } from 'node:path';
import { hashOf } from './source-hash.ts';

/** All that the functions, the tracker and the console are made of. */
const sources = [
  ...['functions', 'shared', 'migrations', 'tracker', 'console', 'scripts'],
  ...['docs/openapi.json', 'tsconfig.json', 'package.json', 'package-lock.json'],
];

export const buildStamp = join(import.meta.dirname, '../dist/sources.sha256');
export const buildHash = (): Promise<string> => hashOf(sources);
