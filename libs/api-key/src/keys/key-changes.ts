import type { Change, ChangeTrail } from '../audit/change-trail';
import type { Session } from '../database/session';
import type { Acting } from '../model/acting';
import type { DefaultRate } from '../model/authority';
import type { KeyChange } from './key-change';

type Work<Result> = (change: KeyChange) => Promise<Change<Result>>;

/** Makes changes of keys, each in one transaction with its events. */
export class KeyChanges {
  /**
   * @param defaults what limits a key without a limit of its own
   * @param windowSeconds the window of a limit that has none
   */
  constructor(
    private readonly trail: ChangeTrail,
    private readonly defaults: readonly DefaultRate[],
    private readonly windowSeconds: number,
  ) {}

  /** A change whose events cannot be recorded is not made. */
  make<Result>(acting: Acting, work: Work<Result>): Promise<Result> {
    return this.trail.make((session) => work(this.changeOf(session, acting)));
  }

  /** A change that is made even if its events cannot be recorded: the log has them then. */
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
