import type { Change, ChangeTrail } from '../audit/change-trail';
import type { Session } from '../database/session';
import type { Acting } from '../model/acting';
import type { DefaultRate } from '../model/authority';
import type { KeyChange } from './key-change';

type Work<Result> = (change: KeyChange) => Promise<Change<Result>>;

/** Makes changes of keys. A change and its events are written in one transaction. */
export class KeyChanges {
  /**
   * @param defaults limits of a key without a rate limit of its own
   * @param windowSeconds window of a rate limit without a window
   */
  constructor(
    private readonly trail: ChangeTrail,
    private readonly defaults: readonly DefaultRate[],
    private readonly windowSeconds: number,
  ) {}

  /** Makes a change. If the events cannot be recorded, the change is rolled back. */
  make<Result>(acting: Acting, work: Work<Result>): Promise<Result> {
    return this.trail.make((session) => work(this.changeOf(session, acting)));
  }

  /** Makes a change even if its events cannot be recorded. The log has the events then. */
  makeRegardless<Result>(acting: Acting, work: Work<Result>): Promise<Result> {
    return this.trail.makeRegardless((session) => work(this.changeOf(session, acting)));
  }

  private changeOf(session: Session, acting: Acting): KeyChange {
    return {
      session,
      table: session.tables.keys,
      acting,
      defaults: this.defaults,
      windowSeconds: this.windowSeconds,
    };
  }
}
