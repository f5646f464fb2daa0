import { Inject, Injectable } from '@nestjs/common';
import { type Change, ChangeTrail } from '../audit/change-trail';
import type { JoinedTransaction } from '../database/joined-transaction';
import type { Session } from '../database/session';
import type { Turn } from '../database/turns';
import type { Acting } from '../model/acting';
import { ApiKey } from '../model/api-key.entity';
import { type DefaultRate, DefaultRates } from '../model/authority';
import { WrittenKeys } from '../model/written-keys';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import type { KeyChange } from './key-change';
import { KeyRules } from './key-rules';
import { endingTurn, lanesOf } from './lanes';
import { IssuedApiKey } from './new-key';

type Work<Result> = (change: KeyChange) => Promise<Change<Result>>;

/**
 * Makes changes of keys. A change and its events are written in one transaction. The changes of one
 * owner are made one after the other. If the application itself acts, `target` says in place of the
 * owner which changes wait for each other.
 */
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
    private readonly written: WrittenKeys,
    @Inject(API_KEY_OPTIONS) { rateLimit }: Pick<ResolvedApiKeyOptions, 'rateLimit'>,
  ) {
    this.defaults = rates;
    this.windowSeconds = rateLimit.windowSeconds;
  }

  /**
   * Makes a change. If the events cannot be recorded, the change is rolled back.
   * @param joined the transaction of the application; null: a transaction of its own
   */
  async make<Result>(
    acting: Acting,
    work: Work<Result>,
    target: string | null = null,
    joined: JoinedTransaction | null = null,
  ): Promise<Result> {
    const inSession = (session: Session) => work(this.changeOf(session, acting));
    if (joined) return this.trail.makeIn(joined, inSession, (result) => this.note(result));
    const turn: Turn = { kind: 'change', lanes: lanesOf(acting, target) };
    const result = await this.trail.make(inSession, turn);
    this.note(result);
    return result;
  }

  /**
   * Makes a change that ends keys. It goes before other changes, and is tried again until its
   * deadline.
   */
  end<Result>(acting: Acting, work: Work<Result>, target: string | null): Promise<Result> {
    return this.trail.make((session) => work(this.changeOf(session, acting)), endingTurn(acting, target));
  }

  /**
   * Does the same as `end`, even if the events cannot be recorded. The log has the events then.
   * @param isDone whether the keys have ended meanwhile; it must not wait for other changes
   */
  makeRegardless<Result>(
    acting: Acting,
    work: Work<Result>,
    target: string,
    isDone = async () => false,
  ): Promise<Result> {
    const turn = { ...endingTurn(acting, target), isDone };
    return this.trail.makeRegardless((session) => work(this.changeOf(session, acting)), turn);
  }

  private note(result: unknown): void {
    const apiKey = result instanceof IssuedApiKey ? result.apiKey : result;
    if (apiKey instanceof ApiKey) this.written.noteWritten(apiKey);
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
