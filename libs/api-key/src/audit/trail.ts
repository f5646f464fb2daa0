import { Injectable } from '@nestjs/common';
import type { ClientBase } from 'pg';
import type { Row } from '../database/as-text';
import { briefTransaction } from '../database/brief-transaction';
import { Database } from '../database/database';
import { date, json, moment, text, textOrNull } from '../database/fields';
import { asText, EQUALS } from '../database/own-names';
import { Session } from '../database/session';
import type { Turn } from '../database/turns';
import type { ApiKey } from '../model/api-key.entity';
import type { ApiKeyEvent, ApiKeyEventSink, ChangeEvent, RecordedApiKeyEvent } from '../model/api-key.event';

const BATCH = 10_000;
/** No time limit in this process, because the connection is one of the application. */
const NO_LIMIT = 0;

/** Stores events in the table `api_key_events`. Events remain after their key is deleted. */
@Injectable()
export class Trail implements ApiKeyEventSink {
  constructor(private readonly database: Database) {}

  record(events: readonly ApiKeyEvent[]): Promise<void> {
    return briefTransaction(this.database, (session) => this.recordIn(session, events));
  }

  /** Writes events in the transaction of the session, at most 10,000 per statement. */
  async recordIn(session: Session, events: readonly ApiKeyEvent[]): Promise<void> {
    for (let at = 0; at < events.length; at += BATCH)
      await this.insert(session, events.slice(at, at + BATCH));
  }

  /** Inserts events. Sends each time as an age, because the clock of this machine may be wrong. */
  private async insert(session: Session, events: readonly ApiKeyEvent[]): Promise<void> {
    const now = Date.now();
    await session.run(
      `INSERT INTO ${session.tables.events}
         (type, key_id, masked, user_id, actor_type, actor_id, address, request_id, details, created_at)
       SELECT type, key_id, masked, user_id, actor_type, actor_id, address, request_id, details,
         clock_timestamp() - age * interval '1 millisecond'
       FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::jsonb[], $10::float8[])
         AS e (type, key_id, masked, user_id, actor_type, actor_id, address, request_id, details, age)`,
      [
        events.map(({ type }) => type),
        events.map(({ keyId }) => keyId),
        events.map(({ masked }) => masked),
        events.map(({ userId }) => userId),
        events.map(({ actor }) => actor.type),
        events.map(({ actor }) => actor.id),
        events.map(({ address }) => address),
        events.map(({ requestId }) => requestId),
        events.map(({ details }) => JSON.stringify(details)),
        events.map(({ at }) => Math.max(0, now - at.getTime())),
      ],
    );
  }

  /**
   * Returns the id of an event that the session has just written. The owner of the key is locked,
   * so the event is the newest of its type.
   * @returns null if a trigger of the application suppressed the event
   */
  async newestIn(session: Session, { keyId, type }: ChangeEvent): Promise<string | null> {
    const row = await session.row(
      `SELECT max(id)::text AS newest FROM ${session.tables.events} WHERE key_id = $1::bigint AND type = $2`,
      [keyId, type],
    );
    return textOrNull(row, 'newest');
  }

  /**
   * Returns those of some events that exist. Works outside of a transaction.
   * @param client the connection
   */
  async existing(client: ClientBase, ids: readonly string[]): Promise<ReadonlySet<string>> {
    const { tables } = this.database;
    const rows = await new Session(client, tables, NO_LIMIT).rows(
      `SELECT ${asText('id')} FROM ${tables.events} WHERE id ${EQUALS} ANY ($1::pg_catalog.int8[])`,
      [ids],
    );
    return new Set(rows.map((row) => text(row, 'id')));
  }

  /**
   * Returns the events of a key, newest first. If `owner` is set, returns only events of this
   * owner.
   */
  async of(
    keyId: string,
    {
      owner,
      before,
      limit,
    }: { readonly owner: string | null; readonly before: string | null; readonly limit: number },
    turn: Turn,
  ): Promise<RecordedApiKeyEvent[]> {
    const rows = await this.database.read(
      (session) =>
        session.rows(
          `SELECT id::text, type::text, key_id::text, masked::text, user_id::text, actor_type::text, actor_id::text,
             address::text, request_id::text, details::text, ${moment('created_at')} AS created_at
           FROM ${session.tables.events}
           WHERE key_id = $1::bigint AND ($2::text IS NULL OR user_id = $2) AND ($3::bigint IS NULL OR id < $3)
           ORDER BY ${session.tables.events}.id DESC LIMIT $4`,
          [keyId, owner, before, limit],
        ),
      turn,
    );
    return rows.map(eventFromRow);
  }

  /**
   * Deletes at most `limit` events that are older than `olderThanDays`. Returns the number of
   * deleted events.
   */
  async prune(olderThanDays: number, limit: number): Promise<number> {
    return this.database.transaction(
      (session) => {
        const { events } = session.tables;
        return session.run(
          `DELETE FROM ${events} WHERE id IN (
             SELECT id FROM ${events} WHERE created_at < clock_timestamp() - $1 * interval '1 day' ORDER BY created_at LIMIT $2)`,
          [olderThanDays, limit],
        );
      },
      { turn: { kind: 'change', lanes: [] } },
    );
  }
}

/** Returns the fields of an event that identify a key. */
export function subjectOf({ id, masked, userId }: ApiKey): Pick<ChangeEvent, 'keyId' | 'masked' | 'userId'> {
  return { keyId: id, masked, userId };
}

function eventFromRow(row: Row): RecordedApiKeyEvent {
  return {
    id: text(row, 'id'),
    type: text(row, 'type'),
    keyId: textOrNull(row, 'key_id'),
    masked: textOrNull(row, 'masked'),
    userId: textOrNull(row, 'user_id'),
    actor: { type: text(row, 'actor_type'), id: textOrNull(row, 'actor_id') },
    address: textOrNull(row, 'address'),
    requestId: textOrNull(row, 'request_id'),
    at: date(row, 'created_at'),
    details: json(row, 'details'),
  } as RecordedApiKeyEvent;
}
