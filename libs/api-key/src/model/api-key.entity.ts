import { type InspectOptions, inspect } from 'node:util';
import { Column, Entity, Index, type ValueTransformer } from 'typeorm';
import { maskKey } from '../credential/mask';
import { holdsScope } from '../credential/scope';
import type { ApiKeyState } from './api-key-state';
import { inspectClosed } from './closed-getters';
import type { SharedLimit } from './limits';
import { sharedLimitsOrNone } from './limits';

/**
 * The driver returns `bigint` as a string and `integer` as a number. `user_id` may also be a uuid.
 */
const asText: ValueTransformer = { to: (value) => value, from: String };

const asTextOrNull: ValueTransformer = {
  to: (value) => value,
  from: (value) => (value === null ? null : String(value)),
};

/**
 * The driver returns `infinity` as the number Infinity, which means no expiry. `-infinity` becomes
 * the earliest date that JavaScript has.
 */
const EARLIEST = -8.64e15;

/**
 * Converts a `timestamptz` to a Date, for every form that the driver returns. `infinity` and NULL
 * become null.
 */
export function dateOrNull(value: unknown): Date | null {
  if (value === null || value === undefined || value === Number.POSITIVE_INFINITY || value === 'infinity')
    return null;
  if (value === Number.NEGATIVE_INFINITY || value === '-infinity') return new Date(EARLIEST);
  return value instanceof Date ? value : new Date(String(value));
}

/**
 * The scopes of a row. NULL becomes an empty list, and NULL elements are dropped. Rails can write
 * both.
 */
export function scopesOrNone(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((scope) => typeof scope === 'string') : [];
}

/** Converts a `bigint[]` to strings. NULL becomes an empty list, and NULL elements are dropped. */
export function idsOrNone(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((id) => id !== null).map(String) : [];
}

const asIds: ValueTransformer = { to: (value) => value, from: idsOrNone };
const asSharedLimits: ValueTransformer = { to: (value) => value, from: sharedLimitsOrNone };
const asDate: ValueTransformer = { to: (value) => value, from: dateOrNull };
const asScopes: ValueTransformer = { to: (value) => value, from: scopesOrNone };

/**
 * Digests that were selected. They are stored outside the entity, so that no JSON, copy or log of
 * an entity contains a digest. A private field would need the constructor, which
 * `entitySkipConstructor` of TypeORM skips (typeorm/typeorm #7770). A private field also fails on a
 * Proxy.
 */
const digests = new WeakMap<object, string>();

/**
 * A row of table `api_keys`. The row contains the digest of the key, never the key itself. The
 * digest is not selected by default. The migrations of this package own the table, so TypeORM's
 * `synchronize` and `migration:generate` do not change the table.
 */
@Entity({ name: 'api_keys', synchronize: false })
@Index('index_api_keys_on_user_id_and_id', ['userId', 'id'])
export class ApiKey {
  /** Column `id`: a whole number as text. */
  @Column({ type: 'bigint', primary: true, generated: 'increment', transformer: asText })
  id!: string;

  /** Column `user_id`: the owner as text. The owner is a user, an account or a service. */
  @Index('index_api_keys_on_user_id')
  @Column({ name: 'user_id', type: 'bigint', transformer: asText })
  userId!: string;

  /** Column `name`: the name that people give the key. */
  @Column({ type: 'varchar' })
  name!: string;

  /**
   * Column `key_digest`: digest of the whole key, 64 hex digits. SHA-256, or HMAC-SHA-256 with a
   * pepper. undefined if the column was not selected. JSON and logs do not contain this property.
   */
  @Index('index_api_keys_on_key_digest', { unique: true })
  @Column({ name: 'key_digest', type: 'varchar', select: false })
  get keyDigest(): string | undefined {
    return digests.get(this);
  }
  set keyDigest(digest: string | undefined) {
    if (digest === undefined) digests.delete(this);
    else digests.set(this, digest);
  }

  /** Column `key_prefix`: the first characters of the key, which may be shown. */
  @Index('index_api_keys_on_key_prefix')
  @Column({ name: 'key_prefix', type: 'varchar' })
  keyPrefix!: string;

  /** Column `key_suffix`: the last 4 characters of the key; null if they are unknown. */
  @Column({ name: 'key_suffix', type: 'varchar', nullable: true })
  keySuffix!: string | null;

  /** Column `scopes`: the scopes of the key. Wildcards are allowed. */
  @Column({ type: 'text', array: true, nullable: true, default: () => "'{}'", transformer: asScopes })
  scopes!: string[];

  /**
   * Column `last_used_at`: the last use. The value may be late by up to `usage.lastUsedIntervalMs`.
   */
  @Column({ name: 'last_used_at', type: 'timestamptz', nullable: true, transformer: asDate })
  lastUsedAt!: Date | null;

  /**
   * Column `expires_at`: the key is refused from this time on; null: never. While the key is
   * disabled, `ApiKeyService` returns the expiry that the key gets back, and the column is a time
   * in the past, for Rails.
   */
  @Column({ name: 'expires_at', type: 'timestamptz', nullable: true, transformer: asDate })
  expiresAt!: Date | null;

  /** Column `revoked_at`: the key is refused since this time; null: the key is not revoked. */
  @Column({ name: 'revoked_at', type: 'timestamptz', nullable: true, transformer: asDate })
  revokedAt!: Date | null;

  /** Column `disabled_at`: the key is refused since this time; null: the key is not disabled. */
  @Column({ name: 'disabled_at', type: 'timestamptz', nullable: true, transformer: asDate })
  disabledAt!: Date | null;

  /**
   * Column `disabled_by_id`: id of the key that disabled this key; null: no key did, but a user, an
   * operator or the application.
   */
  @Column({ name: 'disabled_by_id', type: 'bigint', nullable: true, transformer: asTextOrNull })
  disabledById!: string | null;

  /**
   * Column `enabled_expires_at`: the expiry that a disabled key gets back. `infinity` in the column
   * means no expiry, and NULL that nothing was saved. Both are null here.
   */
  @Column({ name: 'enabled_expires_at', type: 'timestamptz', nullable: true, transformer: asDate })
  enabledExpiresAt!: Date | null;

  /**
   * Column `rate_limit`: how many requests a window allows; null: the default of the module
   * applies.
   */
  @Column({ name: 'rate_limit', type: 'integer', nullable: true })
  rateLimit!: number | null;

  /** Column `rate_limit_window_seconds`: the length of the window of `rate_limit`. */
  @Column({ name: 'rate_limit_window_seconds', type: 'integer', nullable: true })
  rateLimitWindowSeconds!: number | null;

  /** Column `quota`: how much the key may use in a period; null: no quota. */
  @Column({ type: 'integer', nullable: true })
  quota!: number | null;

  /** Column `quota_period`: the period of `quota`, `day` or `month` in UTC. */
  @Column({ name: 'quota_period', type: 'varchar', nullable: true })
  quotaPeriod!: string | null;

  /** Column `allowed_ips`: the CIDR blocks from which the key is accepted; null: every address. */
  @Column({ name: 'allowed_ips', type: 'cidr', array: true, nullable: true })
  allowedIps!: string[] | null;

  /** Column `metadata`: data that the application stores with the key. */
  @Column({ type: 'jsonb', default: () => "'{}'" })
  metadata!: Record<string, unknown>;

  /**
   * Column `replaces_id`: id of the key that this key replaced in a rotation. The id stays after
   * that key is deleted.
   */
  @Index('index_api_keys_on_replaces_id', { unique: true, where: 'replaces_id IS NOT NULL' })
  @Column({ name: 'replaces_id', type: 'bigint', nullable: true, transformer: asTextOrNull })
  replacesId!: string | null;

  /**
   * Column `ancestor_ids`: ids of the keys that made or rotated this key, directly or through other
   * keys. Oldest first, at most 32, also deleted ones. A foreign key that called `rotate` is last.
   */
  @Index('index_api_keys_on_ancestor_ids', { synchronize: false })
  @Column({ name: 'ancestor_ids', type: 'bigint', array: true, nullable: true, transformer: asIds })
  ancestorIds!: string[];

  /**
   * Column `shared_limits`: limits of ancestors. Uses of this key count on them too; null: none.
   */
  @Column({ name: 'shared_limits', type: 'jsonb', nullable: true, transformer: asSharedLimits })
  sharedLimits!: SharedLimit[] | null;

  /**
   * Column `bucket_id`: id of the first key of the rotations that led to this key. Uses of that key
   * count on the own limits of this key too; null: this key did not come from a rotation.
   */
  @Column({ name: 'bucket_id', type: 'bigint', nullable: true, transformer: asTextOrNull })
  bucketId!: string | null;

  /** Column `created_at`. */
  @Column({ name: 'created_at', type: 'timestamptz', default: () => 'now()', transformer: asDate })
  createdAt!: Date;

  /** Column `updated_at`: the last change that someone made. A use of the key is not a change. */
  @Column({ name: 'updated_at', type: 'timestamptz', default: () => 'now()', transformer: asDate })
  updatedAt!: Date;

  /**
   * The environment of the key, such as `live`; null: none. Not a column: it comes from the prefix
   * of a presented key, else from `keyPrefix`. undefined if TypeORM read the key.
   */
  environment!: string | null;

  /**
   * When the key ends unless it is used before; null: never. Not a column: it comes from option
   * `policy.endUnusedAfterDays`. undefined if TypeORM read the key, or the key was presented.
   */
  endsUnusedAt!: Date | null;

  /** The masked key, which logs and people may see: `acme_live_3fKd...9xQz`. */
  get masked(): string {
    return maskKey(this.keyPrefix, this.keySuffix);
  }

  /** Whether the key has expired at a moment. Default: now, by the clock of this machine. */
  isExpired(at: Date = new Date()): boolean {
    return this.expiresAt !== null && !(at.getTime() < this.expiresAt.getTime());
  }

  /** The state at a moment, by default now on this machine. A key ended unused is `expired`. */
  stateAt(at: Date = new Date()): ApiKeyState {
    if (this.revokedAt) return 'revoked';
    if (this.disabledAt) return 'disabled';
    const isUnused = this.endsUnusedAt != null && !(at.getTime() < this.endsUnusedAt.getTime());
    return isUnused || this.isExpired(at) ? 'expired' : 'active';
  }

  /** Whether the key has a scope, directly or through a wildcard. */
  hasScope(scope: string): boolean {
    return holdsScope(this.scopes, scope);
  }

  protected [inspect.custom](depth: number, options: InspectOptions): string {
    return inspectClosed(this, depth, options);
  }
}
