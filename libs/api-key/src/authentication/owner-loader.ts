import { HttpException, Inject, Injectable, Optional } from '@nestjs/common';
import { Verification } from '../lookup/verification';
import type { ApiKey } from '../model/api-key.entity';
import { ApiKeyRefusal } from '../model/api-key.errors';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import type { ResolvedCacheOptions } from '../options/cache';

/** Milliseconds until a call of `loadUser` fails if the call does not settle. */
const PATIENCE_MS = 5_000;

/** A cache of users. */
interface OwnerMemory {
  recall(userId: string): unknown;
  find(userId: string, load: (userId: string) => Promise<unknown>, keyId: string): Promise<unknown>;
}

interface OwnerOptions extends Pick<ResolvedApiKeyOptions, 'loadUser'> {
  readonly cache: Pick<ResolvedCacheOptions, 'maxLookUps'>;
}

/** Loads the user of a request: calls the option `loadUser` with the owner of the key. */
@Injectable()
export class OwnerLoader {
  private readonly memory: OwnerMemory;
  private loads = 0;

  constructor(
    @Inject(API_KEY_OPTIONS) private readonly options: OwnerOptions,
    @Inject(Verification) { owners }: { readonly owners: OwnerMemory },
    @Optional() private readonly patienceMs: number = PATIENCE_MS,
  ) {
    this.memory = owners;
  }

  /** Returns the cached user of an owner, or undefined on a cache miss. Does no I/O. */
  recall(userId: string): unknown {
    return this.memory.recall(userId);
  }

  /**
   * Returns the user of a key, from the cache or from `loadUser`.
   * @throws ApiKeyRefusal `INVALID_API_KEY` if `loadUser` returns a falsy value;
   *   `KEY_STORE_UNAVAILABLE` if `loadUser` fails
   * @throws HttpException if `loadUser` throws an HttpException
   */
  async load(apiKey: ApiKey): Promise<unknown> {
    const { userId } = apiKey;
    return this.memory.recall(userId) || (await this.find(apiKey)) || refuseNobody(apiKey);
  }

  private async find({ id, userId }: ApiKey): Promise<unknown> {
    try {
      return await this.memory.find(userId, this.ask, id);
    } catch (error) {
      if (error instanceof HttpException) throw error;
      throw new ApiKeyRefusal('KEY_STORE_UNAVAILABLE', { cause: error });
    }
  }

  private readonly ask = async (userId: string): Promise<unknown> => {
    if (this.loads >= this.options.cache.maxLookUps)
      throw new Error('too many calls of loadUser are in flight');
    const loading = this.options.loadUser(userId);
    return isThenable(loading) ? this.counted(loading) : loading;
  };

  /**
   * Counts a call of `loadUser` until the call settles or times out. Without the time-out, calls
   * that never settle would reach `maxLookUps`, and no user could be loaded again.
   */
  private async counted(loading: PromiseLike<unknown>): Promise<unknown> {
    this.loads += 1;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const error = new Error(`loadUser did not settle within ${this.patienceMs} ms`);
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

/** Checks for a method `then`, because a query builder is thenable but not a promise. */
function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as Partial<PromiseLike<unknown>> | null | undefined)?.then === 'function';
}

function refuseNobody(apiKey: ApiKey): never {
  const refused = { reason: 'owner', apiKey, masked: apiKey.masked } as const;
  throw new ApiKeyRefusal('INVALID_API_KEY', { refused });
}
