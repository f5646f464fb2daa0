import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { endWithFile } from './end-with-file';

/** An address that can be moved from one server to another. */
export interface MovingAddress {
  /** Connection string with this address. */
  readonly url: string;
  /** Moves the address to another server and closes all open connections. */
  moveTo(database: string): void;
  /** Moves the address to another server for new connections only. */
  moveNewTo(database: string): void;
}

export async function movingAddress(database: string): Promise<MovingAddress> {
  const url = new URL(database);
  let target = Number(url.port);
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(target, '127.0.0.1');
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.pipe(other);
      socket
        .on('error', () => {})
        .on('close', () => {
          sockets.delete(socket);
          other.destroy();
        });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  url.port = String(typeof address === 'object' && address ? address.port : 0);
  const endAll = () => {
    for (const socket of sockets) socket.destroy();
  };
  endWithFile(async () => {
    endAll();
    server.close();
  });
  const moveNewTo = (to: string) => {
    target = Number(new URL(to).port);
  };
  return {
    url: url.href,
    moveNewTo,
    moveTo: (to) => {
      moveNewTo(to);
      endAll();
    },
  };
}
