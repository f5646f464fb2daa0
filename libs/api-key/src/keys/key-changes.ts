import { Inject, Injectable } from '@nestjs/common';
import { type Change, ChangeTrail } from '../audit/change-trail';
import type { Session } from '../database/session';
import type { Turn } from '../database/turns';
import { type Acting, ownerOf } from '../model/acting';
import { ApiKey } from '../model/api-key.entity';
import { type DefaultRate, DefaultRates } from '../model/authority';
import { WrittenKeys } from '../model/written-keys';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import type { KeyChange } from './key-change';
import { IssuedApiKey } from './new-key';

type Work<Result> = (change: KeyChange) => Promise<Change<Result>>;

/**
 * Makes changes of keys. A change and its events are written in one transaction. The changes of one
 * lane are made one after the other: by default, those of the acting owner.
 */
@Injectable()
export class KeyChanges {
  /** Limits of a key without a rate limit of its own. */
  private readonly defaults: readonly DefaultRate[];
  /** Window of a rate limit without a window. */
  private readonly windowSeconds: number;

  constructor(
    private readonly trail: ChangeTrail,
    { rates }: DefaultRates,
    private readonly written: WrittenKeys,
    @Inject(API_KEY_OPTIONS) { rateLimit }: Pick<ResolvedApiKeyOptions, 'rateLimit'>,
  ) {
    this.defaults = rates;
    this.windowSeconds = rateLimit.windowSeconds;
  }

  /** Makes a change. If the events cannot be recorded, the change is rolled back. */
  async make<Result>(acting: Acting, work: Work<Result>, lane = ownerOf(acting)): Promise<Result> {
    const turn: Turn = { kind: 'change', lane };
    const result = await this.trail.make((session) => work(this.changeOf(session, acting)), turn);
    const apiKey = result instanceof IssuedApiKey ? result.apiKey : result;
    if (apiKey instanceof ApiKey) this.written.noteWritten(apiKey);
    return result;
  }

  /**
   * Makes a change that ends keys. It goes before other changes, and is tried again until its
   * deadline.
   */
  end<Result>(acting: Acting, work: Work<Result>, lane = ownerOf(acting)): Promise<Result> {
    return this.trail.make((session) => work(this.changeOf(session, acting)), { kind: 'ending', lane });
  }

  /** Does the same as `end`, even if the events cannot be recorded. The log has the events then. */
  makeRegardless<Result>(acting: Acting, work: Work<Result>, lane = ownerOf(acting)): Promise<Result> {
    const turn: Turn = { kind: 'ending', lane };
    return this.trail.makeRegardless((session) => work(this.changeOf(session, acting)), turn);
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
