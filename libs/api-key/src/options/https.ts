import { cidrBlocks, oneOf, section, trueOrFalse, withDefaults } from './checks';

/** From where plaintext HTTP is accepted. Each field that is omitted keeps its default. */
export interface HttpsOptions {
  /**
   * CIDR blocks of the proxies whose `X-Forwarded-Proto` says whether the client came by HTTPS.
   * Never `true` or a number of hops. Default: none.
   */
  trustProxy?: readonly string[];
  /** CIDR blocks from which plaintext is accepted, such as a container bridge. Default: none. */
  allowInsecureHttpFrom?: readonly string[];
  /**
   * Whether plaintext is accepted from everywhere. Anyone on the network can then read the keys, and
   * each start logs a warning. For networks that something else encrypts. Default false.
   */
  allowInsecureHttp?: boolean;
  /**
   * What happens to a key that was sent in plaintext and refused. `refuse` does not look at it.
   * `revoke` ends it, at most four keys a request, because whoever listened has it now.
   * It ends keys only if the protocol is certain: a peer in `trustProxy` said `http`, or another
   * machine, which is not in it, sent no trace of a proxy.
   * Before using `revoke`, list every TLS-terminating proxy in `trustProxy`. Default `refuse`.
   */
  onPlaintextKey?: 'refuse' | 'revoke';
  /** Whether plaintext from this machine, with no trace of a proxy, is accepted. Default true. */
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
