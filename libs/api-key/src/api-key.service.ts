import { Inject, Injectable } from '@nestjs/common';
import { type Change, ChangeTrail } from './audit/change-trail';
import { RequestTrail } from './audit/request-trail';
import { Trail } from './audit/trail';
import { DigestWriter } from './authentication/digest-writer';
import { FailedAttempts } from './authentication/failed-attempts';
import { type Enter, KeyAdmission } from './authentication/key-admission';
import { type InvalidKeyReason, isInvalid, KeyJudge } from './authentication/key-verifier';
import { KeyDigests } from './credential/digest';
import { API_KEY_DATABASE } from './database/data-source';
import type { Database } from './database/database';
import type { Session } from './database/session';
import { isUnfit, refuseMisfit, refuseUnavailable } from './database/store-errors';
import { storedOwner } from './database/stored-owner';
import { createKey } from './keys/create-key';
import { countLiveDescendants } from './keys/descendants';
import {
  deleteKey,
  type Ended,
  type Revocation,
  type RevocationScope,
  revokeKey,
  revokeKeysOf,
} from './keys/end-keys';
import { type ImportOptions, type ImportReport, importInBatches } from './keys/import-batches';
import {
  type ApiKeyFields,
  type CreateApiKeyInput,
  checkChanges,
  checkDays,
  checkNewKey,
  checkOverlap,
  checkPage,
  keyIdOf,
  type ListApiKeysInput,
  ownerIdOf,
  type UpdateApiKeyInput,
} from './keys/input';
import type { KeyChange } from './keys/key-change';
import { keyById, pageOfKeys } from './keys/list-keys';
import type { IssuedApiKey, MintOptions } from './keys/new-key';
import { pruneEvents, pruneKeys } from './keys/prune';
import { rotateKey } from './keys/rotate-key';
import { updateKey } from './keys/update-key';
import { outliveTrust } from './lookup/trust-bound';
import { Verification, type VerificationStatus } from './lookup/verification';
import { type Acting, ownerOf } from './model/acting';
import type { ApiKey } from './model/api-key.entity';
import { ApiKeyInputError, ApiKeyRefusal } from './model/api-key.errors';
import type { RecordedApiKeyEvent } from './model/api-key.event';
import type { DefaultRate } from './model/authority';
import type { Eventually } from './model/eventually';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from './options/api-key.options';
import { UNPEPPERED } from './options/pepper';
import { DefaultLimits } from './rate-limit/default-limits';
import { LastUsedWriter } from './usage/last-used-writer';
import { type ApiKeyUsage, usageOf } from './usage/report';
import { UsageCounter } from './usage/usage-counter';

/** What `verify` found. */
export type VerifyResult =
  | { readonly ok: true; readonly apiKey: ApiKey }
  | { readonly ok: false; readonly reason: InvalidKeyReason };

/** A page, newest first. `nextCursor` is null on the last page. */
export interface Page<Item> {
  readonly items: readonly Item[];
  readonly nextCursor: string | null;
}

/** A page of keys. */
export type ApiKeyPage = Page<ApiKey>;

/** How long a rotated key still works, and how long its successor does. */
export interface RotateOptions {
  /** Seconds from 0 to 2,592,000 (30 days) that the old key still works; 0 ends it at once. Default 86,400. */
  overlapSeconds?: number;
  /** When the new key stops working; null: never. Default: it lives as long as the old one was given. */
  expiresAt?: Date | null;
}

/** Why a key is revoked. */
export interface RevokeOptions {
  /** For the trail: 1 to 255 characters, none of them a control character. */
  reason?: string;
  /**
   * Whether to answer only once no instance can accept the key in a request that starts then, whatever has failed in between: it
   * takes as long as instances may trust what they remember, 2 s by default. Without it, they hear of it within milliseconds.
   */
  everywhere?: boolean;
  /**
   * Whether all that the key made, or that was rotated from it, ends with it, also what is being
   * made meanwhile, and also if its own row is gone. Default false.
   */
  descendants?: boolean;
}

/** What is removed for good. */
export interface PruneOptions {
  /** Keys that expired or were revoked more than so many days ago, 0 to 36,500. Default 90. */
  olderThanDays?: number;
  /** Events older than so many days, 0 to 36,500. Default 365. */
  eventsOlderThanDays?: number;
  /** Told how many keys and events are gone so far. */
  onProgress?: (removed: PruneReport) => void;
}

/** What was removed. */
export interface PruneReport {
  readonly keys: number;
  readonly events: number;
}

/** The keys of one owner. */
export interface RevokeAllInput extends Pick<RevokeOptions, 'reason' | 'everywhere'> {
  userId: string;
}

const NO_OWNER = 'userId must be text; leave it out to list the keys of all owners';
const NO_ACTOR = 'the acting owner or key must be named; leave it out to act for nobody';
const DEFAULT_LIMIT = 50;
const DEFAULT_OVERLAP_SECONDS = 86_400;
const DEFAULT_PRUNE_DAYS = 90;
const DEFAULT_EVENT_PRUNE_DAYS = 365;

/** Issues, checks, changes and ends keys. Every call may name on whose behalf it acts. */
@Injectable()
export class ApiKeyService {
  private readonly catalogue: readonly string[] | null;
  private readonly digests: KeyDigests;
  private readonly keys: KeyJudge;
  private readonly admission: KeyAdmission;
  private readonly defaults: readonly DefaultRate[];

  constructor(
    @Inject(API_KEY_DATABASE) private readonly database: Database,
    @Inject(API_KEY_OPTIONS) private readonly options: ResolvedApiKeyOptions,
    private readonly verification: Verification,
    private readonly lastUsed: LastUsedWriter,
    private readonly trail: Trail,
    private readonly changes: ChangeTrail,
    private readonly requests: RequestTrail,
    attempts: FailedAttempts,
    private readonly usageCounter: UsageCounter,
    digestWriter: DigestWriter,
    { limits }: DefaultLimits,
  ) {
    this.digests = new KeyDigests(options.pepper ?? UNPEPPERED);
    this.keys = new KeyJudge(this.digests, verification, attempts, digestWriter, options);
    this.admission = new KeyAdmission(this.keys, options.cache.lookUpTimeoutMs);
    this.defaults = limits.map(({ policy: { limit, windowMs }, skipIf }) => ({
      limit,
      windowSeconds: windowMs / 1_000,
      isConditional: skipIf !== undefined,
    }));
    this.catalogue = options.scopes && Object.keys(options.scopes);
  }

  /** How many events of requests were dropped since the start, for they came faster than they could be written. */
  get droppedEvents(): number {
    return this.requests.dropped;
  }

  /**
   * Issues a key. The raw key is in the answer and nowhere else. A key that acts hands its own bounds on where none are given.
   * @throws ApiKeyInputError where a field does not fit, or the owner does not exist
   * @throws ApiKeyAuthorityError where it would give more than the key that acts has
   * @throws ApiKeyRefusal `KEY_STORE_UNAVAILABLE` where the database does not take it
   */
  async create(input: CreateApiKeyInput, acting: Acting = {}): Promise<IssuedApiKey> {
    this.check(input);
    const by = await this.asStored(acting);
    const owner = ownerOf(by);
    const userId = await this.storedOwner(input.userId, 'userId must name the owner of the key');
    if (owner !== null && userId !== owner)
      throw new ApiKeyInputError(['userId names another owner than the one who acts']);
    return this.make(by, (change) => createKey(change, { ...input, userId }, this.mint)).catch(refuseMisfit);
  }

  /**
   * Checks what a new key shall be, without issuing it.
   * @throws ApiKeyInputError where a field does not fit
   */
  check(input: ApiKeyFields): void {
    checkNewKey(input, this.catalogue, new Date());
  }

  /**
   * Checks a raw key, without noting a use. Anything that is not text is malformed.
   * @throws ApiKeyRefusal `KEY_STORE_UNAVAILABLE` where the database does not answer
   */
  async verify(key: unknown): Promise<VerifyResult> {
    const found = await this.keys.judge(key, null);
    return isInvalid(found) ? { ok: false, reason: found.reason } : { ok: true, apiKey: found };
  }

  /**
   * The row of a raw key that is valid now, its use noted, or null: for anything blank, unknown, expired, revoked.
   * @throws ApiKeyRefusal `KEY_STORE_UNAVAILABLE` where the database does not answer
   */
  async authenticate(key: unknown): Promise<ApiKey | null> {
    const found = await this.keys.judge(key, null);
    if (isInvalid(found)) return null;
    this.noteUse(found);
    return found;
  }

  /**
   * Lets in who presents a raw key that is valid now; at once where it is remembered. Its use is not noted yet. A key that is well-formed
   * and refused as INVALID_API_KEY takes 10 to 20 ms, whatever the reason, also where it was `enter` that refused it, unless that itself
   * takes longer.
   * @param request that presents it: its address tells whose failed attempts count together
   * @param enter what else is asked of a valid key; its answer is that of `admit`
   * @param about handed on to `enter`
   * @throws ApiKeyRefusal `INVALID_API_KEY`, with the reason for the trail; `KEY_STORE_UNAVAILABLE` as `verify`
   */
  admit<Entered, About>(
    key: unknown,
    request: object,
    enter: Enter<Entered, About>,
    about: About,
  ): Eventually<Entered> {
    return this.admission.admit(key, request, enter, about);
  }

  /** Notes that a verified key was used now, for `last_used_at` and its usage. No I/O. */
  noteUse({ id }: ApiKey): void {
    if (this.options.usage.lastUsed) this.lastUsed.note(id);
    this.usageCounter.note(id);
  }

  /**
   * How much a key is used, and what is left of its quota; null where there is no such key. What other instances have not written
   * yet (`usage.intervalMs`) is missing.
   */
  async usage(id: string, acting: Acting = {}): Promise<ApiKeyUsage | null> {
    const apiKey = await this.get(id, acting);
    if (!apiKey) return null;
    if (this.usageCounter.has(apiKey.id)) await this.usageCounter.flush();
    return usageOf(this.database, apiKey).catch(refuseUnavailable);
  }

  /**
   * Has `loadUser` asked again for an owner: in this instance from now on, in the others once they hear of it, within
   * milliseconds. For changes outside of a users table that is watched (`watchUsers` of `apiKeyMigrations`).
   * @throws ApiKeyInputError where it is no owner
   * @throws ApiKeyRefusal `KEY_STORE_UNAVAILABLE` where the others cannot be told: they ask again after `cache.userCacheMs`
   */
  async evictOwner(userId: string): Promise<void> {
    const owner = await this.storedOwner(userId, 'userId must name the owner');
    await this.verification.evictOwner(owner).catch(refuseUnavailable);
  }

  /** How look-ups do in this instance, for health checks and metrics. */
  get verificationStatus(): VerificationStatus {
    return this.verification.status;
  }

  /** A key by its id, or null: an id that cannot be one is that of no key. */
  async get(id: string, acting: Acting = {}): Promise<ApiKey | null> {
    const owner = ownerOf(await this.asStored(acting));
    const keyId = keyIdOf(id);
    return keyId === null ? null : keyById(this.database, keyId, owner).catch(refuseUnavailable);
  }

  /**
   * Keys, newest first; of one owner where `userId` is given, or someone acts.
   * @throws ApiKeyInputError where limit, state or cursor cannot be used
   */
  async list(input: ListApiKeysInput = {}, acting: Acting = {}): Promise<ApiKeyPage> {
    checkPage(input);
    const owner = ownerOf(await this.asStored(acting));
    const { state, limit = DEFAULT_LIMIT, cursor = null } = input;
    const userId = input.userId === undefined ? undefined : await this.storedOwner(input.userId, NO_OWNER);
    if (owner !== null && userId !== undefined && userId !== owner) return { items: [], nextCursor: null };
    const wanted = { owner: owner ?? userId ?? null, state, limit: limit + 1, before: cursor };
    const found = await pageOfKeys(this.database, wanted).catch((error) =>
      isUnfit(error) ? [] : refuseUnavailable(error),
    );
    return pageOf(found, limit);
  }

  /**
   * Changes the given fields and no others; null where there is no such key.
   * @throws ApiKeyInputError where a field does not fit or cannot be set
   * @throws ApiKeyAuthorityError where it would give more than the key that acts has
   * @throws ApiKeyConflictError where the key is revoked
   */
  async update(id: string, changes: UpdateApiKeyInput, acting: Acting = {}): Promise<ApiKey | null> {
    checkChanges(changes, this.catalogue, new Date());
    const [keyId, by] = [keyIdOf(id), await this.asStored(acting)];
    if (keyId === null) return null;
    return this.make(by, (change) => updateKey(change, keyId, changes)).catch(refuseMisfit);
  }

  /**
   * Issues the successor of a key, which inherits name, scopes, limit, addresses and metadata, and ends the old one after
   * the overlap at the latest; null where there is no such key. Of two rotations at once, one wins.
   * @throws ApiKeyInputError where the overlap or the expiry does not fit
   * @throws ApiKeyAuthorityError where the successor would have more than the key that acts
   * @throws ApiKeyConflictError where the key was rotated already, is revoked or has expired
   */
  async rotate(id: string, options: RotateOptions = {}, acting: Acting = {}): Promise<IssuedApiKey | null> {
    const { overlapSeconds = DEFAULT_OVERLAP_SECONDS, expiresAt } = options;
    checkOverlap(overlapSeconds);
    checkChanges({ expiresAt }, this.catalogue, new Date());
    const [keyId, by] = [keyIdOf(id), await this.asStored(acting)];
    if (keyId === null) return null;
    const rotation = { overlapSeconds, expiresAt };
    return this.make(by, (change) => rotateKey(change, keyId, rotation, this.mint)).catch(refuseUnavailable);
  }

  /**
   * Ends a key for good. It is also expired from now on, for a Rails app on the same table knows
   * only that. Revoking again changes nothing. It is done even if the trail cannot be written: the
   * log tells it then.
   * @returns the key and what it made; null if there is no such key, nor any that it made
   * @throws ApiKeyInputError if the reason does not fit
   * @throws ApiKeyRefusal `INVALID_API_KEY` if the key that acts has ended meanwhile;
   *   `KEY_STORE_UNAVAILABLE` if the database fails
   */
  async revoke(id: string, options: RevokeOptions = {}, acting: Acting = {}): Promise<Revocation | null> {
    const reason = reasonOf(options);
    const { descendants = false, everywhere = false } = options;
    const [keyId, by] = [keyIdOf(id), await this.asStored(acting)];
    if (keyId === null) return null;
    const ended = await this.revokeOne(keyId, { reason, descendants }, by);
    if (!ended) return null;
    const liveDescendants = descendants ? 0 : await this.countLiveDescendants(keyId);
    if (everywhere) await this.outliveTrust();
    return { ...ended, liveDescendants };
  }

  /**
   * Ends all keys of an owner, also those that are being made meanwhile; also if the trail cannot
   * be written, as `revoke`. What another application inserts or an import brings after it is not
   * ended.
   * @returns the keys that this call ended
   * @throws ApiKeyInputError if no owner is named, or the reason does not fit
   * @throws ApiKeyRefusal as `revoke`
   */
  async revokeAll(input: RevokeAllInput, acting: Acting = {}): Promise<ApiKey[]> {
    const reason = reasonOf(input);
    const by = await this.asStored(acting);
    const owner = ownerOf(by);
    const userId = await this.storedOwner(input.userId, 'userId must name the owner of the keys');
    if (owner !== null && owner !== userId) return [];
    const revoked = await this.changes
      .makeRegardless((session) => revokeKeysOf(this.changeOf(session, by), userId, reason))
      .catch((error) => (isUnfit(error) ? [] : refuseUnavailable(error)));
    if (input.everywhere) await this.outliveTrust();
    return revoked;
  }

  /**
   * Removes a key, which ends it at once; false if there is none. Its trail stays, and so does what
   * it made.
   */
  async delete(id: string, acting: Acting = {}): Promise<boolean> {
    const [keyId, by] = [keyIdOf(id), await this.asStored(acting)];
    if (keyId === null) return false;
    return this.make(by, (change) => deleteKey(change, keyId)).catch(refuseUnavailable);
  }

  /** Removes keys that ended long ago, and old events, in batches, each a transaction of its own. */
  async prune(
    options: PruneOptions = {},
    acting: Omit<Acting, 'userId' | 'apiKey'> = {},
  ): Promise<PruneReport> {
    const { olderThanDays = DEFAULT_PRUNE_DAYS, eventsOlderThanDays = DEFAULT_EVENT_PRUNE_DAYS } = options;
    checkDays('olderThanDays', olderThanDays);
    checkDays('eventsOlderThanDays', eventsOlderThanDays);
    const report = options.onProgress ?? (() => {});
    const keys = await pruneKeys(this.changes, olderThanDays, acting, (removed) =>
      report({ keys: removed, events: 0 }),
    );
    const events = await pruneEvents(this.trail, eventsOlderThanDays, (removed) =>
      report({ keys, events: removed }),
    );
    return { keys, events };
  }

  /**
   * Takes over keys of another system by their digests, in batches, each all or nothing. Reads the lines as it goes, so that
   * any number of them fits into memory.
   * @param lines `ImportedApiKey` each; anything else is reported by its number
   * @throws ApiKeyInputError where the option `pepper` refuses keys that are stored without one, as these are
   */
  async import(
    lines: Iterable<unknown> | AsyncIterable<unknown>,
    options: ImportOptions = {},
    acting: Omit<Acting, 'userId' | 'apiKey'> = {},
  ): Promise<ImportReport> {
    if (this.options.pepper?.refusesUnpeppered)
      throw new ApiKeyInputError([
        'imported digests are without a pepper, and would not work: set pepper.unpeppered to "adopt" until each was used once',
      ]);
    const { database, changes, catalogue } = this;
    return importInBatches(lines, options, { database, changes, catalogue, acting });
  }

  /**
   * The trail of a key, newest first, also after the key is gone; null where there is neither.
   * @throws ApiKeyInputError where limit or cursor cannot be used
   */
  async events(
    id: string,
    input: Pick<ListApiKeysInput, 'limit' | 'cursor'> = {},
    acting: Acting = {},
  ): Promise<Page<RecordedApiKeyEvent> | null> {
    checkPage(input);
    const [keyId, by] = [keyIdOf(id), await this.asStored(acting)];
    const owner = ownerOf(by);
    if (keyId === null) return null;
    const { limit = DEFAULT_LIMIT, cursor = null } = input;
    const found = await this.trail
      .of(keyId, { owner, before: cursor, limit: limit + 1 })
      .catch(refuseUnavailable);
    if (found.length === 0 && cursor === null && !(await this.get(keyId, by))) return null;
    return pageOf(found, limit);
  }

  /** @throws ApiKeyInputError with the problem if it is no owner */
  private async storedOwner(userId: unknown, problem: string): Promise<string> {
    return storedOwner(this.database, ownerIdOf(userId, problem)).catch(refuseUnavailable);
  }

  /** Names who acts as the table does. */
  private async asStored(acting: Acting): Promise<Acting> {
    if (acting.userId === undefined || acting.userId === acting.apiKey?.userId) {
      ownerOf(acting);
      return acting;
    }
    const by = { ...acting, userId: await this.storedOwner(acting.userId, NO_ACTOR) };
    ownerOf(by);
    return by;
  }

  private get mint(): MintOptions {
    const { format, prefix } = this.options;
    return { format, prefix, digests: this.digests };
  }

  private make<Result>(
    acting: Acting,
    work: (change: KeyChange) => Promise<Change<Result>>,
  ): Promise<Result> {
    return this.changes.make((session) => work(this.changeOf(session, acting)));
  }

  private changeOf(session: Session, acting: Acting): KeyChange {
    const { windowSeconds } = this.options.rateLimit;
    return { session, table: session.tables.keys, acting, defaults: this.defaults, windowSeconds };
  }

  /** If the outcome of the COMMIT is unknown, the row tells it. */
  private async revokeOne(id: string, scope: RevocationScope, acting: Acting): Promise<Ended | null> {
    try {
      return await this.changes.makeRegardless((session) =>
        revokeKey(this.changeOf(session, acting), id, scope),
      );
    } catch (error) {
      if (error instanceof ApiKeyRefusal) throw error;
      const found = await keyById(this.database, id, ownerOf(acting)).catch(() => null);
      this.verification.evict(id);
      if (!found?.revokedAt || scope.descendants) return refuseUnavailable(error);
      return { apiKey: found, descendants: [] };
    }
  }

  /** After the revocation and outside of it: many keys take a while to count, and a failure must not undo it. */
  private async countLiveDescendants(id: string): Promise<number | null> {
    return this.database
      .read((session) => countLiveDescendants({ session, table: session.tables.keys }, id))
      .catch(() => null);
  }

  private async outliveTrust(): Promise<void> {
    await outliveTrust(this.database, performance.now()).catch(refuseUnavailable);
  }
}

function pageOf<Item extends { readonly id: string }>(found: readonly Item[], limit: number): Page<Item> {
  const items = found.slice(0, limit);
  return { items, nextCursor: found.length > limit ? (items.at(-1) as Item).id : null };
}

function reasonOf({ reason }: Pick<RevokeOptions, 'reason'>): string | null {
  if (reason === undefined) return null;
  if (typeof reason === 'string' && /^\P{Cc}{1,255}$/u.test(reason)) return reason;
  throw new ApiKeyInputError(['reason must have 1 to 255 characters, none of them a control character']);
}
