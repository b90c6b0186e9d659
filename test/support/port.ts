// A port for a stack that begins to listen much later: no connection that goes out is given it meanwhile.
import { createServer } from 'node:net';

/** Below the range from which the system takes the ports of outgoing connections. */
const first = 20_000;
const ports = 10_000;

export async function freePort(): Promise<number> {
  for (;;) {
    const port = first + Math.floor(Math.random() * ports);
    if (await isFree(port)) return port;
  }
}

export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
