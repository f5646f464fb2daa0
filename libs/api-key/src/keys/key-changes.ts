import { Inject, Injectable } from '@nestjs/common';
import { type Change, ChangeTrail } from '../audit/change-trail';
import type { Session } from '../database/session';
import type { Acting } from '../model/acting';
import { type DefaultRate, DefaultRates } from '../model/authority';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import type { KeyChange } from './key-change';
import { KeyRules } from './key-rules';

type Work<Result> = (change: KeyChange) => Promise<Change<Result>>;

/** Makes changes of keys. A change and its events are written in one transaction. */
@Injectable()
export class KeyChanges {
  /** Limits of a key without a rate limit of its own. */
  private readonly defaults: readonly DefaultRate[];
  /** Window of a rate limit without a window. */
  private readonly windowSeconds: number;

  constructor(
    private readonly trail: ChangeTrail,
    private readonly rules: KeyRules,
    { rates }: DefaultRates,
    @Inject(API_KEY_OPTIONS) { rateLimit }: Pick<ResolvedApiKeyOptions, 'rateLimit'>,
  ) {
    this.defaults = rates;
    this.windowSeconds = rateLimit.windowSeconds;
  }

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
      rules: this.rules,
      defaults: this.defaults,
      windowSeconds: this.windowSeconds,
    };
  }
}
