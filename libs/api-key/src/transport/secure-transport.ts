import { type BlockList, type Server, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { addressList, listHas } from '../model/ip-address';
import type { ResolvedHttpsOptions } from '../options/https';
import type { RequestHead } from './request-head';

type AnySocket = NonNullable<RequestHead['socket']>;

const LOOPBACK = ['127.0.0.0/8', '::1', '::ffff:127.0.0.0/104'];
const PROXY_HEADERS = new Set(['forwarded', 'x-real-ip', 'via']);

/**
 * Whether a request came by HTTPS, or in plaintext from where that is accepted. Reads the socket and the raw headers
 * itself: frameworks differ in what they make of a list in `X-Forwarded-Proto`.
 */
export class SecureTransport {
  private readonly proxies: BlockList;
  private readonly plaintextPeers: BlockList;
  private readonly loopback = addressList(LOOPBACK);
  /**
   * Whether the peer of a socket may send plaintext: a real socket keeps its peer, and a block list
   * takes microseconds.
   */
  private readonly trustedPeers = new WeakMap<AnySocket, boolean>();

  constructor(
    private readonly options: Pick<
      ResolvedHttpsOptions,
      'trustProxy' | 'allowInsecureHttp' | 'allowInsecureHttpFrom' | 'loopbackException'
    >,
  ) {
    this.proxies = addressList(options.trustProxy);
    this.plaintextPeers = addressList(options.allowInsecureHttpFrom);
  }

  /** Whether a key may be read from a request. */
  accepts(head: RequestHead): boolean {
    return this.options.allowInsecureHttp || this.carries(head);
  }

  /**
   * Whether a request that is not accepted is known to have come in plaintext, and not only not known to have come by HTTPS: a proxy that
   * ends TLS and adds no header comes from this machine, or from an address in `trustProxy`.
   */
  isSurelyPlaintext({ socket, headers }: RequestHead): boolean {
    const address = socket?.remoteAddress;
    if (!address || isEncrypted(socket)) return false;
    const isProxy = listHas(this.proxies, address);
    if (!isProxied(headers)) return !isProxy && !listHas(this.loopback, address);
    return isProxy && headers['x-forwarded-proto'] === 'http';
  }

  private carries({ socket, headers }: RequestHead): boolean {
    if (!socket) return false;
    const address = socket.remoteAddress || undefined;
    const claimed = headers['x-forwarded-proto'];
    if (claimed !== undefined && address !== undefined && listHas(this.proxies, address))
      return claimed === 'https';
    if (isEncrypted(socket)) {
      if (address === undefined) return isUnixSocket(socket);
      return claimed === undefined || claimed === 'https' || !isOfAdapter(socket);
    }
    return !isProxied(headers) && this.isTrustedPeer(socket, address);
  }

  private isTrustedPeer(socket: AnySocket, address: string | undefined): boolean {
    if (address === undefined) return this.options.loopbackException && isUnixSocket(socket);
    const known = this.trustedPeers.get(socket);
    if (known !== undefined) return known;
    const trusted = this.isTrustedAddress(address);
    if (socket instanceof Socket) this.trustedPeers.set(socket, trusted);
    return trusted;
  }

  private isTrustedAddress(address: string): boolean {
    if (listHas(this.plaintextPeers, address)) return true;
    return this.options.loopbackException && listHas(this.loopback, address);
  }
}

/**
 * Whether an adapter made the socket, and not a server: `encrypted` is then the adapter's word
 * alone.
 */
export function isOfAdapter(socket: AnySocket | undefined): boolean {
  return serverOf(socket) === undefined;
}

function isEncrypted(socket: AnySocket | undefined): boolean {
  return (socket as Partial<TLSSocket> | undefined)?.encrypted === true;
}

/** A proxy on the same machine comes from loopback as well, and its headers betray it. */
function isProxied(headers: RequestHead['headers']): boolean {
  for (const name in headers) if (name.startsWith('x-forwarded-') || PROXY_HEADERS.has(name)) return true;
  return false;
}

/** A TCP socket that has lost its peer has no address either; only the server knows that it listens on a path. */
function isUnixSocket(socket: AnySocket): boolean {
  return typeof serverOf(socket)?.address?.() === 'string';
}

function serverOf(socket: AnySocket | undefined): Partial<Server> | undefined {
  return (socket as { readonly server?: Partial<Server> } | undefined)?.server;
}
