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
  /** Address of the client. The trusted proxies of the framework decide which address this is. */
  readonly ip?: string;
  /** The request id of Fastify. */
  readonly id?: unknown;
};

/**
 * Pattern of a request id. A request id is shorter than any key, so that a key sent as an id by
 * mistake is not stored in the audit trail.
 */
const REQUEST_ID = /^[\w.:/+=-]{1,48}$/;

/** Methods that set a header. Express passes Node's own response, and Fastify passes a wrapper. */
interface HeaderWriter {
  setHeader?(name: string, value: string): unknown;
  header(name: string, value: string): unknown;
}

/** Method that reads a header. Express and Fastify have this method. */
interface HeaderReader {
  getHeader?(name: string): number | string | readonly string[] | undefined;
}

/**
 * Properties that show whether the headers were sent. Fastify's response has Node's own response in
 * `raw`.
 */
interface SentResponse {
  readonly headersSent?: boolean;
  readonly raw?: { readonly headersSent: boolean };
}

/**
 * Returns the request of a context.
 * @throws Error if the context is not HTTP, because a guard must not let a call without a request
 *   pass
 */
export function requestOf(context: ArgumentsHost): ApiKeyRequest {
  const type = context.getType<string>();
  if (type === 'http') return context.switchToHttp().getRequest<ApiKeyRequest>();
  throw new Error(`nestjs-api-key guards only HTTP routes, but is used on ${type}: remove the guard there`);
}

/**
 * Returns Node's own request behind a request of Express or Fastify. Reads only an own property
 * `raw`, because V8 repeats a prototype look-up for each request of Express, and a missing property
 * takes longest. The request of Express already is Node's own request. If the request of Express
 * has a property `raw`, the application has set this property, for example to a body.
 */
export function nodeRequest(request: ApiKeyRequest): IncomingMessage {
  const isWrapper = Object.hasOwn(request, 'raw') && !(request instanceof IncomingMessage);
  return isWrapper && isRequest(request.raw) ? request.raw : (request as IncomingMessage);
}

function isRequest(raw: unknown): raw is IncomingMessage {
  return typeof raw === 'object' && raw !== null && 'headers' in raw;
}

/**
 * Returns the header lines of a request as they were received; undefined if the adapter gives none.
 * `Reflect.get` takes a third of the time of a property access, because V8 repeats the prototype
 * look-up for each request of Express.
 */
export function rawHeadersOf(request: object): string[] | undefined {
  const lines: unknown[] | undefined = Reflect.get(request, 'rawHeaders');
  return typeof lines?.[0] === 'string' ? (lines as string[]) : undefined;
}

/**
 * Returns the head of a request. This is Node's own request, or a head that is built from `headers`
 * if the request has no header lines.
 */
export function headOf(request: ApiKeyRequest): RequestHead {
  const node = nodeRequest(request);
  return rawHeadersOf(node) ? node : headFromFields(node);
}

/**
 * Sets headers on the response of a context, unless the answer has begun. The application may have
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
 * Returns the value of a header on the response of a context. Several values are joined. Returns an
 * empty string if the header is not set.
 */
export function headerOf(host: ArgumentsHost, name: string): string {
  const value = host.switchToHttp().getResponse<HeaderReader>().getHeader?.(name);
  return [value ?? []].flat().join(', ');
}

const CACHE_CONTROL = 'Cache-Control';

/** Headers that forbid every cache to store an answer (RFC 9111 sections 5.2.2.5 and 5.2.2.7). */
export const NOT_STORED = { [CACHE_CONTROL]: 'private, no-store' };

/**
 * Keeps the answer of a context out of caches, unless the application has set `Cache-Control`. By
 * default, a shared cache stores no answer to a request with `Authorization` (RFC 9111 section
 * 3.5). But the cache would store an answer to a request with `X-API-Key`, and send this answer to
 * clients without a key.
 */
export function forbidStoring(context: ArgumentsHost): void {
  const response = context.switchToHttp().getResponse<HeaderReader & HeaderWriter & SentResponse>();
  if (areHeadersSent(response) || response.getHeader?.(CACHE_CONTROL) !== undefined) return;
  setHeader(response, CACHE_CONTROL, NOT_STORED[CACHE_CONTROL]);
}

/** Returns whether the answer of a context has begun, so that headers can no longer be set. */
export function hasAnswerBegun(host: ArgumentsHost): boolean {
  return areHeadersSent(host.switchToHttp().getResponse<SentResponse>());
}

function areHeadersSent(response: SentResponse): boolean {
  return (response.headersSent ?? response.raw?.headersSent) === true;
}

/**
 * Caller whose fields are computed when they are read, because accepted requests seldom need them.
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

/** Returns the caller of a request, from its context. */
export function callerOf(context: ExecutionContext): Caller {
  return new HttpCaller(context);
}

/**
 * Returns the caller of a request with fields that are read now. Delayed refusals need this,
 * because a client that has disconnected no longer has an address.
 */
export function callerNow(context: ExecutionContext): Caller {
  const { route, address, requestId } = callerOf(context);
  return { route, address, requestId };
}

/** Returns the address of the client, or null if the address is unknown or invalid. */
export function addressOf(request: ApiKeyRequest): string | null {
  const { socket }: Partial<IncomingMessage> = nodeRequest(request);
  // `request.ip` of Express throws a TypeError if there is no socket.
  const ip = socket || Object.hasOwn(request, 'ip') ? request.ip : undefined;
  const address = ip || socket?.remoteAddress;
  return isAddress(address) ? address : null;
}

/**
 * Returns the id of a request: `X-Request-Id`, or else the id of Fastify. Returns null if there is
 * no id, or if the text does not have the form of an id.
 */
export function requestIdOf(request: ApiKeyRequest): string | null {
  return knownRequestId(headOf(request).headers['x-request-id'] ?? request.id);
}

/** Returns the text if it has the form of a request id, otherwise null. */
export function knownRequestId(id: unknown): string | null {
  return typeof id === 'string' && REQUEST_ID.test(id) ? id : null;
}
