import { Injectable } from '@nestjs/common';
import { briefTransaction } from '../database/brief-transaction';
import { Database } from '../database/database';
import { IntervalWriter } from '../database/interval-writer';
import type { Session } from '../database/session';

const INTERVAL_MS = 1_000;
/** Maximum number of queued keys. If the queue is full, a key is queued at a later use. */
const MAX_WAITING = 10_000;

/** The stored digest of a key, and the digest that replaces the stored digest. */
interface Rewrite {
  readonly from: string;
  readonly to: string;
}

/**
 * Replaces the digests of used keys by digests with the newest pepper, in the background. Replaces
 * a digest only if the row still contains the digest that was read.
 */
@Injectable()
export class DigestWriter extends IntervalWriter {
  private readonly rewrites = new Map<string, Rewrite>();

  constructor(private readonly database: Database) {
    super('key_digest', INTERVAL_MS);
  }

  /** Queues a key that is stored under an older pepper or without a pepper. Does no I/O. */
  note(id: string, from: string, to: string): void {
    if (this.rewrites.size < MAX_WAITING) this.rewrites.set(id, { from, to });
  }

  protected override async write(): Promise<void> {
    const rewrites = [...this.rewrites];
    if (rewrites.length === 0) return;
    await briefTransaction(this.database, (session) => this.update(session, rewrites));
    for (const [id, each] of rewrites) if (this.rewrites.get(id) === each) this.rewrites.delete(id);
  }

  /**
   * Writes the new digests. Locks rows in the order of their ids, so that two instances cannot
   * deadlock. Skips locked rows: their keys are queued again at their next use.
   */
  private async update(session: Session, rewrites: readonly (readonly [string, Rewrite])[]): Promise<void> {
    const table = session.tables.keys;
    await session.run(
      `WITH wanted AS (
         SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[]) AS w (id, digest_was, digest)
       ), free AS (
         SELECT k.id FROM ${table} k JOIN wanted USING (id) ORDER BY k.id FOR NO KEY UPDATE OF k SKIP LOCKED
       )
       UPDATE ${table} k SET key_digest = wanted.digest
       FROM wanted JOIN free USING (id)
       WHERE k.id = wanted.id AND k.key_digest = wanted.digest_was
         AND NOT EXISTS (SELECT FROM ${table} other WHERE other.key_digest = wanted.digest)`,
      [rewrites.map(([id]) => id), rewrites.map(([, { from }]) => from), rewrites.map(([, { to }]) => to)],
    );
  }
}
