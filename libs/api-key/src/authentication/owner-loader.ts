import { HttpException } from '@nestjs/common';
import type { ApiKey } from '../model/api-key.entity';
import { ApiKeyRefusal } from '../model/api-key.errors';
import type { ResolvedApiKeyOptions } from '../options/api-key.options';
import type { ResolvedCacheOptions } from '../options/cache';

/** How long a call of `loadUser` that does not settle keeps its place. */
const PATIENCE_MS = 5_000;

/** Caches users for a while. */
interface OwnerMemory {
  recall(userId: string): unknown;
  find(userId: string, load: (userId: string) => Promise<unknown>): Promise<unknown>;
}

/** Turns the owner of a key into the user of the request, through the option `loadUser`. */
export class OwnerLoader {
  private loads = 0;

  constructor(
    private readonly options: Pick<ResolvedApiKeyOptions, 'loadUser'> &
      Pick<ResolvedCacheOptions, 'maxLookUps'>,
    private readonly memory: OwnerMemory,
    private readonly patienceMs: number = PATIENCE_MS,
  ) {}

  /** The user of an owner, if it is cached. No I/O. */
  recall(userId: string): unknown {
    return this.memory.recall(userId);
  }

  /**
   * The user of a key: from the cache, else loaded.
   * @throws ApiKeyRefusal `INVALID_API_KEY` if there is none any more: anything falsy is nobody;
   *   `KEY_STORE_UNAVAILABLE` if `loadUser` fails
   * @throws HttpException of `loadUser` itself
   */
  async load(apiKey: ApiKey): Promise<unknown> {
    const { userId } = apiKey;
    return this.memory.recall(userId) || (await this.find(userId)) || refuseNobody(apiKey);
  }

  private async find(userId: string): Promise<unknown> {
    try {
      return await this.memory.find(userId, this.ask);
    } catch (error) {
      if (error instanceof HttpException) throw error;
      throw new ApiKeyRefusal('KEY_STORE_UNAVAILABLE', { cause: error });
    }
  }

  private readonly ask = async (userId: string): Promise<unknown> => {
    if (this.loads >= this.options.maxLookUps) throw new Error('too many users are being loaded');
    const loading = this.options.loadUser(userId);
    return isThenable(loading) ? this.counted(loading) : loading;
  };

  /** A call that never settles fails in the end: else so many of them, and nobody's user is loaded again. */
  private async counted(loading: PromiseLike<unknown>): Promise<unknown> {
    this.loads += 1;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const error = new Error(`loadUser has not settled within ${this.patienceMs} ms`);
      timer = setTimeout(() => reject(error), this.patienceMs).unref();
    });
    try {
      return await Promise.race([loading, late]);
    } finally {
      clearTimeout(timer);
      this.loads -= 1;
    }
  }
}

/** Query builders are thenable and no promises. */
function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as Partial<PromiseLike<unknown>> | null | undefined)?.then === 'function';
}

function refuseNobody(apiKey: ApiKey): never {
  const refused = { reason: 'owner', apiKey, masked: apiKey.masked } as const;
  throw new ApiKeyRefusal('INVALID_API_KEY', { refused });
}
