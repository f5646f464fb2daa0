import { Inject, Injectable, Optional } from '@nestjs/common';
import { briefTransaction } from '../database/brief-transaction';
import { Database } from '../database/database';
import { text } from '../database/fields';
import { IntervalWriter } from '../database/interval-writer';
import type { Session } from '../database/session';
import { API_KEY_OPTIONS } from '../options/api-key.options';
import type { ResolvedUsageOptions } from '../options/usage';

/** Returns milliseconds that never decrease, even if somebody sets the wall clock. */
export type MonotonicClock = () => number;

/**
 * Collects last uses in memory, and writes them in one statement per interval. So a million
 * requests do not cost a million writes. Times are sent as ages, because the clock of this machine
 * may be wrong.
 */
@Injectable()
export class LastUsedWriter extends IntervalWriter {
  private uses = new Map<string, number>();

  constructor(
    private readonly database: Database,
    @Inject(API_KEY_OPTIONS) { usage }: { readonly usage: Pick<ResolvedUsageOptions, 'lastUsedIntervalMs'> },
    @Optional() private readonly now: MonotonicClock = () => performance.now(),
  ) {
    super('last_used_at', usage.lastUsedIntervalMs);
  }

  /** Records that a key was used now. Does no I/O. */
  note(id: string): void {
    this.uses.set(id, this.now());
  }

  protected override async write(): Promise<void> {
    const uses = this.uses;
    if (uses.size === 0) return;
    this.uses = new Map();
    try {
      this.keep(uses, await this.update(uses));
    } catch (error) {
      this.keep(uses, [...uses.keys()]);
      throw error;
    }
  }

  /** Keeps uses for the next write, unless a key was used again since then. */
  private keep(uses: ReadonlyMap<string, number>, ids: readonly string[]): void {
    for (const id of ids) {
      const at = uses.get(id);
      if (at !== undefined && !this.uses.has(id)) this.uses.set(id, at);
    }
  }

  /**
   * Writes the last uses to `last_used_at`, which never moves back. Rows are locked in the order of
   * their ids, so that two instances cannot deadlock. Uses of deleted rows are dropped.
   * @returns the ids of rows that another transaction has locked
   */
  private async update(uses: ReadonlyMap<string, number>): Promise<string[]> {
    return briefTransaction(this.database, (session) => this.updateIn(session, uses));
  }

  private async updateIn(session: Session, uses: ReadonlyMap<string, number>): Promise<string[]> {
    const table = session.tables.keys;
    const now = this.now();
    const rows = await session.rows(
      `WITH used AS (
         SELECT id, clock_timestamp() - age * interval '1 millisecond' AS at
         FROM unnest($1::bigint[], $2::float8[]) AS u (id, age)
       ), free AS (
         SELECT k.id FROM ${table} k JOIN used USING (id) ORDER BY k.id FOR NO KEY UPDATE OF k SKIP LOCKED
       ), written AS (
         UPDATE ${table} k SET last_used_at = greatest(k.last_used_at, used.at)
         FROM used JOIN free USING (id) WHERE k.id = used.id
       )
       SELECT k.id::text FROM ${table} k JOIN used USING (id) WHERE NOT EXISTS (SELECT FROM free WHERE free.id = k.id)`,
      [[...uses.keys()], [...uses.values()].map((at) => now - at)],
    );
    return rows.map((row) => text(row, 'id'));
  }
}
