import { Inject, Injectable } from '@nestjs/common';
import { ChangeTrail } from '../audit/change-trail';
import { Trail } from '../audit/trail';
import { Database } from '../database/database';
import type { Acting } from '../model/acting';
import { ApiKeyInputError } from '../model/api-key.errors';
import { API_KEY_OPTIONS, catalogueOf, type ResolvedApiKeyOptions } from '../options/api-key.options';
import { API_KEY_DEFAULTS } from './defaults';
import { type ImportLines, type ImportOptions, type ImportReport, importInBatches } from './import-batches';
import { checkDays, checkRenaming } from './input';
import { KeyChanges } from './key-changes';
import { KeyRules } from './key-rules';
import { pruneEvents, pruneKeys } from './prune';
import { type RenameScopeOptions, type RenameScopeReport, renameScope } from './rename-scope';

/** Ages from which `prune` deletes keys and events. */
export interface PruneOptions {
  /**
   * Deletes keys that expired or were revoked more than this number of days ago, 0 to 36,500.
   * Default 90.
   */
  olderThanDays?: number;
  /** Deletes events that are older than this number of days, 0 to 36,500. Default 365. */
  eventsOlderThanDays?: number;
  /** Called after each batch with the numbers of keys and events deleted so far. */
  onProgress?: (removed: PruneReport) => void;
}

/** Numbers of deleted keys and events. */
export interface PruneReport {
  readonly keys: number;
  readonly events: number;
}

/** `Acting` without an owner or key, because the change covers the keys of all owners. */
export type BulkActing = Omit<Acting, 'userId' | 'apiKey'>;

/** Changes keys of all owners, in batches. */
@Injectable()
export class BulkChanges {
  constructor(
    private readonly database: Database,
    private readonly changes: ChangeTrail,
    private readonly keyChanges: KeyChanges,
    private readonly trail: Trail,
    private readonly rules: KeyRules,
    @Inject(API_KEY_OPTIONS) private readonly options: Pick<ResolvedApiKeyOptions, 'pepper' | 'scopes'>,
  ) {}

  /** See `ApiKeyService.prune`. */
  async prune(options: PruneOptions, acting: BulkActing): Promise<PruneReport> {
    requireApplication(acting, 'prune keys');
    const { pruneKeysDays, pruneEventsDays } = API_KEY_DEFAULTS;
    const { olderThanDays = pruneKeysDays, eventsOlderThanDays = pruneEventsDays } = options;
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

  /** See `ApiKeyService.import`. */
  async import(lines: ImportLines, options: ImportOptions, acting: BulkActing): Promise<ImportReport> {
    requireApplication(acting, 'import keys');
    const catalogue = catalogueOf(this.options);
    if (this.options.pepper?.refusesUnpeppered)
      throw new ApiKeyInputError([
        'imported digests have no pepper and would be refused: set pepper.unpeppered to "adopt" until each key was used once',
      ]);
    return importInBatches(lines, options, {
      database: this.database,
      changes: this.changes,
      rules: this.rules,
      catalogue,
      acting,
    });
  }

  /** See `ApiKeyService.renameScope`. */
  async renameScope(
    from: string,
    to: string,
    options: RenameScopeOptions,
    acting: BulkActing,
  ): Promise<RenameScopeReport> {
    requireApplication(acting, 'rename a scope');
    checkRenaming(from, to, catalogueOf(this.options));
    return renameScope(this.keyChanges, { from, to }, acting, options);
  }
}

/** @throws ApiKeyInputError if an owner or a key acts, because the change covers all owners */
function requireApplication(acting: BulkActing, deed: string): void {
  if ('userId' in acting || 'apiKey' in acting)
    throw new ApiKeyInputError([`an owner or a key cannot ${deed}, because that covers all owners`]);
}
