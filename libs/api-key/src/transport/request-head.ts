import type { IncomingMessage, Server } from 'node:http';
import { extractCredential, type Presented } from '../credential/extract';

/** Number of header lines that Node keeps if the server sets no limit. */
const NODE_MAX_HEADERS = 1_000;

/**
 * The parts of a request that guards read. An adapter without Node's own server may give no socket.
 */
export interface RequestHead extends Pick<IncomingMessage, 'rawHeaders' | 'headers'> {
  readonly socket?: Partial<IncomingMessage['socket']> | undefined;
}

/**
 * The credential that a request presents. `incomplete`: Node may have dropped some header lines.
 */
export type PresentedCredential = Presented | { readonly kind: 'incomplete' };

const INCOMPLETE: PresentedCredential = { kind: 'incomplete' };

/**
 * Returns the credential that a request presents, without checking it. Node 20 silently drops
 * header lines beyond `server.maxHeadersCount`. A second credential or a proxy header may be among
 * the dropped lines. So no header of such a request is used. Node 22.23, 24.21 and 26.12 answer
 * such a request with 431.
 */
export function presentedCredential(head: RequestHead, headerName: string): PresentedCredential {
  const { server } = (head.socket ?? {}) as { readonly server?: Partial<Server> };
  const kept = server?.maxHeadersCount || NODE_MAX_HEADERS;
  const lines: readonly string[] = Reflect.get(head, 'rawHeaders');
  return lines.length >= 2 * kept ? INCOMPLETE : extractCredential(lines, headerName.toLowerCase());
}

/**
 * Builds the head of a request whose adapter gives no header lines. The lines are built from
 * `headers`. Adapters of serverless platforms create such requests. For example, `serverless-http`
 * 4.0.0 sets only `headers`, with names in upper or lower case.
 */
export function headFromFields({ headers, socket }: Partial<IncomingMessage>): RequestHead {
  const lines = fieldsOf(headers ?? {}).flatMap(([name, value]) =>
    linesOf(value).map((line) => [name.toLowerCase(), line] as const),
  );
  return { rawHeaders: lines.flat(), headers: joined(lines), socket };
}

/** Returns the names and values of a plain object, or of `Headers` of the Fetch standard. */
function fieldsOf(headers: object): [string, unknown][] {
  const isFetch = headers instanceof Headers || headers instanceof Map;
  return [...(isFetch ? headers.entries() : Object.entries(headers))];
}

/**
 * Splits a value into the header lines that the value may contain. Adapters join the lines of a
 * header with commas. No credential contains a comma, so each comma is treated as the start of
 * another line.
 */
function linesOf(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(linesOf);
  return value === undefined || value === null ? [] : String(value).split(',');
}

function joined(lines: readonly (readonly [string, string])[]): IncomingMessage['headers'] {
  const headers: Record<string, string> = Object.create(null);
  for (const [name, line] of lines) {
    const before = headers[name];
    headers[name] = before === undefined ? line : `${before},${line}`;
  }
  return headers;
}
