import { type InspectOptions, inspect } from 'node:util';
import { Column, Entity, Index, type ValueTransformer } from 'typeorm';
import { maskKey } from '../credential/mask';
import { holdsScope } from '../credential/scope';
import type { ApiKeyState } from './api-key-state';
import { inspectClosed } from './closed-getters';
import type { SharedLimit } from './limits';
import { sharedLimitsOrNone } from './limits';

/** `bigint` arrives as a string and `integer` as a number; the owner may be either, or a uuid. */
const asText: ValueTransformer = { to: (value) => value, from: String };

const asTextOrNull: ValueTransformer = {
  to: (value) => value,
  from: (value) => (value === null ? null : String(value)),
};

/** PostgreSQL's `infinity` arrives as the number Infinity: no expiry; `-infinity` is the earliest date there is. */
const EARLIEST = -8.64e15;

/** A `timestamptz` as a Date, whichever way the driver gives it; `infinity` and NULL as null. */
export function dateOrNull(value: unknown): Date | null {
  if (value === null || value === undefined || value === Number.POSITIVE_INFINITY || value === 'infinity')
    return null;
  if (value === Number.NEGATIVE_INFINITY || value === '-infinity') return new Date(EARLIEST);
  return value instanceof Date ? value : new Date(String(value));
}

/** The scopes of a row: NULL and NULL elements, which Rails can leave, are none. */
export function scopesOrNone(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((scope) => typeof scope === 'string') : [];
}

/** A `bigint[]` as texts; NULL, and NULL elements, are none. */
export function idsOrNone(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((id) => id !== null).map(String) : [];
}

const asIds: ValueTransformer = { to: (value) => value, from: idsOrNone };
const asSharedLimits: ValueTransformer = { to: (value) => value, from: sharedLimitsOrNone };
const asDate: ValueTransformer = { to: (value) => value, from: dateOrNull };
const asScopes: ValueTransformer = { to: (value) => value, from: scopesOrNone };

/**
 * Digests that were selected. Kept apart, so that no JSON, copy or log of an entity shows one. Not a
 * private field: it needs the constructor, which `entitySkipConstructor` of TypeORM leaves out
 * (typeorm/typeorm #7770), and fails on a Proxy.
 */
const digests = new WeakMap<object, string>();

/**
 * A key as table `api_keys` holds it: never the key itself, only its digest, which is not selected by default.
 * The migrations of this package own the table, so TypeORM's `synchronize` and `migration:generate` leave it alone.
 */
@Entity({ name: 'api_keys', synchronize: false })
@Index('index_api_keys_on_user_id_and_id', ['userId', 'id'])
export class ApiKey {
  /** Column `id`, a whole number as text. */
  @Column({ type: 'bigint', primary: true, generated: 'increment', transformer: asText })
  id!: string;

  /** Column `user_id`: the owner, a user, account or service, as text. */
  @Index('index_api_keys_on_user_id')
  @Column({ name: 'user_id', type: 'bigint', transformer: asText })
  userId!: string;

  /** Column `name`: what people call the key. */
  @Column({ type: 'varchar' })
  name!: string;

  /** Column `key_digest`: SHA-256 of the whole key, 64 hex digits. Where it was selected, only its name gives it: no JSON and no log. */
  @Index('index_api_keys_on_key_digest', { unique: true })
  @Column({ name: 'key_digest', type: 'varchar', select: false })
  get keyDigest(): string | undefined {
    return digests.get(this);
  }
  set keyDigest(digest: string | undefined) {
    if (digest === undefined) digests.delete(this);
    else digests.set(this, digest);
  }

  /** Column `key_prefix`: the start of the key that may be shown. */
  @Index('index_api_keys_on_key_prefix')
  @Column({ name: 'key_prefix', type: 'varchar' })
  keyPrefix!: string;

  /** Column `key_suffix`: the last 4 characters of the key, null where unknown. */
  @Column({ name: 'key_suffix', type: 'varchar', nullable: true })
  keySuffix!: string | null;

  /** Column `scopes`: what the key may do; wildcards allowed. */
  @Column({ type: 'text', array: true, nullable: true, default: () => "'{}'", transformer: asScopes })
  scopes!: string[];

  /** Column `last_used_at`: behind the truth by up to the interval of its writer. */
  @Column({ name: 'last_used_at', type: 'timestamptz', nullable: true, transformer: asDate })
  lastUsedAt!: Date | null;

  /** Column `expires_at`: from then on the key is refused; null: never. */
  @Column({ name: 'expires_at', type: 'timestamptz', nullable: true, transformer: asDate })
  expiresAt!: Date | null;

  /** Column `revoked_at`: since then the key is refused; null: not revoked. */
  @Column({ name: 'revoked_at', type: 'timestamptz', nullable: true, transformer: asDate })
  revokedAt!: Date | null;

  /** Column `rate_limit`: how many requests a window allows; null: the default of the module. */
  @Column({ name: 'rate_limit', type: 'integer', nullable: true })
  rateLimit!: number | null;

  /** Column `rate_limit_window_seconds`: how long that window is. */
  @Column({ name: 'rate_limit_window_seconds', type: 'integer', nullable: true })
  rateLimitWindowSeconds!: number | null;

  /** Column `quota`: how much of it may be used in a period; null: as much as one likes. */
  @Column({ type: 'integer', nullable: true })
  quota!: number | null;

  /** Column `quota_period`: that period, `day` or `month` of UTC. */
  @Column({ name: 'quota_period', type: 'varchar', nullable: true })
  quotaPeriod!: string | null;

  /** Column `allowed_ips`: CIDR blocks from which the key works; null: from everywhere. */
  @Column({ name: 'allowed_ips', type: 'cidr', array: true, nullable: true })
  allowedIps!: string[] | null;

  /** Column `metadata`: what the application keeps with the key. */
  @Column({ type: 'jsonb', default: () => "'{}'" })
  metadata!: Record<string, unknown>;

  /** Column `replaces_id`: the key that this one was rotated from, also after that one is gone. */
  @Index('index_api_keys_on_replaces_id', { unique: true, where: 'replaces_id IS NOT NULL' })
  @Column({ name: 'replaces_id', type: 'bigint', nullable: true, transformer: asTextOrNull })
  replacesId!: string | null;

  /**
   * Column `ancestor_ids`: the keys that this one was made or rotated by, oldest first, up to 32;
   * also those that are gone.
   */
  @Index('index_api_keys_on_ancestor_ids', { synchronize: false })
  @Column({ name: 'ancestor_ids', type: 'bigint', array: true, nullable: true, transformer: asIds })
  ancestorIds!: string[];

  /** Column `shared_limits`: the limits of ancestors that this key uses up as well; null: none. */
  @Column({ name: 'shared_limits', type: 'jsonb', nullable: true, transformer: asSharedLimits })
  sharedLimits!: SharedLimit[] | null;

  /**
   * Column `bucket_id`: the first of the keys that this one was rotated from, whose use counts on
   * its own limits too; null: none.
   */
  @Column({ name: 'bucket_id', type: 'bigint', nullable: true, transformer: asTextOrNull })
  bucketId!: string | null;

  /** Column `created_at`. */
  @Column({ name: 'created_at', type: 'timestamptz', default: () => 'now()', transformer: asDate })
  createdAt!: Date;

  /** Column `updated_at`: the last change that someone made; use does not count. */
  @Column({ name: 'updated_at', type: 'timestamptz', default: () => 'now()', transformer: asDate })
  updatedAt!: Date;

  /** The key as logs and people may see it, `acme_live_3fKd...9xQz`. */
  get masked(): string {
    return maskKey(this.keyPrefix, this.keySuffix);
  }

  /** Whether the key has expired at a moment, now by default, by this machine's clock. */
  isExpired(at: Date = new Date()): boolean {
    return this.expiresAt !== null && !(at.getTime() < this.expiresAt.getTime());
  }

  /** The state of the key at a moment, now by default, by this machine's clock. */
  stateAt(at: Date = new Date()): ApiKeyState {
    if (this.revokedAt) return 'revoked';
    return this.isExpired(at) ? 'expired' : 'active';
  }

  /** Whether the key holds a scope, itself or through a wildcard. */
  hasScope(scope: string): boolean {
    return holdsScope(this.scopes, scope);
  }

  protected [inspect.custom](depth: number, options: InspectOptions): string {
    return inspectClosed(this, depth, options);
  }
}
