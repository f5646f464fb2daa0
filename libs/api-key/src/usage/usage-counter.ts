import { Inject, Injectable, Optional } from '@nestjs/common';
import { briefTransaction } from '../database/brief-transaction';
import { Database } from '../database/database';
import { IntervalWriter } from '../database/interval-writer';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import type { ResolvedUsageOptions } from '../options/usage';
import { removeOldUsage } from './report';

/** Milliseconds between two removals of old usage. */
const CLEAN_EVERY_MS = 3_600_000;

/** Counts of the requests with one key since the last write. */
interface Uses {
  requests: number;
  limited: number;
}

/**
 * Counts requests by key in memory. One statement per interval adds the counts to the current hour
 * and day. So a request counts in the hour in which its count is written. The database adds up the
 * counts of several instances.
 */
@Injectable()
export class UsageCounter extends IntervalWriter {
  private readonly options: ResolvedUsageOptions;
  private uses = new Map<string, Uses>();
  private cleanedAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly database: Database,
    @Inject(API_KEY_OPTIONS) { usage }: Pick<ResolvedApiKeyOptions, 'usage'>,
    @Optional() private readonly now: () => number = () => performance.now(),
  ) {
    super('The usage of keys', usage.intervalMs);
    this.options = usage;
  }

  /** Counts a request with a valid key. Does no I/O. */
  note(id: string): void {
    if (this.options.requests) this.usesOf(id).requests += 1;
  }

  /** Counts a request that a rate limit or the quota refused. Does no I/O. */
  noteLimited(id: string): void {
    if (this.options.requests) this.usesOf(id).limited += 1;
  }

  /** Returns whether a key has counts that are not written yet. */
  has(id: string): boolean {
    return this.uses.has(id);
  }

  protected override async write(): Promise<void> {
    const uses = this.uses;
    if (uses.size === 0) return;
    this.uses = new Map();
    try {
      await this.add(uses);
    } catch (error) {
      this.keep(uses);
      throw error;
    }
    this.cleanSometimes();
  }

  private usesOf(id: string): Uses {
    const known = this.uses.get(id);
    if (known) return known;
    const uses = { requests: 0, limited: 0 };
    this.uses.set(id, uses);
    return uses;
  }

  private keep(uses: ReadonlyMap<string, Uses>): void {
    for (const [id, { requests, limited }] of uses) {
      const now = this.usesOf(id);
      now.requests += requests;
      now.limited += limited;
    }
  }

  /** Adds the counts to their rows in the order of ids, so that two instances cannot deadlock. */
  private async add(uses: ReadonlyMap<string, Uses>): Promise<void> {
    const counts = [...uses.values()];
    await briefTransaction(this.database, (session) =>
      session.run(
        `INSERT INTO ${session.tables.usage} AS usage (key_id, period, starts_at, requests, limited)
         SELECT id, period, date_trunc(period, now(), 'UTC'), requests, limited
         FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS u (id, requests, limited), unnest('{hour,day}'::text[]) AS period
         ORDER BY id, period
         ON CONFLICT (key_id, period, starts_at) DO UPDATE
           SET requests = usage.requests + excluded.requests, limited = usage.limited + excluded.limited`,
        [[...uses.keys()], counts.map(({ requests }) => requests), counts.map(({ limited }) => limited)],
      ),
    );
  }

  /**
   * Removes old usage in the background, at most once an hour. An error is ignored, because the
   * next removal tries again.
   */
  private cleanSometimes(): void {
    if (this.now() - this.cleanedAt < CLEAN_EVERY_MS) return;
    this.cleanedAt = this.now();
    removeOldUsage(this.database).catch(() => {});
  }
}
