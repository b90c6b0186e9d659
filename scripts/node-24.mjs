// Runs a TypeScript entry on Node 24, or says in one sentence why it cannot; plain JavaScript, so that every Node can read it.
import module from 'node:module';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const major = Number(process.versions.node.split('.')[0]);
if (major < 24) {
  process.stderr.write(
    `Revenue Kernel runs on Node 24 but was started by Node ${process.versions.node}: run "npm ci" ` +
      '(without --ignore-scripts), which installs Node 24 into node_modules, and start it through npm or npx.\n',
  );
  process.exit(1);
}

module.enableCompileCache(); // a command that is asked often need not compile its files each time
const [entry, ...rest] = process.argv.slice(2);
if (entry) {
  process.argv.splice(1, process.argv.length - 1, resolve(entry), ...rest); // an entry knows by it that it is one
  await import(pathToFileURL(entry).href);
}
