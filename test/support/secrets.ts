// Secrets Manager of this machine on a port of its own, to which the SDK of this process is pointed.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { createSecrets } from '../../local/door/secrets.ts';

/** @param store the string of each secret by its ARN; it may change at any time. */
export async function mountSecrets(store: Map<string, string>): Promise<{ reads(): number; close(): void }> {
  const secrets = createSecrets(store);
  let reads = 0;
  const server = createServer(async (request, response) => {
    reads += 1;
    secrets.handle(request, response, await buffer(request));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  Object.assign(process.env, {
    AWS_REGION: 'eu-central-1',
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
    AWS_ENDPOINT_URL_SECRETS_MANAGER: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
  });
  return {
    reads: () => reads,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}
