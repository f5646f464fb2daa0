import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { Socket } from 'node:net';

/**
 * Default time in milliseconds until the connection is closed, the same as `lingering_time` of
 * nginx.
 */
const LINGER_MS = 30_000;

/**
 * Lets a client read the response while the client is still sending its body. Reads and drops the
 * rest of the body, then closes the connection. This works with any adapter. If a server closes a
 * socket while bytes arrive, the socket sends a reset. After a reset, the client loses a response
 * that it has not read (RFC 9112 section 9.6). Then a client with a body that is too long would get
 * EPIPE instead of 413.
 * @param lingerMs maximum milliseconds between the response and the end of the connection. Default:
 *   30 s
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
