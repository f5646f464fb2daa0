import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { Socket } from 'node:net';

/** The default of nginx (lingering_time). */
const LINGER_MS = 30_000;

/**
 * Lets a client read its answer if the client is still sending its body. If a socket is closed
 * while bytes arrive, the socket sends a reset. After the reset, the client loses an unread answer
 * (RFC 9112 section 9.6). Then a body that is too long would end in EPIPE and not in 413. Therefore
 * the rest of the body is read and dropped, with any adapter. Then the connection is closed.
 * @param lingerMs milliseconds after the answer until the connection is closed, even if the body
 *   has not ended. Default: 30 s
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
