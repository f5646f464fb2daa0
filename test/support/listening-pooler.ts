import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { Client } from 'pg';
import { messagesOf } from './lossy-pooler';

const QUERY = 'Q'.charCodeAt(0);
const NOTIFICATION = 'A'.charCodeAt(0);

/**
 * A proxy that behaves like a pooler with support for LISTEN. Such a pooler shares sessions between
 * clients.
 */
export interface ListeningPooler {
  /** Connection string through the proxy. */
  readonly url: string;
  /** Whether a client has sent LISTEN. */
  readonly isAsked: boolean;
  /** Closes the connection on which the proxy listens. The connections of the clients stay open. */
  stopListening(): Promise<void>;
  /** Makes the proxy listen on a new connection. */
  listenAgain(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Starts a proxy that listens on one connection for all clients. The proxy forwards each
 * notification to the clients, as PgDog does in transaction mode.
 */
export async function listeningPooler(database: string): Promise<ListeningPooler> {
  const url = new URL(database);
  const target = Number(url.port);
  const sockets = new Set<Socket>();
  const listeners = new Map<string, Set<Socket>>();
  let own: Client | null = null;

  const listenAgain = async () => {
    own = new Client({ connectionString: database });
    own.on('error', () => {});
    own.on('notification', ({ channel, payload = '' }) => {
      for (const socket of listeners.get(channel) ?? []) socket.write(notification(channel, payload));
    });
    await own.connect();
    for (const channel of listeners.keys()) await own.query(`LISTEN ${channel}`);
  };
  const listenFor = (socket: Socket, text: string) => {
    for (const [, channel = ''] of text.matchAll(/LISTEN (\w+)/g)) {
      listeners.set(channel, (listeners.get(channel) ?? new Set()).add(socket));
      // LISTEN fails if the database is unavailable. `listenAgain` listens to the channel later.
      own?.query(`LISTEN ${channel}`).catch(() => {});
    }
  };

  const server = createServer((client) => {
    const upstream = connect(target, '127.0.0.1');
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket
        .on('error', () => {})
        .on('close', () => {
          client.destroy();
          upstream.destroy();
          for (const each of listeners.values()) each.delete(client);
        });
    }
    client.on('data', (chunk) => {
      const text = chunk[0] === QUERY ? chunk.subarray(5, -1).toString() : '';
      const isListen = text.startsWith('LISTEN ');
      if (isListen) listenFor(client, text);
      upstream.write(isListen ? query('SELECT') : chunk);
    });
    upstream.on(
      'data',
      messagesOf((message) => client.write(message)),
    );
  });
  await listenAgain();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  url.port = String(typeof address === 'object' && address ? address.port : 0);
  const stopListening = async () => {
    await own?.end();
    own = null;
  };
  return {
    url: url.href,
    get isAsked() {
      return listeners.size > 0;
    },
    stopListening,
    listenAgain,
    close: async () => {
      await stopListening();
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Encodes a PostgreSQL message: type letter, length, content. */
function message(letter: number, content: Buffer): Buffer {
  const header = Buffer.alloc(5);
  header.writeUInt8(letter);
  header.writeUInt32BE(content.length + 4, 1);
  return Buffer.concat([header, content]);
}

function query(text: string): Buffer {
  return message(QUERY, Buffer.from(`${text}\0`));
}

/** Encodes a notification. The process id is 0. */
function notification(channel: string, payload: string): Buffer {
  return message(NOTIFICATION, Buffer.concat([Buffer.alloc(4), Buffer.from(`${channel}\0${payload}\0`)]));
}
