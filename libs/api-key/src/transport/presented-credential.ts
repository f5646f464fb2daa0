import type { Server } from 'node:http';
import { extractCredential, type Presented } from '../credential/extract';
import type { RequestHead } from './request-head';

/** How many header lines Node keeps if the server does not say. */
const NODE_MAX_HEADERS = 1_000;

/** What a request presents; `incomplete`: Node may have dropped some of its header lines. */
export type PresentedCredential = Presented | { readonly kind: 'incomplete' };

const INCOMPLETE: PresentedCredential = { kind: 'incomplete' };

/**
 * The one credential that a request presents, not yet checked. Node 20 drops header lines beyond
 * `server.maxHeadersCount` in silence, and with them a second credential or the traces of a proxy:
 * of such a request no header is to be believed. Node 22.23, 24.21 and 26.12 answer it with 431.
 */
export function presentedCredential(head: RequestHead, headerName: string): PresentedCredential {
  const { server } = (head.socket ?? {}) as { readonly server?: Partial<Server> };
  const kept = server?.maxHeadersCount || NODE_MAX_HEADERS;
  const lines: readonly string[] = Reflect.get(head, 'rawHeaders');
  return lines.length >= 2 * kept ? INCOMPLETE : extractCredential(lines, headerName.toLowerCase());
}
