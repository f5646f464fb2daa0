import { IncomingMessage } from 'node:http';
import type { ArgumentsHost, ExecutionContext } from '@nestjs/common';
import type { Caller } from '../model/caller';
import { isAddress } from '../model/ip-address';
import { headFromFields, type RequestHead } from './request-head';
import { routeName } from './route-method';

/**
 * The parts of an Express or Fastify request that this library uses. If the request is a wrapper,
 * `raw` is Node's own request.
 */
export type ApiKeyRequest = object & {
  readonly raw?: IncomingMessage;
  /** Address of the caller. The trusted proxies of the framework decide which address this is. */
  readonly ip?: string;
  /** The request id of Fastify. */
  readonly id?: unknown;
};

/**
 * Shorter than any key, so that a key that is sent as an id by mistake is not stored in the trail.
 */
const REQUEST_ID = /^[\w.:/+=-]{1,48}$/;

/** The response of Express is Node's own response. The response of Fastify is not. */
interface HeaderWriter {
  setHeader?(name: string, value: string): unknown;
  header(name: string, value: string): unknown;
}

/** Both frameworks have this method. */
interface HeaderReader {
  getHeader?(name: string): number | string | readonly string[] | undefined;
}

/** The response of Fastify has Node's own response in `raw`. */
interface SentResponse {
  readonly headersSent?: boolean;
  readonly raw?: { readonly headersSent: boolean };
}

/**
 * The request of a context.
 * @throws Error if the context is not HTTP, because a guard without a request must not accept it
 */
export function requestOf(context: ArgumentsHost): ApiKeyRequest {
  const type = context.getType<string>();
  if (type === 'http') return context.switchToHttp().getRequest<ApiKeyRequest>();
  throw new Error(`nestjs-api-key guards only HTTP routes, but is used on ${type}: remove the guard there`);
}

/**
 * Node's own request behind a request of Express or Fastify. Only an own property `raw` is read,
 * because V8 repeats a prototype look-up for each request of Express, and a missing property takes
 * longest. The request of Express is Node's own request already. If it has a property `raw`, the
 * application set it, for example to a body.
 */
export function nodeRequest(request: ApiKeyRequest): IncomingMessage {
  const isWrapper = Object.hasOwn(request, 'raw') && !(request instanceof IncomingMessage);
  return isWrapper && isRequest(request.raw) ? request.raw : (request as IncomingMessage);
}

function isRequest(raw: unknown): raw is IncomingMessage {
  return typeof raw === 'object' && raw !== null && 'headers' in raw;
}

/**
 * The header lines of a request as they were received; undefined if the adapter gives none.
 * `Reflect.get` takes a third of the time of a property access, for the same reason as in
 * `nodeRequest`.
 */
export function rawHeadersOf(request: object): string[] | undefined {
  const lines: unknown[] | undefined = Reflect.get(request, 'rawHeaders');
  return typeof lines?.[0] === 'string' ? (lines as string[]) : undefined;
}

/**
 * The head of a request: Node's own request, or a head built from its fields if it has no header
 * lines.
 */
export function headOf(request: ApiKeyRequest): RequestHead {
  const node = nodeRequest(request);
  return rawHeadersOf(node) ? node : headFromFields(node);
}

/**
 * Sets headers on the response of a context, unless the answer has begun: the application may have
 * answered during a look-up, or while a limit was counted.
 */
export function setHeaders(context: ArgumentsHost, headers: Readonly<Record<string, string>>): void {
  const response = context.switchToHttp().getResponse<HeaderWriter & SentResponse>();
  if (areHeadersSent(response)) return;
  for (const name in headers) setHeader(response, name, headers[name] as string);
}

function setHeader(response: HeaderWriter, name: string, value: string): void {
  if (response.setHeader) response.setHeader(name, value);
  else response.header(name, value);
}

/**
 * The value of a header on the response of a context, with several values joined; empty if the
 * header is not set.
 */
export function headerOf(host: ArgumentsHost, name: string): string {
  const value = host.switchToHttp().getResponse<HeaderReader>().getHeader?.(name);
  return [value ?? []].flat().join(', ');
}

const CACHE_CONTROL = 'Cache-Control';

/** No cache stores such an answer (RFC 9111 sections 5.2.2.5 and 5.2.2.7). */
export const NOT_STORED = { [CACHE_CONTROL]: 'private, no-store' };

/**
 * Keeps the answer of a context out of caches, unless the application has set `Cache-Control`. A
 * shared cache stores no answer to `Authorization` by itself (RFC 9111 section 3.5), but it would
 * store an answer to `X-API-Key`, and send it to callers without a key.
 */
export function forbidStoring(context: ArgumentsHost): void {
  const response = context.switchToHttp().getResponse<HeaderReader & HeaderWriter & SentResponse>();
  if (areHeadersSent(response) || response.getHeader?.(CACHE_CONTROL) !== undefined) return;
  setHeader(response, CACHE_CONTROL, NOT_STORED[CACHE_CONTROL]);
}

/** Whether the answer of a context has begun, so that no header can be set any more. */
export function hasAnswerBegun(host: ArgumentsHost): boolean {
  return areHeadersSent(host.switchToHttp().getResponse<SentResponse>());
}

function areHeadersSent(response: SentResponse): boolean {
  return (response.headersSent ?? response.raw?.headersSent) === true;
}

/**
 * A caller whose fields are computed when they are read, because accepted requests seldom need
 * them.
 */
class HttpCaller implements Caller {
  constructor(private readonly context: ExecutionContext) {}

  get route(): string {
    return routeName(this.context);
  }

  get address(): string | null {
    return addressOf(requestOf(this.context));
  }

  get requestId(): string | null {
    return requestIdOf(requestOf(this.context));
  }
}

/** The caller of a request, from its context. */
export function callerOf(context: ExecutionContext): Caller {
  return new HttpCaller(context);
}

/**
 * The same, read now: for refusals that take a while, for which a caller who has hung up would have
 * no address any more.
 */
export function callerNow(context: ExecutionContext): Caller {
  const { route, address, requestId } = callerOf(context);
  return { route, address, requestId };
}

/** The caller's address, or null if it is unknown or none. */
export function addressOf(request: ApiKeyRequest): string | null {
  const { socket }: Partial<IncomingMessage> = nodeRequest(request);
  // `request.ip` of Express throws a TypeError if there is no socket.
  const ip = socket || Object.hasOwn(request, 'ip') ? request.ip : undefined;
  const address = ip || socket?.remoteAddress;
  return isAddress(address) ? address : null;
}

/**
 * The id of a request: `X-Request-Id`, else the id of Fastify. null if there is no id, or if the
 * text does not have the form of an id.
 */
export function requestIdOf(request: ApiKeyRequest): string | null {
  return knownRequestId(headOf(request).headers['x-request-id'] ?? request.id);
}

/** Returns a text that has the form of a request id; else null. */
export function knownRequestId(id: unknown): string | null {
  return typeof id === 'string' && REQUEST_ID.test(id) ? id : null;
}
