import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { endWithFile } from './end-with-file';

/** An address that leads to one server, and later to another. */
export interface MovingAddress {
  /** Connection string through it. */
  readonly url: string;
  /** Leads to another server from now on, and ends the connections that there are. */
  moveTo(database: string): void;
  /** As `moveTo`, for new connections alone. */
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
