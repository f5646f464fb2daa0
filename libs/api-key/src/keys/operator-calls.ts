import type { DroppedEvents, RequestTrail } from '../audit/request-trail';
import type { Verification, VerificationStatus } from '../lookup/verification';
import type { BulkActing, BulkChanges, PruneOptions, PruneReport } from './bulk-changes';
import type { ImportLines, ImportOptions, ImportReport } from './import-batches';
import type { OwnerEviction } from './owner-eviction';
import type { RenameScopeOptions, RenameScopeReport } from './rename-scope';

/** The calls of the service for operators: state of this instance, and changes of all owners. */
export abstract class OperatorCalls {
  constructor(
    private readonly bulk: BulkChanges,
    private readonly owners: OwnerEviction,
    private readonly requests: RequestTrail,
    private readonly verification: Verification,
  ) {}

  /** Number of request events that were dropped since the start, for example in a flood. */
  get droppedEvents(): number {
    return this.requests.dropped;
  }

  /** The same number, by kind of event. */
  get droppedEventsByKind(): DroppedEvents {
    return this.requests.droppedByKind;
  }

  /** State of the key cache and its lease in this instance, for health checks and metrics. */
  get verificationStatus(): VerificationStatus {
    return this.verification.status;
  }

  /** Evicts the cached user of an owner everywhere; if a notice fails, `userCacheMs` ends it. */
  evictOwner(userId: string): Promise<void> {
    return this.owners.evict(userId);
  }

  /** Deletes keys that ended long ago, and old events, in batches of one transaction each. */
  prune(options: PruneOptions = {}, acting: BulkActing = {}): Promise<PruneReport> {
    return this.bulk.prune(options, acting);
  }

  /**
   * Imports keys of another system by their digests, in batches. A batch is imported completely or
   * not at all. Only one batch is in memory.
   * @throws ApiKeyInputError if option `pepper` refuses imported keys, because they have no pepper
   */
  import(lines: ImportLines, options: ImportOptions = {}, acting: BulkActing = {}): Promise<ImportReport> {
    return this.bulk.import(lines, options, acting);
  }

  /** Renames a scope of all keys, in batches. Wildcards stay. May be repeated after a failure. */
  renameScope(
    from: string,
    to: string,
    options: RenameScopeOptions = {},
    acting: BulkActing = {},
  ): Promise<RenameScopeReport> {
    return this.bulk.renameScope(from, to, options, acting);
  }
}
