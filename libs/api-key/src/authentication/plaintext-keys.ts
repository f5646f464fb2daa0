import {
  type ExecutionContext,
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { ApiKeyService } from '../api-key.service';
import { keysSent } from '../credential/extract';
import type { ApiKey } from '../model/api-key.entity';
import { ApiKeyRefusal } from '../model/api-key.errors';
import { inTime } from '../model/eventually';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import { callerOf, requestOf } from '../transport/http-exchange';
import type { RequestHead } from '../transport/request-head';
import { isOfAdapter, SecureTransport } from '../transport/secure-transport';

const REASON = 'presented over plaintext HTTP';

/** Refuses requests that did not come by HTTPS, and ends the keys that one carried in plaintext where the application asks for that. */
@Injectable()
export class HttpsRule implements OnApplicationBootstrap {
  private readonly logger = new Logger('ApiKeyModule');
  private isAdapterReported = false;

  constructor(
    private readonly keys: ApiKeyService,
    private readonly transport: SecureTransport,
    @Inject(API_KEY_OPTIONS) private readonly options: ResolvedApiKeyOptions,
  ) {}

  onApplicationBootstrap(): void {
    if (this.options.https.allowInsecureHttp)
      this.logger.warn(
        'https.allowInsecureHttp is on: API keys are accepted over plaintext HTTP from everywhere, and whoever listens on the way can use them.',
      );
  }

  /**
   * Null where a key may be read from a request; otherwise it fails, at once or once the key is ended, at the latest at the deadline
   * of look-ups.
   * @throws ApiKeyRefusal `HTTPS_REQUIRED`
   */
  refuse(head: RequestHead, context: ExecutionContext): Promise<never> | null {
    if (this.transport.accepts(head)) return null;
    this.reportAdapter(head);
    if (this.options.https.onPlaintextKey === 'refuse' || !this.transport.isSurelyPlaintext(head))
      throw refusal(null);
    return this.burnAndRefuse(head, context);
  }

  /** Once, because an adapter makes all requests in the same way. */
  private reportAdapter({ socket }: RequestHead): void {
    if (this.isAdapterReported || !isOfAdapter(socket)) return;
    this.isAdapterReported = true;
    this.logger.error(
      'A request that comes from an adapter and not from a connection is refused with HTTPS_REQUIRED. Its address is ' +
        `${socket?.remoteAddress || 'not given'}. If only HTTPS can reach this app, set https.allowInsecureHttp: true; else let the adapter set ` +
        'request.socket.remoteAddress, and list it in https.trustProxy if its X-Forwarded-Proto is true (docs/https.md, "Serverless")',
    );
  }

  private async burnAndRefuse(head: RequestHead, context: ExecutionContext): Promise<never> {
    const burnt = inTime(
      this.options.cache.lookUpTimeoutMs,
      this.burn(head, context),
      () => new Error('late'),
    );
    throw refusal(await Promise.resolve(burnt).catch(() => null));
  }

  /** The first key of those that a request carried, all ended now; null where none is valid, or that cannot be known. */
  private async burn(head: RequestHead, context: ExecutionContext): Promise<ApiKey | null> {
    const sent = keysSent(head.rawHeaders, this.options.headerName.toLowerCase());
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
