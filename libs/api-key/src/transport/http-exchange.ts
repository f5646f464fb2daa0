import { IncomingMessage } from 'node:http';
import type { ArgumentsHost, ExecutionContext } from '@nestjs/common';
import type { Caller } from '../model/caller';
import { isAddress } from '../model/ip-address';
import { headFromFields, type RequestHead } from './request-head';
import { routeName } from './route-method';

/** The parts of Express's and Fastify's request that we use; `raw` is Node's own where there is a wrapper. */
export type ApiKeyRequest = object & {
  readonly raw?: IncomingMessage;
  /** The caller's address, through the proxies that the framework is told to trust. */
  readonly ip?: string;
  /** Fastify's id of the request. */
  readonly id?: unknown;
};

/** Shorter than any key: one that is sent as an id by mistake must not reach the trail. */
const REQUEST_ID = /^[\w.:/+=-]{1,48}$/;

/** Express's response is Node's own, and Fastify's is not. */
interface HeaderWriter {
  setHeader?(name: string, value: string): unknown;
  header(name: string, value: string): unknown;
}

/** Both frameworks have it. */
interface HeaderReader {
  getHeader?(name: string): number | string | readonly string[] | undefined;
}

/** Fastify's response has Node's own in `raw`. */
interface SentResponse {
  readonly headersSent?: boolean;
  readonly raw?: { readonly headersSent: boolean };
}

/**
 * The request that a context is about.
 * @throws Error where the context is not HTTP, for a guard that does not know its request must not let it through
 */
export function requestOf(context: ArgumentsHost): ApiKeyRequest {
  const type = context.getType<string>();
  if (type === 'http') return context.switchToHttp().getRequest<ApiKeyRequest>();
  throw new Error(
    `nestjs-api-key guards HTTP routes only, and was asked to guard ${type}: remove the guard there`,
  );
}

/**
 * Node's own request behind that of Express or Fastify, which has it as a property of its own. Not looked for further up: V8 looks
 * anything up anew on each request of Express, and longest what is not there. Express's is Node's own already: what it has as `raw`
 * is the application's, perhaps a body.
 */
export function nodeRequest(request: ApiKeyRequest): IncomingMessage {
  const isWrapper = Object.hasOwn(request, 'raw') && !(request instanceof IncomingMessage);
  return isWrapper && isRequest(request.raw) ? request.raw : (request as IncomingMessage);
}

function isRequest(raw: unknown): raw is IncomingMessage {
  return typeof raw === 'object' && raw !== null && 'headers' in raw;
}

/**
 * The header lines of a request as they came, or undefined if its adapter gives none. Read through `Reflect`: as above, that costs a
 * third of what a property access does.
 */
export function rawHeadersOf(request: object): string[] | undefined {
  const lines: unknown[] | undefined = Reflect.get(request, 'rawHeaders');
  return typeof lines?.[0] === 'string' ? (lines as string[]) : undefined;
}

/** The head of a request: Node's own request, unless its adapter gives no header lines. */
export function headOf(request: ApiKeyRequest): RequestHead {
  const node = nodeRequest(request);
  return rawHeadersOf(node) ? node : headFromFields(node);
}

/** Sets headers on the response that a context is about. */
export function setHeaders(context: ArgumentsHost, headers: Readonly<Record<string, string>>): void {
  const response = context.switchToHttp().getResponse<HeaderWriter>();
  for (const name in headers) {
    const value = headers[name] as string;
    if (response.setHeader) response.setHeader(name, value);
    else response.header(name, value);
  }
}

/** What the response of a context has set as a header so far, several values in one; empty where nothing. */
export function headerOf(host: ArgumentsHost, name: string): string {
  const value = host.switchToHttp().getResponse<HeaderReader>().getHeader?.(name);
  return [value ?? []].flat().join(', ');
}

/** Whether the answer has begun, so that it is too late for headers. */
export function areHeadersSent(host: ArgumentsHost): boolean {
  const response = host.switchToHttp().getResponse<SentResponse>();
  return (response.headersSent ?? response.raw?.headersSent) === true;
}

/** Read when it is asked for: an accepted request seldom asks. */
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

/** Who sent the request of a context. */
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
  // Without a socket Express's `ip` is a TypeError.
  const ip = socket || Object.hasOwn(request, 'ip') ? request.ip : undefined;
  const address = ip || socket?.remoteAddress;
  return isAddress(address) ? address : null;
}

/** The id of a request: `X-Request-Id`, else Fastify's own; null where there is none, or it could be something else. */
export function requestIdOf(request: ApiKeyRequest): string | null {
  return knownRequestId(headOf(request).headers['x-request-id'] ?? request.id);
}

/** What is an id of a request, and could not be something else; else null. */
export function knownRequestId(id: unknown): string | null {
  return typeof id === 'string' && REQUEST_ID.test(id) ? id : null;
}
