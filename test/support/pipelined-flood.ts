import { once } from 'node:events';
import { connect } from 'node:net';

const STATUS_LINE = /HTTP\/1\.1 \d{3} /g;

/** Settings of a flood of requests. */
export interface FloodSettings {
  readonly port: number;
  readonly path: string;
  readonly headerLines?: readonly string[];
  readonly connections: number;
  /** Number of requests that a connection sends before it reads the responses. */
  readonly pipelined: number;
  /** Returns whether each connection sends more requests. */
  readonly goesOn: () => boolean;
}

/** Sends one request again and again over many connections. Returns the number of responses. */
export async function flood(settings: FloodSettings): Promise<number> {
  const { path, headerLines = [], connections } = settings;
  const request = [`GET ${path} HTTP/1.1`, 'Host: localhost', ...headerLines, '', ''].join('\r\n');
  const answered = await Promise.all(
    Array.from({ length: connections }, () => floodOne(settings, request.repeat(settings.pipelined))),
  );
  return answered.reduce((sum, count) => sum + count, 0);
}

async function floodOne({ port, pipelined, goesOn }: FloodSettings, requests: string): Promise<number> {
  const socket = connect(port, '127.0.0.1').setEncoding('latin1');
  let answered = 0;
  while (goesOn()) {
    socket.write(requests);
    let text = '';
    while ((text.match(STATUS_LINE)?.length ?? 0) < pipelined) text += (await once(socket, 'data'))[0];
    answered += pipelined;
  }
  socket.destroy();
  return answered;
}
