import { cidrBlocks, oneOf, section, trueOrFalse, withDefaults } from './checks';

/** Which requests may use plaintext HTTP. Each field that is omitted keeps its default. */
export interface HttpsOptions {
  /**
   * CIDR blocks of the proxies that are trusted to send `X-Forwarded-Proto`, the protocol of the
   * client. `true` and a number of hops are not accepted. Default: none.
   */
  trustProxy?: readonly string[];
  /** CIDR blocks from which plaintext is accepted, such as a container bridge. Default: none. */
  allowInsecureHttpFrom?: readonly string[];
  /**
   * Whether plaintext is accepted from every address. Anyone on the network can then read the keys,
   * and each start logs a warning. Use this option only if something else encrypts the network.
   * Default false.
   */
  allowInsecureHttp?: boolean;
  /**
   * What happens to a key that was sent in plaintext and refused. `refuse` does not read the key.
   * `revoke` revokes the key, because anyone who listens on the network can have it. At most four
   * keys per request are revoked.
   * `revoke` acts only if the protocol is certain. Either a peer in `trustProxy` sent the protocol
   * `http`, or the peer is another machine outside `trustProxy` and the request has no proxy
   * header.
   * Before using `revoke`, list every TLS-terminating proxy in `trustProxy`. Default `refuse`.
   */
  onPlaintextKey?: 'refuse' | 'revoke';
  /**
   * Whether plaintext from this machine is accepted if the request has no proxy header. Default
   * true.
   */
  loopbackException?: boolean;
}

/** The section after defaults and checks, frozen. */
export type ResolvedHttpsOptions = Readonly<Required<HttpsOptions>>;

const DEFAULTS: ResolvedHttpsOptions = {
  trustProxy: [],
  allowInsecureHttpFrom: [],
  allowInsecureHttp: false,
  onPlaintextKey: 'refuse',
  loopbackException: true,
};

export const checkHttps = section<HttpsOptions>({
  trustProxy: cidrBlocks,
  allowInsecureHttpFrom: cidrBlocks,
  allowInsecureHttp: trueOrFalse,
  onPlaintextKey: oneOf('refuse', 'revoke'),
  loopbackException: trueOrFalse,
});

export function resolveHttps(given?: HttpsOptions): ResolvedHttpsOptions {
  const https = withDefaults(DEFAULTS, given);
  return Object.freeze({
    ...https,
    trustProxy: Object.freeze([...https.trustProxy]),
    allowInsecureHttpFrom: Object.freeze([...https.allowInsecureHttpFrom]),
  });
}
