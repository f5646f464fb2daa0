import { Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { RequestTrail } from '../audit/request-trail';
import { keysSent } from '../credential/extract';
import { inTime } from '../database/deadline';
import { Revocations } from '../keys/revocation';
import type { ApiKey } from '../model/api-key.entity';
import { ApiKeyRefusal } from '../model/api-key.errors';
import type { Caller } from '../model/caller';
import { wordsOf } from '../model/error-words';
import { printable } from '../model/printable';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import { tellRefusal } from '../transport/answer-refusal';
import type { RequestHead } from '../transport/request-head';
import { isOfAdapter, SecureTransport } from '../transport/secure-transport';
import { isInvalid, KeyVerifier } from './key-verifier';
import { RefusalDelay } from './refusal-delay';

const REASON = 'presented over plaintext HTTP';

/**
 * Refuses requests that did not come by HTTPS. The option `https.onPlaintextKey` decides whether
 * the keys in a plaintext request are revoked.
 */
@Injectable()
export class PlaintextKeys implements OnApplicationBootstrap {
  private readonly logger = new Logger('ApiKeyModule');
  private isAdapterReported = false;

  constructor(
    private readonly keys: KeyVerifier,
    private readonly refusals: RefusalDelay,
    private readonly revocations: Revocations,
    private readonly transport: SecureTransport,
    private readonly trail: RequestTrail,
    @Inject(API_KEY_OPTIONS) private readonly options: ResolvedApiKeyOptions,
  ) {}

  onApplicationBootstrap(): void {
    if (this.options.https.allowInsecureHttp)
      this.logger.warn(
        'https.allowInsecureHttp is on: API keys are accepted over plaintext HTTP from every address, and anyone who can read the network traffic can use them.',
      );
  }

  /**
   * Refuses a request that did not come by HTTPS, and records the refusal in the audit trail. If
   * `https.onPlaintextKey` requires a revocation, waits for the revocation first, at most for
   * `cache.lookUpTimeoutMs`.
   * @throws ApiKeyRefusal `HTTPS_REQUIRED`, always
   */
  async refuse(head: RequestHead, from: Caller): Promise<never> {
    this.reportAdapter(head);
    const isRevoked =
      this.options.https.onPlaintextKey !== 'refuse' && this.transport.isSurelyPlaintext(head);
    const refusal = refusalOf(isRevoked ? await this.revokeInTime(head, from) : null);
    tellRefusal(refusal, from, this.trail);
    throw refusal;
  }

  /**
   * Logs one error if an adapter created the socket. More errors would add nothing, because an
   * adapter creates all requests in the same way.
   */
  private reportAdapter({ socket }: RequestHead): void {
    if (this.isAdapterReported || !isOfAdapter(socket)) return;
    this.isAdapterReported = true;
    this.logger.error(
      'A request without a network connection, as a serverless adapter creates it, was refused with HTTPS_REQUIRED. Its address is ' +
        `${printable(socket?.remoteAddress || 'not given')}. If only HTTPS can reach this app, set https.allowInsecureHttp: true. Otherwise let the adapter set ` +
        'request.socket.remoteAddress, and list that address in https.trustProxy if its X-Forwarded-Proto can be trusted (docs/https-and-proxies.md, "Serverless")',
    );
  }

  private async revokeInTime(head: RequestHead, from: Caller): Promise<ApiKey | null> {
    try {
      return await inTime(
        this.options.cache.lookUpTimeoutMs,
        this.revokeAll(head, from),
        () => new Error('late'),
      );
    } catch {
      return null;
    }
  }

  /**
   * Revokes all valid and disabled keys in a request.
   * @returns the first revoked key, or null if no key was revoked
   */
  private async revokeAll(head: RequestHead, from: Caller): Promise<ApiKey | null> {
    const sent = keysSent(head.rawHeaders, this.options.headerName.toLowerCase());
    const revoked = await Promise.all(sent.map((key) => this.revoke(key, from)));
    return revoked.find((apiKey) => apiKey !== null) ?? null;
  }

  /**
   * Returns a key that is valid, or that can become valid because it is only disabled.
   * @throws ApiKeyRefusal `INVALID_API_KEY` for any other key, or the errors of `verify`
   */
  private async keyToRevoke(key: string, from: Caller): Promise<ApiKey> {
    const found = await this.keys.verify(key, from);
    if (!isInvalid(found)) return found;
    if (found.reason === 'disabled' && found.apiKey) return found.apiKey;
    throw new ApiKeyRefusal('INVALID_API_KEY', { refused: found });
  }

  private async revoke(key: string, from: Caller): Promise<ApiKey | null> {
    try {
      const { id } = await this.refusals.hold(this.keyToRevoke(key, from));
      const { address, requestId } = from;
      const revocation = await this.revocations.revoke(id, { reason: REASON }, { address, requestId });
      return revocation?.apiKey ?? null;
    } catch (error) {
      if (!(error instanceof ApiKeyRefusal) || error.code === 'KEY_STORE_UNAVAILABLE')
        this.logger.error(`A key that was ${REASON} could not be revoked: ${wordsOf(error)}`);
      return null;
    }
  }
}

function refusalOf(apiKey: ApiKey | null): ApiKeyRefusal {
  const refused = { reason: 'plaintext', apiKey, masked: apiKey?.masked ?? null } as const;
  return new ApiKeyRefusal('HTTPS_REQUIRED', { refused });
}
