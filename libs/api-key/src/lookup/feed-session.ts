import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from 'pg';
import type { Row } from '../database/as-text';
import type { Database } from '../database/database';
import { flag, number, text, textOrNull } from '../database/fields';
import { FULL_QUEUE, isFullQueue } from '../database/full-queue';
import { replica } from '../database/replica';
import { NO_ROW_SECURITY } from '../database/row-security';
import { Session } from '../database/session';
import type { Tables } from '../database/tables';
import { type Clock, momentOf } from './clock';
import { readDefinition } from './definition';
import { type FeedListener, tell } from './feed-listener';
import { checkFeedTriggers, FeedMissing } from './feed-missing';
import { feedChannel } from './feed-names';
import type { FeedReport } from './feed-report';
import { lost, proveArrival } from './feed-trial';
import { Heartbeats } from './heartbeats';
import type { Lease } from './lease';
import type { QueueWatch } from './queue-watch';
import { areManySilentChanges, forgetSilentChanges, readSilentChanges } from './silent-changes';
import { isTrustKnown, raiseTrust } from './trust-bound';

/** Options of the revocation feed. */
export interface FeedOptions {
  /** Milliseconds between two heartbeats. */
  readonly heartbeatMs: number;
  /**
   * Milliseconds that the lease lasts. The session is closed if a heartbeat does not come back
   * within `leaseMs` plus `heartbeatMs`.
   */
  readonly leaseMs: number;
  /**
   * Maximum milliseconds for which this instance trusts its cache. `revoke` with `everywhere` waits
   * this long.
   */
  readonly trustMs: number;
  /** Milliseconds between two checks that the triggers of the revocation feed exist. */
  readonly checkMs: number;
}

/** Objects that all sessions of a revocation feed share. */
export interface FeedContext {
  readonly database: Database;
  readonly lease: Lease;
  readonly listener: FeedListener;
  readonly options: FeedOptions;
  readonly clock: Clock;
  readonly queue: QueueWatch;
  readonly report: FeedReport;
}

/** Milliseconds after which a statement of the listening session fails. */
const STATEMENT_MS = 5_000;
/**
 * Statement that turns off the time-out of idle sessions (PostgreSQL 14). The listening session is
 * idle between two heartbeats.
 */
const KEEP_SESSION = `SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout'`;
/**
 * Statement that makes names refer to PostgreSQL's own objects, whatever the search path of the
 * database or role is.
 */
const OWN_NAMES = 'SET search_path = pg_catalog, pg_temp';
/**
 * SQL expression for the usage of the notification queue, from 0 to 1. Reading the usage also
 * removes notifications that no session needs any more. PostgreSQL does not remove these
 * notifications when the last listening session ends.
 */
const QUEUE_USAGE = 'pg_notification_queue_usage()::numeric::text';

/** Returns the first query of a listening session. The query's parameter is the table of keys. */
function beginning(silentChanges: string): string {
  return `SELECT $1::regclass::oid::text AS oid, pg_is_in_recovery()::text AS standby, ${QUEUE_USAGE} AS usage,
    ${readSilentChanges(silentChanges)} AS silent, ${readDefinition('$1::regclass')} AS definition`;
}

/**
 * Returns the statement of a heartbeat. The parameters of the statement are the channel, the number
 * of the heartbeat, the table of keys, and the milliseconds that this instance trusts its cache.
 */
function heartbeat({ silentChanges, trust }: Tables): string {
  return `SELECT pg_notify($1, $2), to_regclass($3)::oid::text AS oid, ${isTrustKnown(trust, '$4')}::text AS trust_known,
    EXISTS (SELECT FROM pg_listening_channels() AS channel WHERE channel = $1)::text AS listens,
    ${readSilentChanges(silentChanges)} AS silent, ${readDefinition('to_regclass($3)')} AS definition, ${QUEUE_USAGE} AS usage`;
}

/**
 * One listening connection and its heartbeats. Each session ignores the heartbeats of other
 * sessions.
 */
export class FeedSession {
  private readonly heartbeatChannel = `nestjs_api_key_${randomBytes(12).toString('hex')}`;
  private readonly heartbeats: Heartbeats;

  /** The oid of the table of keys. */
  private readonly oid: string;
  /** Version of the table of keys at the last check of its triggers. */
  private definition: string;

  /**
   * @param beginning the result of the first query of the session
   * @param over aborted when the session has ended
   */
  private constructor(
    private readonly context: FeedContext,
    private readonly statements: Session,
    beginning: Row,
    private readonly over: AbortSignal,
  ) {
    this.oid = text(beginning, 'oid');
    this.definition = text(beginning, 'definition');
    this.heartbeats = new Heartbeats(text(beginning, 'silent'), {
      clear: () => context.listener.clear(),
      renew: (sent) => {
        if (!over.aborted) context.lease.renew(sent);
      },
    });
  }

  /**
   * Opens a listening session on a connection. Then clears the cache and begins the lease.
   * @throws FeedMissing if changes send no notification
   * @throws Error if notifications do not arrive on this connection
   */
  static async open(client: Client, context: FeedContext, over: AbortSignal): Promise<FeedSession> {
    const { database, queue, options } = context;
    const { tables } = database;
    const statements = new Session(client, tables, STATEMENT_MS);
    await statements.run(`${OWN_NAMES}; ${NO_ROW_SECURITY}`);
    const row = await statements.row(beginning(tables.silentChanges), [tables.keys]);
    queue.observe(number(row, 'usage'));
    if (flag(row, 'standby')) throw replica();
    await checkFeedTriggers(statements);
    await database.transaction((session) => session.run(raiseTrust(tables.trust), [options.trustMs]));
    const session = new FeedSession(context, statements, row, over);
    await session.listen(client);
    return session;
  }

  /**
   * Sends heartbeats until an error ends the session. The error can be a heartbeat that does not
   * come back in time, or a replaced table of keys. It can also be a table of the trust bound that
   * no longer covers this instance, or the end of the session.
   */
  async beat(): Promise<never> {
    const { clock, options } = this.context;
    const { heartbeatMs, leaseMs, checkMs } = options;
    const everyChecks = Math.ceil(checkMs / heartbeatMs);
    for (let n = 1; ; n++) {
      const moment = momentOf(clock);
      const oldest = this.heartbeats.oldest ?? moment;
      if (moment.monotonic - oldest.monotonic > leaseMs + heartbeatMs)
        throw new Error('heartbeats no longer return');
      await this.send(this.heartbeats.begin(moment));
      this.over.throwIfAborted();
      if (n % everyChecks === 0) await checkFeedTriggers(this.statements);
      await delay(heartbeatMs, undefined, { signal: this.over, ref: false });
    }
  }

  private async listen(client: Client): Promise<void> {
    const { database, lease, listener } = this.context;
    client.on('notification', ({ channel, payload }) => this.hear(channel, String(payload)));
    await this.statements.run(KEEP_SESSION);
    await this.statements.run(`LISTEN ${feedChannel(this.oid)}`);
    await this.statements.run(`LISTEN ${this.heartbeatChannel}`);
    await proveArrival(database, client, this.heartbeatChannel, this.over);
    this.over.throwIfAborted();
    lease.begin();
    listener.clear();
  }

  private hear(channel: string, payload: string): void {
    if (channel === this.heartbeatChannel) this.heartbeats.arrive(payload);
    else tell(this.context.listener, payload);
  }

  /**
   * Sends a heartbeat. While the notification queue is full, no heartbeat can be sent. The session
   * then continues to listen, and the lease expires.
   */
  private async send(number: string): Promise<void> {
    const { database, options } = this.context;
    const { tables } = database;
    const answer = await this.statements
      .named('nestjs_api_key_beat')
      .row(heartbeat(tables), [this.heartbeatChannel, number, tables.keys, options.trustMs])
      .catch(nullIfFull);
    if (answer === null) this.skip(number);
    else await this.read(number, answer);
  }

  private skip(number: string): void {
    const { queue, report } = this.context;
    this.heartbeats.fail(number);
    queue.observe(1);
    report.failed(new Error(FULL_QUEUE));
  }

  private async read(beat: string, answer: Row): Promise<void> {
    const { database, queue, report } = this.context;
    const { keys, silentChanges, trust } = database.tables;
    if (textOrNull(answer, 'oid') !== this.oid)
      throw new FeedMissing(`table ${keys} was replaced by another table`, false);
    if (!flag(answer, 'trust_known')) throw new FeedMissing(`table ${trust} was emptied or changed`, false);
    if (!flag(answer, 'listens')) throw lost();
    await this.follow(text(answer, 'definition'));
    const silent = text(answer, 'silent');
    this.heartbeats.read(beat, silent);
    queue.observe(number(answer, 'usage'));
    report.works();
    if (areManySilentChanges(silent))
      await database.transaction((session) => session.run(forgetSilentChanges(silentChanges)));
  }

  /** Clears the cache if the table of keys or its triggers changed, before the lease is renewed. */
  private async follow(definition: string): Promise<void> {
    if (definition === this.definition) return;
    await checkFeedTriggers(this.statements);
    this.definition = definition;
    this.context.listener.clear();
  }
}

function nullIfFull(error: unknown): null {
  if (isFullQueue(error)) return null;
  throw error;
}
