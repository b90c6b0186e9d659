// The port of the stack: it is known before anything is started, and nobody else gets it until it is served.
import { createServer, type Server } from 'node:net';

export interface HeldPort {
  port: number;
  /** Lets it go; it is listened on in the same moment. */
  release(): Promise<void>;
}

/**
 * Before anything is started, for nothing is worse than a boot that fails at its end.
 * @param port 0 takes a free one.
 * @throws Error in one sentence that names the port and another one.
 */
export async function holdPort(port = 0): Promise<HeldPort> {
  const server = createServer((early) => early.destroy());
  await listen(server, port);
  const address = server.address() as { port: number };
  return {
    port: address.port,
    release: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

/** @throws Error as `holdPort` does. */
export async function checkPort(port: number): Promise<void> {
  await (await holdPort(port)).release();
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    server.once('error', ({ code }: NodeJS.ErrnoException) => {
      const why =
        code === 'EACCES' ? 'is reserved for root: start as root' : 'is taken: stop what listens there';
      const other = port < 1024 ? 3000 : port < 65_535 ? port + 1 : port - 1;
      reject(new Error(`Port ${port} ${why}, or choose another, for example PORT=${other} npm start.`));
    });
    server.listen(port, '127.0.0.1', resolve);
  });
}
