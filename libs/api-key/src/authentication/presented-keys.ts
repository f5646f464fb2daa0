import { Inject, Injectable } from '@nestjs/common';
import { ApiKeyRefusal } from '../model/api-key.errors';
import type { Caller } from '../model/caller';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import type { Authentication } from '../transport/authenticated-request';
import { presentedCredential, type RequestHead } from '../transport/request-head';
import { SecureTransport } from '../transport/secure-transport';
import { ApiKeyAuthenticator } from './api-key.authenticator';
import { PlaintextKeys } from './plaintext-keys';

/** Authenticates the key that a request presents, if the transport of the request is secure. */
@Injectable()
export class PresentedKeys {
  constructor(
    private readonly authenticator: ApiKeyAuthenticator,
    private readonly transport: SecureTransport,
    private readonly plaintext: PlaintextKeys,
    @Inject(API_KEY_OPTIONS) private readonly options: Pick<ResolvedApiKeyOptions, 'headerName'>,
  ) {}

  /**
   * Authenticates a request from the caches, without I/O or a promise. Returns undefined if a part
   * is not cached or the request must be refused: then call `lookUp`.
   */
  recall(head: RequestHead, from: Caller): Authentication | undefined {
    const presented = presentedCredential(head, this.options.headerName);
    if (presented.kind !== 'credential' || !this.transport.accepts(head)) return undefined;
    return this.authenticator.recall(presented.value, from);
  }

  /**
   * Authenticates a request after `recall` returned undefined.
   * @throws ApiKeyRefusal `HTTPS_REQUIRED` over plaintext, `MISSING_API_KEY` if the request has no
   *   key, or the errors of `ApiKeyAuthenticator.lookUp`
   */
  async lookUp(head: RequestHead, from: Caller): Promise<Authentication> {
    const presented = presentedCredential(head, this.options.headerName);
    const isBelieved = presented.kind !== 'incomplete';
    if (isBelieved && !this.transport.accepts(head)) await this.plaintext.refuse(head, from);
    if (presented.kind === 'none') throw new ApiKeyRefusal('MISSING_API_KEY');
    return this.authenticator.lookUp(presented.kind === 'credential' ? presented.value : null, from);
  }
}
