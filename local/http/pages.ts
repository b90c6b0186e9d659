// What is served beside the API: the tracker and the console, which a deployment has in its content delivery network.
import { join } from 'node:path';
import type { Issuer } from '../issuer.ts';
import { consoleFiles } from './console.ts';
import { staticFiles } from './files.ts';
import type { HttpApiOptions } from './http-api.ts';

/** What the build wrote there. */
const tracker_folder = join(import.meta.dirname, '../../dist/tracker');
const console_folder = join(import.meta.dirname, '../../dist/console');

export function pagesBeside(region: string, issuer: Issuer): NonNullable<HttpApiOptions['static']> {
  const tracker = staticFiles(tracker_folder);
  const pages = consoleFiles(console_folder, { stage: 'local', region, issuer });
  return (request) => tracker(request) ?? pages(request);
}
