import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { ROUTE } from './variants/route';

/** Open connections to a server. Each connection sends one request at a time. */
export type Connections = readonly Connection[];

/** Durations of a number of requests. */
interface Load {
  /** Seconds from the first request to the last response. */
  readonly seconds: number;
  /** Duration of each request in milliseconds, from its start to the end of its response. */
  readonly latenciesMs: readonly number[];
}

const TIMEOUT_MS = 10_000;
const LOOK_EVERY_MS = 0.1;

/**
 * Opens `count` connections to a port and runs `use` with these connections. Closes the connections
 * at the end.
 */
export async function withConnections<T>(
  port: number,
  count: number,
  use: (connections: Connections) => Promise<T>,
): Promise<T> {
  const connections = await Promise.all(Array.from({ length: count }, () => Connection.open(port)));
  try {
    return await use(connections);
  } finally {
    for (const connection of connections) connection.close();
  }
}

/**
 * Sends `count` requests with the keys in rotation. Each connection sends one request at a time.
 * @param isAwake whether to poll for responses without sleeping
 * @throws Error if the status of a response is not 200
 */
export async function sendRequests(
  connections: Connections,
  keys: readonly string[],
  count: number,
  isAwake: boolean,
): Promise<Load> {
  const requests = keys.map((key) => requestWith(`authorization: Bearer ${key}\r\n`));
  const latenciesMs: number[] = [];
  let sent = 0;
  const sendInTurn = async (connection: Connection) => {
    while (sent < count) {
      const request = requests[sent++ % requests.length] ?? Buffer.alloc(0);
      const start = performance.now();
      const status = await connection.send(request);
      if (status !== 200) throw new Error(`A request was answered with ${status} instead of 200`);
      latenciesMs.push(performance.now() - start);
    }
  };
  const start = performance.now();
  const done = Promise.all(connections.map(sendInTurn));
  await (isAwake ? awake(done) : done);
  return { seconds: (performance.now() - start) / 1_000, latenciesMs };
}

/**
 * Waits for a promise and polls for responses ten times a millisecond, without sleeping. If the
 * client slept, the CPU time to wake the client would count for the server. A fast server would
 * wake the client more often than a slow server.
 */
async function awake<T>(work: Promise<T>): Promise<T> {
  let busy = true;
  const look = () => {
    const until = performance.now() + LOOK_EVERY_MS;
    while (performance.now() < until);
    if (busy) setImmediate(look);
  };
  look();
  try {
    return await work;
  } finally {
    busy = false;
  }
}

/** Sends one request without a key and returns the status of the response. */
export async function statusWithoutKey(port: number): Promise<number> {
  return withConnections(port, 1, async ([connection]) => connection?.send(requestWith('')) ?? 0);
}

function requestWith(headers: string): Buffer {
  return Buffer.from(`GET /${ROUTE} HTTP/1.1\r\nhost: 127.0.0.1\r\n${headers}\r\n`, 'latin1');
}

/**
 * Sends one request at a time on one socket. This class must use much less CPU time than any
 * server. If the load were slower than a fast server, the reader would be awake at each write of
 * this server. Then each write would cost this server less, and the comparison would be wrong.
 */
class Connection {
  private received = '';
  private answer: ((status: number) => void) | null = null;
  private fail: ((error: Error) => void) | null = null;

  private constructor(private readonly socket: Socket) {
    socket.setNoDelay(true).setTimeout(TIMEOUT_MS).setEncoding('latin1');
    socket.on('data', (text: string) => this.take(text));
    socket.on('timeout', () => socket.destroy(new Error(`No answer within ${TIMEOUT_MS} ms`)));
    socket.on('error', (error) => this.fail?.(error));
    socket.on('close', () => this.fail?.(new Error('The server closed the connection')));
  }

  static async open(port: number): Promise<Connection> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    return new Connection(socket);
  }

  /** Sends a request. Resolves to the status when the response is complete. */
  send(request: Buffer): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.socket.destroyed) throw new Error('The server closed the connection while it was idle');
      this.answer = resolve;
      this.fail = reject;
      this.socket.write(request);
    });
  }

  close(): void {
    this.fail = null;
    this.socket.destroy();
  }

  private take(text: string): void {
    this.received += text;
    if (!isWhole(this.received)) return;
    const status = Number(this.received.slice('HTTP/1.1 '.length, 'HTTP/1.1 200'.length));
    this.received = '';
    this.answer?.(status);
  }
}

/** Returns whether a response with a Content-Length header is complete. */
function isWhole(answer: string): boolean {
  const end = answer.indexOf('\r\n\r\n');
  if (end < 0) return false;
  const [, length] = /\r\ncontent-length: (\d+)\r\n/i.exec(answer.slice(0, end + 2)) ?? [];
  if (length === undefined) throw new Error('The server answered without Content-Length');
  return answer.length >= end + 4 + Number(length);
}
