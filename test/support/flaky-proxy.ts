import { connect, createServer, type Socket } from 'node:net';
import { once } from 'node:events';

/** A way to a database that can be cut and mended. */
export interface FlakyProxy {
  /** Connection string through the proxy. */
  readonly url: string;
  /** Ends all connections and takes no more. */
  cut(): Promise<void>;
  mend(): Promise<void>;
  /** Keeps all connections open, takes new ones, and lets nothing through any more. */
  swallow(): void;
}

/** Puts a proxy before a database, as if that were a machine that can go away. */
export async function flakyProxy(database: string): Promise<FlakyProxy> {
  const url = new URL(database);
  const target = Number(url.port);
  const sockets = new Set<Socket>();
  let swallows = false;
  const server = createServer((client) => {
    if (swallows) {
      sockets.add(client.on('error', () => {}));
      return;
    }
    const upstream = connect(target, '127.0.0.1');
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    }
    client.pipe(upstream).pipe(client);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  url.port = String(port);
  return {
    url: url.href,
    cut: async () => {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
    swallow: () => {
      swallows = true;
      for (const socket of sockets) socket.unpipe().pause();
    },
    mend: async () => {
      swallows = false;
      server.listen(port, '127.0.0.1');
      await once(server, 'listening');
    },
  };
}
