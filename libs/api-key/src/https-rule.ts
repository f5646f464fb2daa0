import type { IncomingMessage } from 'node:http';
import {
  type ExecutionContext,
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import type { ApiKey } from './api-key.entity';
import { ApiKeyRefusal } from './api-key.errors';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from './api-key.options';
import { ApiKeyService } from './api-key.service';
import { keysSent } from './credential/extract';
import { inTime } from './eventually';
import { callerOf, rawHeadersOf, requestOf } from './request/http-exchange';
import { SecureTransport } from './request/secure-transport';

const REASON = 'presented over plaintext HTTP';

/** Refuses requests that did not come by HTTPS, and ends the keys that one carried in plaintext where the application asks for that. */
@Injectable()
export class HttpsRule implements OnApplicationBootstrap {
  private readonly logger = new Logger('ApiKeyModule');

  constructor(
    private readonly keys: ApiKeyService,
    private readonly transport: SecureTransport,
    @Inject(API_KEY_OPTIONS) private readonly options: ResolvedApiKeyOptions,
  ) {}

  onApplicationBootstrap(): void {
    if (this.options.allowInsecureHttp)
      this.logger.warn(
        'allowInsecureHttp is on: API keys are accepted over plaintext HTTP from everywhere, and whoever listens on the way can use them.',
      );
  }

  /**
   * Null where a key may be read from a request; otherwise it fails, at once or once the key is ended, at the latest at the deadline
   * of look-ups.
   * @throws ApiKeyRefusal `HTTPS_REQUIRED`
   */
  refuse(node: IncomingMessage, context: ExecutionContext): Promise<never> | null {
    if (this.transport.accepts(node)) return null;
    if (this.options.onPlaintextKey === 'refuse' || !this.transport.isSurelyPlaintext(node))
      throw refusal(null);
    return this.burnAndRefuse(node, context);
  }

  private async burnAndRefuse(node: IncomingMessage, context: ExecutionContext): Promise<never> {
    const burnt = inTime(this.options.lookUpTimeoutMs, this.burn(node, context), () => new Error('late'));
    throw refusal(await Promise.resolve(burnt).catch(() => null));
  }

  /** The first key of those that a request carried, all ended now; null where none is valid, or that cannot be known. */
  private async burn(node: IncomingMessage, context: ExecutionContext): Promise<ApiKey | null> {
    const sent = keysSent(rawHeadersOf(node), this.options.headerName.toLowerCase());
    const ended = await Promise.all(sent.map((key) => this.end(key, context)));
    return ended.find((apiKey) => apiKey !== null) ?? null;
  }

  private async end(key: string, context: ExecutionContext): Promise<ApiKey | null> {
    try {
      const apiKey = await this.keys.admit(key, requestOf(context), itself, null);
      const { address, requestId } = callerOf(context);
      const revocation = await this.keys.revoke(apiKey.id, { reason: REASON }, { address, requestId });
      return revocation?.apiKey ?? null;
    } catch (error) {
      if (!(error instanceof ApiKeyRefusal) || error.code === 'KEY_STORE_UNAVAILABLE')
        this.logger.error(`A key that was ${REASON} could not be revoked: ${String(error)}`);
      return null;
    }
  }
}

const itself = (apiKey: ApiKey) => apiKey;

function refusal(apiKey: ApiKey | null): ApiKeyRefusal {
  const refused = { reason: 'plaintext', apiKey, masked: apiKey?.masked ?? null } as const;
  return new ApiKeyRefusal('HTTPS_REQUIRED', { refused });
}
