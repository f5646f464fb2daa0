import { type BlockList, type Server, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { Inject, Injectable } from '@nestjs/common';
import { addressList, listHas } from '../model/ip-address';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import type { ResolvedHttpsOptions } from '../options/https';
import type { RequestHead } from './request-head';

type AnySocket = NonNullable<RequestHead['socket']>;

const LOOPBACK = ['127.0.0.0/8', '::1', '::ffff:127.0.0.0/104'];
const PROXY_HEADERS = new Set(['forwarded', 'x-real-ip', 'via']);

/**
 * Checks whether a request came by HTTPS, or in plaintext from an address that may send plaintext.
 * Reads the socket and the headers itself, because frameworks interpret a list in
 * `X-Forwarded-Proto` in different ways.
 */
@Injectable()
export class SecureTransport {
  private readonly options: ResolvedHttpsOptions;
  private readonly proxies: BlockList;
  private readonly plaintextPeers: BlockList;
  private readonly loopback = addressList(LOOPBACK);
  /**
   * Whether the peer of each socket may send plaintext. Cached, because a check of a block list
   * takes microseconds. A real socket never changes its peer.
   */
  private readonly trustedPeers = new WeakMap<AnySocket, boolean>();

  constructor(@Inject(API_KEY_OPTIONS) { https }: Pick<ResolvedApiKeyOptions, 'https'>) {
    this.options = https;
    this.proxies = addressList(https.trustProxy);
    this.plaintextPeers = addressList(https.allowInsecureHttpFrom);
  }

  /** Returns whether a key may be read from a request. */
  accepts(head: RequestHead): boolean {
    return this.options.allowInsecureHttp || this.carries(head);
  }

  /**
   * Returns whether a request that is not accepted certainly came in plaintext. A missing proof of
   * HTTPS is not enough, because a proxy may end TLS and add no header. Such a proxy runs on this
   * machine, or its address is in `trustProxy`.
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
 * Returns whether an adapter created the socket, and not a server. Only the adapter then says
 * whether the socket is `encrypted`.
 */
export function isOfAdapter(socket: AnySocket | undefined): boolean {
  return serverOf(socket) === undefined;
}

function isEncrypted(socket: AnySocket | undefined): boolean {
  return (socket as Partial<TLSSocket> | undefined)?.encrypted === true;
}

/**
 * Checks whether the headers show a proxy. A proxy on this machine has a loopback address like a
 * direct client, so only the headers identify the proxy.
 */
function isProxied(headers: RequestHead['headers']): boolean {
  for (const name in headers) if (name.startsWith('x-forwarded-') || PROXY_HEADERS.has(name)) return true;
  return false;
}

/**
 * Checks whether a socket is a Unix socket. Asks the server, because a TCP socket that lost its
 * peer also has no address, and only the server knows that it listens on a path.
 */
function isUnixSocket(socket: AnySocket): boolean {
  return typeof serverOf(socket)?.address?.() === 'string';
}

function serverOf(socket: AnySocket | undefined): Partial<Server> | undefined {
  return (socket as { readonly server?: Partial<Server> } | undefined)?.server;
}
