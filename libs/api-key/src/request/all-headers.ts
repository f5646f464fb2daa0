import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import { type ApiKeyRequest, nodeRequest, rawHeadersOf } from './http-exchange';
import { malformedCredential } from './presented-credential';

/** How many header lines Node keeps where the server does not say. */
const NODE_MAX_HEADERS = 1_000;

/**
 * Node's own request, with all of its headers. Node drops header lines beyond `server.maxHeadersCount` in silence, and with them a second credential or the traces of a
 * proxy: such a request is refused before any header is believed.
 * @throws ApiKeyRefusal `INVALID_API_KEY` where header lines may be missing
 */
export function requireAllHeaders(request: ApiKeyRequest): IncomingMessage {
  const node = nodeRequest(request);
  const { server } = node.socket as Socket & { readonly server?: Partial<Server> };
  const kept = server?.maxHeadersCount || NODE_MAX_HEADERS;
  if (rawHeadersOf(node).length >= 2 * kept) throw malformedCredential();
  return node;
}
