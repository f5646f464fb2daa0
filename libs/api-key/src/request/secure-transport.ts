import type { IncomingMessage } from 'node:http';
import type { BlockList, Server, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { addressList, listHas } from '../address-list';
import type { ResolvedApiKeyOptions } from '../api-key.options';

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
  /** Whether the peer of a socket may send plaintext: a socket keeps its peer, and a block list takes microseconds. */
  private readonly trustedPeers = new WeakMap<Socket, boolean>();

  constructor(
    private readonly options: Pick<
      ResolvedApiKeyOptions,
      'trustProxy' | 'allowInsecureHttp' | 'allowInsecureHttpFrom' | 'loopbackException'
    >,
  ) {
    this.proxies = addressList(options.trustProxy);
    this.plaintextPeers = addressList(options.allowInsecureHttpFrom);
  }

  /** Whether a key may be read from a request. */
  accepts(request: IncomingMessage): boolean {
    return this.options.allowInsecureHttp || this.carries(request);
  }

  /**
   * Whether a request that is not accepted is known to have come in plaintext, and not only not known to have come by HTTPS: a proxy that
   * ends TLS and adds no header comes from this machine, or from an address in `trustProxy`.
   */
  isSurelyPlaintext({ socket, headers }: IncomingMessage): boolean {
    const address = socket.remoteAddress;
    if (address === undefined || (socket as Partial<TLSSocket>).encrypted === true) return false;
    const isProxy = listHas(this.proxies, address);
    if (!isProxied(headers)) return !isProxy && !listHas(this.loopback, address);
    return isProxy && headers['x-forwarded-proto'] === 'http';
  }

  private carries(request: IncomingMessage): boolean {
    const { socket, headers } = request;
    const address = socket.remoteAddress;
    const claimed = headers['x-forwarded-proto'];
    if (claimed !== undefined && address !== undefined && listHas(this.proxies, address))
      return claimed === 'https';
    if ((socket as Partial<TLSSocket>).encrypted === true)
      return address !== undefined || isUnixSocket(socket);
    return !isProxied(headers) && this.isTrustedPeer(socket, address);
  }

  private isTrustedPeer(socket: Socket, address: string | undefined): boolean {
    if (address === undefined) return this.options.loopbackException && isUnixSocket(socket);
    const known = this.trustedPeers.get(socket);
    if (known !== undefined) return known;
    const trusted = this.isTrustedAddress(address);
    this.trustedPeers.set(socket, trusted);
    return trusted;
  }

  private isTrustedAddress(address: string): boolean {
    if (listHas(this.plaintextPeers, address)) return true;
    return this.options.loopbackException && listHas(this.loopback, address);
  }
}

/** A proxy on the same machine comes from loopback as well, and its headers betray it. */
function isProxied(headers: IncomingMessage['headers']): boolean {
  for (const name in headers) if (name.startsWith('x-forwarded-') || PROXY_HEADERS.has(name)) return true;
  return false;
}

/** A TCP socket that has lost its peer has no address either; only the server knows that it listens on a path. */
function isUnixSocket(socket: Socket): boolean {
  const { server } = socket as Socket & { readonly server?: Server };
  return typeof server?.address() === 'string';
}
