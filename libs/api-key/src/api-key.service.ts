import { Inject, Injectable } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { ApiKey } from './api-key.entity';
import { ApiKeyInputError, ApiKeyRefusal } from './api-key.errors';
import {
  type CreateApiKeyInput,
  checkNewKey,
  checkPage,
  isKeyId,
  type ListApiKeysInput,
} from './api-key.input';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from './api-key.options';
import { digestKey } from './credential/digest';
import { isWellFormedKey, mintKey, visiblePrefix, visibleSuffix } from './credential/format';
import {
  API_KEY_COLUMNS,
  API_KEY_DATA_SOURCE,
  type ApiKeyRow,
  apiKeyFromRow,
  apiKeyTable,
} from './verification/api-key.row';
import { KeyStore, type StoredKey } from './verification/key-store';
import { LastUsedWriter } from './verification/last-used.writer';

/** A key just created. `key` is the raw key: this is the one time that it exists outside its owner's hands. */
export interface IssuedApiKey {
  readonly key: string;
  readonly apiKey: ApiKey;
}

/** Why a key is not accepted. For logs and decisions of the application; callers are told one answer for all. */
export type InvalidKeyReason = 'malformed' | 'unknown' | 'expired' | 'revoked';

/** What `verify` found. */
export type VerifyResult =
  | { readonly ok: true; readonly apiKey: ApiKey }
  | { readonly ok: false; readonly reason: InvalidKeyReason };

/** A page of keys, newest first. `nextCursor` is null on the last page. */
export interface ApiKeyPage {
  readonly items: readonly ApiKey[];
  readonly nextCursor: string | null;
}

const DEFAULT_LIMIT = 50;

/** PostgreSQL's codes for a value that cannot be of the column's type, is too large for it, or no text at all (a NUL). */
const UNFIT_VALUE = ['22P02', '22003', '22021'];
const FOREIGN_KEY_VIOLATION = '23503';
/** SQLSTATE class 23: a rule of the table, such as a CHECK of the application's own. */
const RULE_VIOLATION = /^23/;

/** Issues, checks and ends keys. */
@Injectable()
export class ApiKeyService {
  private readonly catalogue: readonly string[] | null;

  constructor(
    @Inject(API_KEY_DATA_SOURCE) private readonly dataSource: DataSource,
    @Inject(API_KEY_OPTIONS) private readonly options: ResolvedApiKeyOptions,
    private readonly store: KeyStore,
    private readonly lastUsed: LastUsedWriter,
  ) {
    this.catalogue = options.scopes && Object.keys(options.scopes);
  }

  /**
   * Issues a key. The raw key is in the answer and nowhere else.
   * @throws ApiKeyInputError where a field does not fit, or the owner does not exist
   * @throws ApiKeyRefusal `KEY_STORE_UNAVAILABLE` where the database does not take it
   */
  async create(input: CreateApiKeyInput): Promise<IssuedApiKey> {
    this.check(input);
    if (typeof input.userId !== 'string' || input.userId.trim() !== input.userId || input.userId === '')
      throw new ApiKeyInputError(['userId must name the owner of the key']);
    const key = mintKey(this.options.format, this.options.prefix);
    const { userId, name, scopes = [], expiresAt = null } = input;
    const values = [userId, name, digestKey(key), visiblePrefix(key), visibleSuffix(key), scopes, expiresAt];
    return { key, apiKey: await this.insert(values) };
  }

  /**
   * Checks what a new key shall be, without issuing it.
   * @throws ApiKeyInputError where a field does not fit
   */
  check(input: Omit<CreateApiKeyInput, 'userId'>): void {
    checkNewKey(input, this.catalogue, new Date());
  }

  /**
   * Checks a raw key, without noting a use. Anything that is not text is malformed.
   * @throws ApiKeyRefusal `KEY_STORE_UNAVAILABLE` where the database does not answer
   */
  async verify(key: unknown): Promise<VerifyResult> {
    if (typeof key !== 'string' || !isWellFormedKey(key, this.options.format === 'hex')) {
      return { ok: false, reason: 'malformed' };
    }
    const stored = await this.find(digestKey(key));
    if (!stored) return { ok: false, reason: 'unknown' };
    if (stored.revoked) return { ok: false, reason: 'revoked' };
    return stored.expired ? { ok: false, reason: 'expired' } : { ok: true, apiKey: stored.apiKey };
  }

  /**
   * The row of a raw key that is valid now, its use noted, or null: for anything blank, unknown, expired, revoked.
   * @throws ApiKeyRefusal `KEY_STORE_UNAVAILABLE` where the database does not answer
   */
  async authenticate(key: unknown): Promise<ApiKey | null> {
    const result = await this.verify(key);
    if (!result.ok) return null;
    this.lastUsed.note(result.apiKey.id);
    return result.apiKey;
  }

  /** A key by its id, or null: an id that cannot be one is that of no key. */
  async get(id: string): Promise<ApiKey | null> {
    if (!isKeyId(id)) return null;
    return this.keys().where('k.id = CAST(:id AS bigint)', { id }).getOne();
  }

  /**
   * Keys, newest first; of one owner where `userId` is given.
   * @throws ApiKeyInputError where limit or cursor cannot be used
   */
  async list(input: ListApiKeysInput = {}): Promise<ApiKeyPage> {
    checkPage(input);
    const { userId, limit = DEFAULT_LIMIT, cursor = null } = input;
    const query = this.keys()
      .orderBy('k.id', 'DESC')
      .limit(limit + 1);
    if (userId !== undefined) query.andWhere('k.userId = :userId', { userId });
    if (cursor !== null) query.andWhere('k.id < CAST(:cursor AS bigint)', { cursor });
    const found = await query.getMany().catch(noneWhereUnfit);
    const items = found.slice(0, limit);
    return { items, nextCursor: found.length > limit ? (items.at(-1)?.id ?? null) : null };
  }

  /**
   * Ends a key for good and answers it, or null where there is none. It is also expired from now on, for a Rails app on the
   * same table knows only that. Revoking again changes nothing.
   */
  async revoke(id: string): Promise<ApiKey | null> {
    if (!isKeyId(id)) return null;
    const [rows] = await this.dataSource.query<[ApiKeyRow[], number]>(
      `UPDATE ${apiKeyTable(this.dataSource)} SET
         updated_at = CASE WHEN revoked_at IS NULL THEN now() ELSE updated_at END,
         revoked_at = coalesce(revoked_at, now()),
         expires_at = least(expires_at, now())
       WHERE id = $1::bigint RETURNING ${API_KEY_COLUMNS}`,
      [id],
    );
    return rows[0] ? apiKeyFromRow(rows[0]) : null;
  }

  /** Removes a key, which ends it at once; false where there is none. */
  async delete(id: string): Promise<boolean> {
    if (!isKeyId(id)) return false;
    const [, count] = await this.dataSource.query<[unknown[], number]>(
      `DELETE FROM ${apiKeyTable(this.dataSource)} WHERE id = $1::bigint`,
      [id],
    );
    return count === 1;
  }

  private keys() {
    return this.dataSource.getRepository(ApiKey).createQueryBuilder('k');
  }

  private async insert(values: readonly unknown[]): Promise<ApiKey> {
    const [row] = await this.dataSource
      .query<ApiKeyRow[]>(
        `INSERT INTO ${apiKeyTable(this.dataSource)}
           (user_id, name, key_digest, key_prefix, key_suffix, scopes, expires_at, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, now(), now()) RETURNING ${API_KEY_COLUMNS}`,
        [...values],
      )
      .catch(refuseUnknownOwner);
    if (!row) throw new Error('PostgreSQL answered an INSERT without its row');
    return apiKeyFromRow(row);
  }

  private async find(digest: string): Promise<StoredKey | null> {
    try {
      return await this.store.find(digest);
    } catch (error) {
      throw unavailable(error);
    }
  }
}

function codeOf(error: unknown): string {
  return String((error as { code?: unknown } | null)?.code);
}

function noneWhereUnfit(error: unknown): ApiKey[] {
  if (UNFIT_VALUE.includes(codeOf(error))) return [];
  throw error;
}

function refuseUnknownOwner(error: unknown): never {
  if ([...UNFIT_VALUE, FOREIGN_KEY_VIOLATION].includes(codeOf(error))) {
    throw new ApiKeyInputError(['userId names no owner there is']);
  }
  if (RULE_VIOLATION.test(codeOf(error)))
    throw new ApiKeyInputError(['the key breaks a rule that the table sets']);
  throw unavailable(error);
}

/** TypeORM's errors carry the parameters of the query, a digest among them, into every log: only the words are kept. */
function unavailable(error: unknown): ApiKeyRefusal {
  const words = error instanceof Error ? error.message : String(error);
  return new ApiKeyRefusal('KEY_STORE_UNAVAILABLE', { cause: new Error(words) });
}
