import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Client, Notification } from 'pg';
import type { DataSource } from 'typeorm';
import { wordsOf } from '../error-words';
import { inTime } from '../eventually';
import { apiKeyTable, trustTable } from './api-key.row';
import { BackOff } from './back-off';
import { type Clock, type Moment, momentOf } from './clock';
import { FEED_TRIGGERS, feedChannel } from './feed-names';
import type { Lease } from './lease';
import { sideClient } from './side-client';
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

/** A listener in the background keeps no process alive; `pg` has this and does not type it. */
interface Unreferenced {
  unref(): void;
}

/** One listening connection, and the heartbeats that it has sent: those of another never count for it. */
interface Session {
  readonly client: Client;
  readonly heartbeatChannel: string;
  readonly sent: Map<string, Moment>;
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
  private readonly stopped = new AbortController();
  private running: Promise<void> = Promise.resolve();
  private reported = '';

  constructor(
    private readonly dataSource: DataSource,
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
    const client = sideClient(this.dataSource, 'nestjs-api-key feed');
    const heartbeatChannel = `nestjs_api_key_${randomBytes(12).toString('hex')}`;
    const session: Session = { client, heartbeatChannel, sent: new Map() };
    const over = new AbortController();
    const ended = endOf(client, this.stopped.signal, over.signal);
    try {
      await Promise.race([client.connect(), ended]);
      (client as Client & Unreferenced).unref();
      const oid = await Promise.race([this.open(session, over.signal), ended]);
      await Promise.race([this.beat(session, oid, over.signal), ended]);
    } finally {
      over.abort();
      client.removeAllListeners('notification');
      await close(client);
    }
  }

  /** Answers the oid of the table whose changes it hears. */
  private async open(session: Session, over: AbortSignal): Promise<string> {
    const { client, heartbeatChannel } = session;
    const table = apiKeyTable(this.dataSource);
    const { rows } = await client.query(
      'SELECT $1::regclass::oid::text AS oid, pg_is_in_recovery() AS standby',
      [table],
    );
    const [{ oid, standby }] = rows as [{ oid: string; standby: boolean }];
    if (standby) throw new Error('the connection leads to a replica, which knows no revocation in time');
    await this.checkTriggers(client);
    await client.query(raiseTrust(trustTable(this.dataSource)), [this.options.trustMs]);
    const channel = feedChannel(oid);
    client.on('notification', (note) => this.heard(session, note.channel, String(note.payload)));
    await client.query(`LISTEN ${channel}; LISTEN ${heartbeatChannel}`);
    await this.prove(session, over);
    over.throwIfAborted();
    this.lease.begin();
    this.listener.clear();
    return oid;
  }

  /**
   * Lets another connection send a note while this one is idle. A pooler in transaction mode loses it, and those of revocations too,
   * though heartbeats may come back, for they come within a statement.
   */
  private async prove({ client, heartbeatChannel }: Session, over: AbortSignal): Promise<void> {
    const arrived = arrivalOf(PROBE, client, heartbeatChannel);
    const other = sideClient(this.dataSource, 'nestjs-api-key probe');
    const end = () => void close(other);
    other.on('error', () => {});
    over.addEventListener('abort', end, { once: true });
    try {
      await other.connect();
      await other.query('SELECT pg_notify($1, $2)', [heartbeatChannel, PROBE]);
    } finally {
      over.removeEventListener('abort', end);
      end();
    }
    over.throwIfAborted();
    await inTime(PROBE_MS, Promise.race([arrived, once(over, 'abort')]), unproven);
  }

  /** Sends heartbeats until one does not come back in time, the table is another one, or the session is over. */
  private async beat(
    { client, heartbeatChannel, sent }: Session,
    oid: string,
    over: AbortSignal,
  ): Promise<never> {
    const table = apiKeyTable(this.dataSource);
    const everyChecks = Math.ceil(this.checkMs / this.options.heartbeatMs);
    for (let n = 1; ; n++) {
      const moment = momentOf(this.clock);
      const oldest = sent.values().next().value ?? moment;
      if (moment.monotonic - oldest.monotonic > this.options.leaseMs + this.options.heartbeatMs)
        throw new Error('heartbeats no longer come back');
      sent.set(String(n), moment);
      const { rows } = await client.query<{ oid: string | null }>({
        name: 'nestjs_api_key_beat',
        text: 'SELECT pg_notify($1, $2), to_regclass($3)::oid::text AS oid',
        values: [heartbeatChannel, String(n), table],
      });
      if (rows[0]?.oid !== oid) throw new FeedMissing(`table ${table} was replaced by another one`, false);
      if (this.reported !== '') this.report(null);
      if (n % everyChecks === 0) await this.checkTriggers(client);
      await delay(this.options.heartbeatMs, undefined, { signal: over, ref: false });
    }
  }

  private heard(session: Session, channel: string, payload: string): void {
    if (channel === session.heartbeatChannel) this.cameBack(session, payload);
    else if (payload === '*') this.listener.clear();
    else if (payload === '+') this.listener.evictUnknown();
    else if (payload.startsWith('u:')) this.listener.evictOwner(payload.slice(2));
    else this.listener.evict(payload);
  }

  private cameBack({ sent }: Session, payload: string): void {
    const moment = sent.get(payload);
    sent.delete(payload);
    if (moment) this.lease.renew(moment);
  }

  private async checkTriggers(client: Client): Promise<void> {
    const { rows } = await client.query(
      `SELECT ARRAY(SELECT tgname::text FROM pg_trigger WHERE tgrelid = $1::regclass AND tgenabled = 'A' AND NOT tgisinternal) AS present`,
      [apiKeyTable(this.dataSource)],
    );
    const [{ present }] = rows as [{ present: string[] }];
    const missing = FEED_TRIGGERS.filter((name) => !present.includes(name));
    if (missing.length > 0)
      throw new FeedMissing(
        `triggers ${missing.join(', ')} are missing or not ENABLE ALWAYS: run the migrations of apiKeyMigrations()`,
        true,
      );
  }

  /** Says once what is wrong, and once that it is right again. */
  private report(error: unknown): void {
    const words = error === null ? '' : wordsOf(error);
    if (words === this.reported) return;
    this.reported = words;
    if (words === '') this.logger.log('The revocation feed is back: keys are cached again.');
    else this.logger.warn(`No revocation feed, so keys are looked up at each request: ${words}`);
  }
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

/** Ends a connection without waiting for one that does not answer. */
async function close(client: Client): Promise<void> {
  const { connection } = client as unknown as {
    readonly connection: { readonly stream: { destroy(): void } };
  };
  await Promise.race([client.end().catch(() => {}), delay(CLOSE_MS, undefined, { ref: false })]);
  connection.stream.destroy();
}
