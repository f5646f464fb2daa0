import { Inject, Injectable, Logger } from '@nestjs/common';
import type { Access } from '../database/begin';
import { Database } from '../database/database';
import { despiteFullQueue } from '../database/full-queue';
import type { JoinedTransaction } from '../database/joined-transaction';
import type { Session } from '../database/session';
import type { Turn } from '../database/turns';
import { type Acting, actorOf } from '../model/acting';
import type { ApiKey } from '../model/api-key.entity';
import type { ApiKeyEventSink, ChangeEvent, EventDetails } from '../model/api-key.event';
import { wordsOf } from '../model/error-words';
import { KeyEviction } from '../model/key-eviction';
import { printable } from '../model/printable';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import { AfterCommit } from './after-commit';
import { Announcer, forward } from './announcer';
import { subjectOf, Trail } from './trail';

/** Result of a change, and the events to record in the audit trail. */
export interface Change<Result> {
  readonly result: Result;
  readonly events: readonly ChangeEvent[];
}

/** Turn, write access and event recording of a change. */
interface Way {
  readonly turn: Turn;
  readonly access: Access;
  readonly record: (session: Session, events: readonly ChangeEvent[]) => Promise<void>;
}

/** Turn of a change that concerns no single owner. */
const CHANGE: Turn = { kind: 'change', lanes: [] };
/**
 * Maximum wait for a lock on the table of the audit trail. The wait is long, because events that
 * cannot be recorded are only in the log.
 */
const TRAIL_LOCK_TIMEOUT = '8s';
const MAX_REQUEST_ID_LENGTH = 128;
/** Characters that the PostgreSQL type `text` cannot store: NUL and lone surrogates. */
const UNFIT = /[\0\p{Cs}]/gu;

/**
 * Makes changes to keys. A change and its events are written in one transaction. After the commit,
 * the events are sent to listeners and to the sink. The transaction is READ COMMITTED, so that each
 * statement sees rows that were committed while the transaction waited for a lock.
 */
@Injectable()
export class ChangeTrail {
  private readonly logger = new Logger('ApiKeyModule');
  private readonly sink: ApiKeyEventSink | null;

  constructor(
    private readonly database: Database,
    private readonly trail: Trail,
    private readonly announcer: Announcer,
    private readonly afterCommit: AfterCommit,
    private readonly cache: KeyEviction,
    @Inject(API_KEY_OPTIONS) { audit }: Pick<ResolvedApiKeyOptions, 'audit'>,
  ) {
    this.sink = audit.changes;
  }

  /** Makes a change. If its events cannot be recorded, the change is rolled back. */
  make<Result>(work: (session: Session) => Promise<Change<Result>>, turn: Turn = CHANGE): Promise<Result> {
    const record: Way['record'] = (session, events) => this.trail.recordIn(session, events);
    return this.commit(work, { turn, access: 'default', record });
  }

  /**
   * Makes a change even if its events cannot be recorded, for example because a disk is full. The
   * events are then written to the log.
   */
  makeRegardless<Result>(work: (session: Session) => Promise<Change<Result>>, turn: Turn): Promise<Result> {
    const record: Way['record'] = (session, events) => this.tryToRecord(session, events);
    return this.commit(work, { turn, access: 'asked', record });
  }

  /**
   * Makes a change in a transaction of the application. If its events cannot be recorded, the
   * change is undone. Everything that follows a change waits for the commit.
   * @param committed called with the result after the commit
   */
  async makeIn<Result>(
    joined: JoinedTransaction,
    work: (session: Session) => Promise<Change<Result>>,
    committed: (result: Result) => void,
  ): Promise<Result> {
    return joined.change(async (session) => {
      const { result, events } = await work(session);
      await this.trail.recordIn(session, events);
      const last = events.at(-1);
      if (last)
        this.afterCommit.add(joined.runner, {
          eventId: await this.trail.newestIn(session, last),
          evict: () => {
            this.evict(events);
            // Somebody may have tried the key before the commit.
            if (events.some(({ type }) => type === 'created')) this.cache.evictUnknown();
          },
          report: () => {
            this.report(events);
            committed(result);
          },
        });
      return result;
    });
  }

  private async commit<Result>(
    work: (session: Session) => Promise<Change<Result>>,
    { turn, access, record }: Way,
  ): Promise<Result> {
    const { result, events } = await despiteFullQueue<Change<Result>>(
      (all) => this.database.transaction(all, { access, turn }),
      async (session) => {
        const change = await work(session);
        await record(session, change.events);
        return change;
      },
    );
    this.evict(events);
    this.report(events);
    return result;
  }

  private evict(events: readonly ChangeEvent[]): void {
    for (const { keyId } of events) this.cache.evict(keyId);
  }

  private report(events: readonly ChangeEvent[]): void {
    for (const event of events) this.announcer.announce(event);
    if (this.sink && events.length > 0) forward(this.sink, events, this.logger);
  }

  private async tryToRecord(session: Session, events: readonly ChangeEvent[]): Promise<void> {
    if (events.length === 0) return;
    await session.run(`SAVEPOINT api_key_trail; SET LOCAL lock_timeout = '${TRAIL_LOCK_TIMEOUT}'`);
    try {
      await this.trail.recordIn(session, events);
    } catch (error) {
      await session.run('ROLLBACK TO SAVEPOINT api_key_trail');
      const keys = events.map(({ type, keyId, masked }) => `${type} ${keyId} (${masked})`).join(', ');
      const { actor } = events[0] as ChangeEvent;
      this.logger.error(
        printable(
          `The audit trail could not be written (${wordsOf(error)}). Missing events: ${keys}, by ${actor.type} ${actor.id ?? 'unknown'}.`,
        ),
      );
    }
  }
}

/** Returns the event of a change to a key. */
export function changeEvent<Type extends ChangeEvent['type']>(
  type: Type,
  apiKey: ApiKey,
  acting: Acting,
  details: EventDetails[Type],
): ChangeEvent {
  const { address = null, requestId = null } = acting;
  return {
    type,
    ...subjectOf(apiKey),
    actor: actorOf(acting),
    address,
    requestId: requestId?.replace(UNFIT, '?').slice(0, MAX_REQUEST_ID_LENGTH) ?? null,
    at: new Date(),
    details,
  } as ChangeEvent;
}
