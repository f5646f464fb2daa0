import type { ApiKeyState } from '../model/api-key-state';
import type { Quota, RateLimit } from '../model/limits';
import type { HeldScope } from '../model/scope-catalogue';

/** What can be set on a key, and changed later. */
export interface ApiKeyFields {
  /** What people call the key: 1 to 255 characters, none of them a control character. */
  name: string;
  /** What the key may do, up to 100 scopes; wildcards as `orders:*` and `*`. Default: nothing. */
  scopes?: readonly HeldScope[];
  /** When the key stops working, in the future; null or absent: never. */
  expiresAt?: Date | null;
  /** How many requests a window allows; null or absent: the default of the module. */
  rateLimit?: RateLimit | null;
  /** How much may be used in a day or month of UTC; null or absent: as much as one likes. */
  quota?: Quota | null;
  /** Addresses and CIDR blocks from which the key works, 1 to 100; null or absent: everywhere. */
  allowedIps?: readonly string[] | null;
  /** What the application keeps with the key: a JSON object of at most 16 KiB and 32 levels. */
  metadata?: Readonly<Record<string, unknown>>;
}

/** What `ApiKeyService.create` takes. */
export interface CreateApiKeyInput extends ApiKeyFields {
  /** The owner: a user, account or service, as the column `user_id` has it. */
  userId: string;
}

/** What `ApiKeyService.update` changes; a field that is absent or undefined stays as it is. */
export type UpdateApiKeyInput = Partial<ApiKeyFields>;

/** Which page of keys `ApiKeyService.list` answers. */
export interface ListApiKeysInput {
  /** Only the keys of this owner. Default: of all. */
  userId?: string;
  /** Only keys in this state. Default: all. */
  state?: ApiKeyState;
  /** How many at most, 1 to 100. Default 50. */
  limit?: number;
  /** `nextCursor` of the page before. Default: the first page. */
  cursor?: string | null;
}
