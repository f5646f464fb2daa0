import type { Server } from 'node:http';
import { extractCredential, type Presented } from '../credential/extract';
import type { RequestHead } from './request-head';

/** How many header lines Node keeps if the server sets no limit. */
const NODE_MAX_HEADERS = 1_000;

/** What a request presents. `incomplete`: Node may have dropped some of the header lines. */
export type PresentedCredential = Presented | { readonly kind: 'incomplete' };

const INCOMPLETE: PresentedCredential = { kind: 'incomplete' };

/**
 * The credential that a request presents, not checked yet. Node 20 silently drops header lines
 * beyond `server.maxHeadersCount`. A second credential or a proxy header may be among these lines.
 * So no header of such a request is used. Node 22.23, 24.21 and 26.12 answer such a request with
 * 431.
 */
export function presentedCredential(head: RequestHead, headerName: string): PresentedCredential {
  const { server } = (head.socket ?? {}) as { readonly server?: Partial<Server> };
  const kept = server?.maxHeadersCount || NODE_MAX_HEADERS;
  const lines: readonly string[] = Reflect.get(head, 'rawHeaders');
  return lines.length >= 2 * kept ? INCOMPLETE : extractCredential(lines, headerName.toLowerCase());
}
