import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { Socket } from 'node:net';

/** As long as nginx waits (lingering_time). */
const LINGER_MS = 30_000;

/**
 * Lets a caller read its answer although it is still sending its body. A socket that is closed
 * while bytes arrive sends a reset, on which the caller loses an answer that it has not read (RFC
 * 9112 section 9.6): a body that is too long would end in EPIPE and not in 413. So what is left of
 * the body is read and dropped, whatever adapter answered, and the connection is closed after it.
 * @param lingerMs milliseconds after the answer when the connection is closed, even if the body has
 *   not ended. Default: 30 s
 */
export function closeAfterBody(server: Server, lingerMs = LINGER_MS): void {
  server.prependListener('request', (request: IncomingMessage, response: ServerResponse) => {
    if (hasBody(request)) linger(request, response, lingerMs);
  });
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

function linger(request: IncomingMessage, response: ServerResponse, lingerMs: number): void {
  const { socket } = request;
  response.once('finish', () => {
    if (!request.complete) request.resume();
  });
  socket.destroySoon = () => {
    const close = () => Socket.prototype.destroySoon.call(socket);
    if (request.complete) return close();
    const deadline = setTimeout(() => socket.destroy(), lingerMs).unref();
    socket.once('close', () => clearTimeout(deadline));
    request.once('close', close);
    socket.end();
    request.resume();
  };
}
