import { HttpException } from '@nestjs/common';
import type { ApiKey } from '../model/api-key.entity';
import { ApiKeyRefusal } from '../model/api-key.errors';
import { type Eventually, isPending, rescue, settled, then } from '../model/eventually';
import type { ResolvedApiKeyOptions } from '../options/api-key.options';
import type { ResolvedCacheOptions } from '../options/cache';
import type { Authentication } from '../transport/authenticated-request';

/** How long a call of `loadUser` that does not settle keeps its place. */
const PATIENCE_MS = 5_000;

/** Remembers users for a while. */
interface OwnerMemory {
  remembered(userId: string): unknown;
  find(userId: string, load: (userId: string) => unknown): Eventually<unknown>;
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

  private readonly ask = (userId: string): unknown => {
    if (this.loads >= this.options.maxLookUps) throw new Error('too many users are being loaded');
    const loading = this.options.loadUser(userId);
    return isPending(loading) ? this.counted(loading) : loading;
  };

  /** A key and its user. @throws as `load` */
  authentication(apiKey: ApiKey): Eventually<Authentication> {
    return then(this.load(apiKey), together, apiKey);
  }

  /**
   * The user of a key.
   * @throws ApiKeyRefusal `INVALID_API_KEY` where there is none any more: anything falsy is nobody;
   *   `KEY_STORE_UNAVAILABLE` where `loadUser` fails, or its own HttpException
   */
  load(apiKey: ApiKey): Eventually<unknown> {
    const { userId } = apiKey;
    const known = this.memory.remembered(userId);
    if (known) return known;
    return then(this.find(userId), (user) => user || refuseNobody(apiKey));
  }

  private find(userId: string): Eventually<unknown> {
    return rescue(() => this.memory.find(userId, this.ask), refuseFailed);
  }

  /** A call that never settles fails in the end: else so many of them, and nobody's user is loaded again. */
  private counted(loading: PromiseLike<unknown>): Eventually<unknown> {
    this.loads += 1;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const error = new Error(`loadUser has not settled within ${this.patienceMs} ms`);
      timer = setTimeout(() => reject(error), this.patienceMs).unref();
    });
    return settled(Promise.race([loading, late]), () => {
      clearTimeout(timer);
      this.loads -= 1;
    });
  }
}

function together(user: unknown, apiKey: ApiKey): Authentication {
  return { apiKey, user };
}

function refuseNobody(apiKey: ApiKey): never {
  const refused = { reason: 'owner', apiKey, masked: apiKey.masked } as const;
  throw new ApiKeyRefusal('INVALID_API_KEY', { refused });
}

function refuseFailed(error: unknown): never {
  throw error instanceof HttpException ? error : new ApiKeyRefusal('KEY_STORE_UNAVAILABLE', { cause: error });
}
