import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Client, Notification } from 'pg';
import type { Database } from '../database/database';
import {
  createFeedTrigger,
  enableAlways,
  FEED_FUNCTION,
  FEED_TRIGGER_NAMES,
} from '../database/feed-triggers';
import { flag, number, text, textOrNull } from '../database/fields';
import { FULL_QUEUE, isFullQueue } from '../database/full-queue';
import { replica } from '../database/replica';
import { NO_ROW_SECURITY } from '../database/row-security';
import { Session } from '../database/session';
import { wordsOf } from '../model/error-words';
import { inTime } from '../model/eventually';
import { BackOff } from './back-off';
import { type Clock, momentOf } from './clock';
import { feedChannel } from './feed-names';
import { Heartbeats } from './heartbeats';
import type { Lease } from './lease';
import { QueueWatch } from './queue-watch';
import { areManySilentChanges, forgetSilentChanges, readSilentChanges } from './silent-changes';
import { raiseTrust } from './trust-bound';

/** What the feed tells. */
export interface FeedListener {
  /** A key changed or went. */
  evict(id: string): void;
  /** A key was inserted. */
  evictUnknown(): void;
  /** An owner changed or went. */
  evictOwner(userId: string): void;
  /** Anything may have changed. */
  clear(): void;
}

/** How the feed listens. */
export interface FeedOptions {
  /** Milliseconds between two heartbeats. */
  readonly heartbeatMs: number;
  /** Milliseconds, beyond one heartbeat, after which a session whose heartbeats do not come back is given up. */
  readonly leaseMs: number;
  /** The longest that this instance trusts what it remembers, in milliseconds, for `revoke` with `everywhere`. */
  readonly trustMs: number;
  /** Milliseconds between two checks that its triggers are there. Default 60,000. */
  readonly checkMs?: number;
}

const CLOSE_MS = 100;
const PROBE = 'probe';
const PROBE_MS = 2_000;
const CHECK_MS = 60_000;
/** Milliseconds after which a statement of the session has failed. */
const STATEMENT_MS = 5_000;
/** PostgreSQL 14 ends a session that is idle, as this one is between heartbeats. */
const KEEP_SESSION = `SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout'`;
/** Names mean those of PostgreSQL, whatever the search path of the database or role is. */
const OWN_NAMES = 'SET search_path = pg_catalog, pg_temp';
/**
 * To ask for it also empties the queue of what nobody waits for any more: PostgreSQL does not do
 * that when the last session that did ends.
 */
const QUEUE_USAGE = 'pg_notification_queue_usage()::numeric::text';

/** A listener in the background keeps no process alive; `pg` has this, `pg-native` has not. */
interface Unreferenced {
  unref?(): void;
}

/** One listening connection, and the heartbeats that it has sent: those of another never count for it. */
interface FeedSession {
  readonly client: Client;
  readonly statements: Session;
  readonly heartbeatChannel: string;
  readonly heartbeats: Heartbeats;
  /** Of the table whose changes it hears. */
  readonly oid: string;
}

/** Changes of keys are not told: what is remembered may have been revoked. */
class FeedMissing extends Error {
  /** @param isHopeless whether it will not be otherwise in a moment */
  constructor(
    message: string,
    readonly isHopeless: boolean,
  ) {
    super(message);
  }
}

/** Listens on a connection of its own to the primary for changes of keys, and renews the lease by its heartbeats. */
export class RevocationFeed implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new Logger('ApiKeyModule');
  private readonly queue = new QueueWatch(this.logger);
  private readonly stopped = new AbortController();
  private running: Promise<void> = Promise.resolve();
  private reported = '';

  constructor(
    private readonly database: Database,
    private readonly lease: Lease,
    private readonly listener: FeedListener,
    private readonly options: FeedOptions,
    private readonly clock: Clock,
  ) {}

  onApplicationBootstrap(): void {
    this.running = this.run();
  }

  async onApplicationShutdown(): Promise<void> {
    this.stopped.abort();
    await this.running;
  }

  /**
   * How full the notification queue of the server is, from 0 to 1; null while it does not listen.
   */
  get queueUsage(): number | null {
    return this.queue.usage;
  }

  private get checkMs(): number {
    return this.options.checkMs ?? CHECK_MS;
  }

  private async run(): Promise<void> {
    const backOff = new BackOff();
    while (!this.stopped.signal.aborted) {
      const began = this.clock.monotonic();
      const error = await this.listen().catch((reason: unknown) => reason);
      if (error instanceof FeedMissing && this.lease.session !== null) this.listener.clear();
      this.lease.lose();
      this.queue.observe(null);
      if (this.stopped.signal.aborted) return;
      this.report(error);
      const heldMs = this.clock.monotonic() - began;
      const isHopeless = error instanceof FeedMissing && error.isHopeless;
      const waitMs = isHopeless ? this.checkMs : backOff.next(heldMs);
      await delay(waitMs, undefined, { signal: this.stopped.signal, ref: false }).catch(() => {});
    }
  }

  /** One listening session; it ends by an error or by the shutdown. */
  private async listen(): Promise<void> {
    const client = this.database.sideClient('nestjs-api-key feed');
    const over = new AbortController();
    let connecting: Promise<unknown> = Promise.resolve();
    const ended = endOf(client, this.stopped.signal, over.signal);
    try {
      connecting = client.connect();
      await Promise.race([connecting, ended]);
      (client as Client & Unreferenced).unref?.();
      const session = await Promise.race([this.open(client, over.signal), ended]);
      await Promise.race([this.beat(session, over.signal), ended]);
    } finally {
      over.abort();
      client.removeAllListeners('notification');
      await close(client, connecting);
    }
  }

  private async open(client: Client, over: AbortSignal): Promise<FeedSession> {
    const { tables } = this.database;
    const statements = new Session(client, tables, STATEMENT_MS);
    await statements.run(`${OWN_NAMES}; ${NO_ROW_SECURITY}`);
    const row = await statements.row(
      `SELECT $1::regclass::oid::text AS oid, pg_is_in_recovery()::text AS standby, ${QUEUE_USAGE} AS usage,
         ${readSilentChanges(tables.silentChanges)} AS silent`,
      [tables.keys],
    );
    const [oid, silent] = [text(row, 'oid'), text(row, 'silent')];
    this.queue.observe(number(row, 'usage'));
    if (flag(row, 'standby')) throw replica();
    await this.checkTriggers(statements);
    await this.database.transaction((session) =>
      session.run(raiseTrust(tables.trust), [this.options.trustMs]),
    );
    const channel = feedChannel(oid);
    const heartbeatChannel = `nestjs_api_key_${randomBytes(12).toString('hex')}`;
    const heartbeats = new Heartbeats(silent, {
      clear: () => this.listener.clear(),
      renew: (sent) => {
        if (!over.aborted) this.lease.renew(sent);
      },
    });
    const session: FeedSession = { client, statements, heartbeatChannel, heartbeats, oid };
    client.on('notification', (note) => this.heard(session, note.channel, String(note.payload)));
    await statements.run(KEEP_SESSION);
    await statements.run(`LISTEN ${channel}`);
    await statements.run(`LISTEN ${heartbeatChannel}`);
    await this.prove(session, over);
    over.throwIfAborted();
    this.lease.begin();
    this.listener.clear();
    return session;
  }

  /**
   * Lets another connection send a note while this one is idle. A pooler in transaction mode loses it, and those of revocations too,
   * though heartbeats may come back, for they come within a statement.
   */
  private async prove({ client, heartbeatChannel }: FeedSession, over: AbortSignal): Promise<void> {
    const arrived = arrivalOf(PROBE, client, heartbeatChannel);
    const other = this.database.sideClient('nestjs-api-key probe');
    other.on('error', () => {});
    const connecting = other.connect();
    const end = () => void close(other, connecting);
    over.addEventListener('abort', end, { once: true });
    try {
      await connecting;
      const statements = new Session(other, this.database.tables, STATEMENT_MS);
      await statements.run('SELECT pg_catalog.pg_notify($1, $2)', [heartbeatChannel, PROBE]);
    } finally {
      over.removeEventListener('abort', end);
      end();
    }
    over.throwIfAborted();
    await inTime(PROBE_MS, Promise.race([arrived, once(over, 'abort')]), unproven);
  }

  /** Sends heartbeats until one does not come back in time, the table is another one, or the session is over. */
  private async beat(session: FeedSession, over: AbortSignal): Promise<never> {
    const { statements, heartbeats } = session;
    const everyChecks = Math.ceil(this.checkMs / this.options.heartbeatMs);
    for (let n = 1; ; n++) {
      const moment = momentOf(this.clock);
      const oldest = heartbeats.oldest ?? moment;
      if (moment.monotonic - oldest.monotonic > this.options.leaseMs + this.options.heartbeatMs)
        throw new Error('heartbeats no longer come back');
      await this.send(session, heartbeats.begin(moment));
      over.throwIfAborted();
      if (n % everyChecks === 0) await this.checkTriggers(statements);
      await delay(this.options.heartbeatMs, undefined, { signal: over, ref: false });
    }
  }

  /**
   * Sends one. While the queue is full none can be: the session goes on to listen, and the lease
   * ends by itself.
   */
  private async send(
    { statements, heartbeatChannel, heartbeats, oid }: FeedSession,
    beat: string,
  ): Promise<void> {
    const { keys, silentChanges } = this.database.tables;
    const answer = await statements
      .named('nestjs_api_key_beat')
      .row(
        `SELECT pg_notify($1, $2), to_regclass($3)::oid::text AS oid,
           EXISTS (SELECT FROM pg_listening_channels() AS channel WHERE channel = $1)::text AS listens, ${readSilentChanges(silentChanges)} AS silent,
           ${QUEUE_USAGE} AS usage`,
        [heartbeatChannel, beat, keys],
      )
      .catch(nullIfFull);
    if (answer === null) {
      heartbeats.fail(beat);
      this.queue.observe(1);
      this.report(new Error(FULL_QUEUE));
      return;
    }
    if (textOrNull(answer, 'oid') !== oid)
      throw new FeedMissing(`table ${keys} was replaced by another one`, false);
    if (!flag(answer, 'listens')) throw unproven();
    const silent = text(answer, 'silent');
    heartbeats.read(beat, silent);
    this.queue.observe(number(answer, 'usage'));
    if (this.reported !== '') this.report(null);
    if (areManySilentChanges(silent))
      await this.database.transaction((session) => session.run(forgetSilentChanges(silentChanges)));
  }

  private heard(session: FeedSession, channel: string, payload: string): void {
    if (channel === session.heartbeatChannel) session.heartbeats.arrive(payload);
    else if (payload === '*') this.listener.clear();
    else if (payload === '+') this.listener.evictUnknown();
    else if (payload.startsWith('u:')) this.listener.evictOwner(payload.slice(2));
    else this.listener.evict(payload);
  }

  private async checkTriggers(statements: Session): Promise<void> {
    const { tables } = this.database;
    const rows = await statements.rows(
      'SELECT tgname, tgenabled::text AS state FROM pg_trigger WHERE tgrelid = $1::regclass AND NOT tgisinternal',
      [tables.keys],
    );
    const states = new Map(rows.map((row) => [text(row, 'tgname'), text(row, 'state')]));
    const wrong = FEED_TRIGGER_NAMES.filter((name) => states.get(name) !== 'A');
    if (wrong.length === 0) return;
    const missing = wrong.filter((name) => !states.has(name));
    const statement = [
      ...missing.map((name) => createFeedTrigger(name, tables.keys, tables.beside(FEED_FUNCTION))),
      ...wrong.map((name) => enableAlways(name, tables.keys)),
    ].join('; ');
    throw new FeedMissing(
      `triggers ${wrong.join(', ')} are missing or not ENABLE ALWAYS: ` +
        `${missing.length > 0 ? 'call runMigrations(dataSource), which creates those that are missing, or run' : 'run'} ` +
        `as the owner of the table: ${statement}`,
      true,
    );
  }

  /** Says once what is wrong, and once that it is right again. */
  private report(error: unknown): void {
    const words = error === null ? '' : isFullQueue(error) ? FULL_QUEUE : wordsOf(error);
    if (words === this.reported) return;
    this.reported = words;
    if (words === '') this.logger.log('The revocation feed is back: keys are cached again.');
    else this.logger.warn(`No revocation feed, so keys are looked up at each request: ${words}`);
  }
}

function nullIfFull(error: unknown): null {
  if (isFullQueue(error)) return null;
  throw error;
}

/** Rejects when the connection ends, or the application does, which is listened for until the session is over. */
function endOf(client: Client, stopped: AbortSignal, over: AbortSignal): Promise<never> {
  const ended = new Promise<never>((_, reject) => {
    client.once('end', () => reject(new Error('the connection ended')));
    client.once('error', reject);
    stopped.addEventListener('abort', () => reject(new Error('the application ends')), {
      once: true,
      signal: over,
    });
  });
  ended.catch(() => {});
  client.on('error', () => {});
  return ended;
}

/** Resolves once a note has come. */
function arrivalOf(payload: string, client: Client, channel: string): Promise<void> {
  return new Promise((resolve) => {
    const hear = (note: Notification) => {
      if (note.channel !== channel || note.payload !== payload) return;
      client.off('notification', hear);
      resolve();
    };
    client.on('notification', hear);
  });
}

function unproven(): Error {
  return new Error(
    'notes of others do not arrive, as behind a pooler in transaction mode: give the library a data source that goes past it',
  );
}

/**
 * Ends a connection without waiting for one that does not answer; one that is being made, once it is:
 * `pg-native` ends the process if it is ended before.
 */
async function close(client: Client, connecting: Promise<unknown>): Promise<void> {
  const ended = connecting.then(() => client.end()).catch(() => {});
  const { connection } = client as unknown as {
    readonly connection?: { readonly stream?: { destroy(): void } };
  };
  await Promise.race([ended, delay(CLOSE_MS, undefined, { ref: false })]);
  connection?.stream?.destroy();
}
