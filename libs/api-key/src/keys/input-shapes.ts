import type { ApiKeyState } from '../model/api-key-state';
import type { Quota, RateLimit } from '../model/limits';
import type { HeldScope } from '../model/scope-catalogue';

/** The fields of a key that can be set and changed. */
export interface ApiKeyFields {
  /** Name of the key for people: 1 to 255 characters, without control characters. */
  name: string;
  /** Scopes of the key, up to 100. Wildcards are `orders:*` and `*`. Default: no scopes. */
  scopes?: readonly HeldScope[];
  /**
   * When the key expires, in the future; null: never. If a new key omits it: the default lifetime
   * of option `policy`, or the expiry of the acting key if that is earlier, else never.
   */
  expiresAt?: Date | null;
  /** Number of requests per window; null or omitted: the default of the module. */
  rateLimit?: RateLimit | null;
  /** Maximum usage per day or month of UTC; null or omitted: unlimited. */
  quota?: Quota | null;
  /** Addresses and CIDR blocks from which the key works, 1 to 100; null or omitted: everywhere. */
  allowedIps?: readonly string[] | null;
  /** Data of the application: a JSON object of at most 16 KiB and 32 levels. */
  metadata?: Readonly<Record<string, unknown>>;
}

/** The fields of a new key. */
export interface NewApiKeyFields extends ApiKeyFields {
  /**
   * Environment of the key, one of option `prefix`. Default: that of the acting key. Required if
   * `prefix` has environments and no key acts, unless `format` is `hex`. It never changes.
   */
  environment?: string;
}

/** Input of `ApiKeyService.create`. */
export interface CreateApiKeyInput extends NewApiKeyFields {
  /** The owner: a user, account or service, as stored in column `user_id`. */
  userId: string;
}

/** Input of `ApiKeyService.update`. A field that is omitted or undefined is not changed. */
export type UpdateApiKeyInput = Partial<ApiKeyFields>;

/** Input of `ApiKeyService.list`. */
export interface ListApiKeysInput {
  /** Lists only keys of this owner. Default: keys of all owners. */
  userId?: string;
  /** Lists only keys in this state. Default: keys in all states. */
  state?: ApiKeyState;
  /**
   * Lists only keys whose name contains this text in any case, whose visible start begins with it,
   * or whose masked form it is. 1 to 255 characters. Default: all keys.
   * @example 'nightly', 'acme_live_3fK', 'acme_live_3fKd...9xQz'
   */
  search?: string;
  /** Lists only keys whose metadata contains these fields (`@>` of jsonb). Default: all keys. */
  metadata?: Readonly<Record<string, unknown>>;
  /** Maximum number of keys per page, 1 to 100. Default 50. */
  limit?: number;
  /** `nextCursor` of the previous page. Default: the first page. */
  cursor?: string | null;
}
