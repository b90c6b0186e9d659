// Builds only when something that the bundles are made of has changed since: a start that changes nothing need not wait for it.
import { buildHash, buildStamp } from './build-stamp.ts';
import { isStamped } from './source-hash.ts';

export async function buildIfChanged(): Promise<void> {
  if (!(await isStamped(buildStamp, await buildHash()))) await import('./build.ts');
}
