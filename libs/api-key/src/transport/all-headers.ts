import type { Server } from 'node:http';
import { type ApiKeyRequest, headOf } from './http-exchange';
import { malformedCredential } from './presented-credential';
import type { RequestHead } from './request-head';

/** How many header lines Node keeps where the server does not say. */
const NODE_MAX_HEADERS = 1_000;

/**
 * The head of a request, with all of its headers. Node drops header lines beyond `server.maxHeadersCount` in silence, and with them a second credential or the traces of a
 * proxy: such a request is refused before any header is believed.
 * @throws ApiKeyRefusal `INVALID_API_KEY` where header lines may be missing
 */
export function requireAllHeaders(request: ApiKeyRequest): RequestHead {
  const head = headOf(request);
  const { server } = (head.socket ?? {}) as { readonly server?: Partial<Server> };
  const kept = server?.maxHeadersCount || NODE_MAX_HEADERS;
  if (Reflect.get(head, 'rawHeaders').length >= 2 * kept) throw malformedCredential();
  return head;
}
