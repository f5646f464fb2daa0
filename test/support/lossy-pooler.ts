import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** Header bytes of a PostgreSQL message: a letter, and a length that includes its own 4 bytes. */
const HEADER = 5;
const NOTIFICATION = 'A';
const READY = 'Z';

/** A proxy that behaves like a pooler in transaction mode. */
export interface LossyPooler {
  /** Connection string through the proxy. */
  readonly url: string;
  close(): Promise<void>;
}

/**
 * Starts a proxy that drops notifications to an idle client. A pooler in transaction mode also
 * loses these notifications, because another client uses the session at that time. Notifications
 * during a statement arrive.
 */
export async function lossyPooler(database: string): Promise<LossyPooler> {
  const url = new URL(database);
  const target = Number(url.port);
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(target, '127.0.0.1');
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket
        .on('error', () => {})
        .on('close', () => {
          client.destroy();
          upstream.destroy();
        });
    }
    let asks = true;
    client.on('data', (chunk) => {
      asks = true;
      upstream.write(chunk);
    });
    const messages = messagesOf((message) => {
      const kind = String.fromCharCode(message[0] as number);
      if (kind === NOTIFICATION && !asks) return;
      client.write(message);
      if (kind === READY) asks = false;
    });
    upstream.on('data', messages);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  url.port = String(typeof address === 'object' && address ? address.port : 0);
  return {
    url: url.href,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Joins the chunks of a stream and calls `each` with every complete message. */
export function messagesOf(each: (message: Buffer) => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= HEADER) {
      const length = 1 + rest.readUInt32BE(1);
      if (rest.length < length) return;
      each(rest.subarray(0, length));
      rest = rest.subarray(length);
    }
  };
}
