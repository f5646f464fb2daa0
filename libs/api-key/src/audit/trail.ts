import type { DataSource, EntityManager } from 'typeorm';
import type { ApiKey } from '../api-key.entity';
import type { ApiKeyEvent, ApiKeyEventSink, RecordedApiKeyEvent } from '../api-key.event';
import { briefTransaction } from '../brief-transaction';
import { eventTable } from '../verification/api-key.row';

const BATCH = 10_000;

interface EventRow {
  readonly id: unknown;
  readonly type: ApiKeyEvent['type'];
  readonly key_id: unknown;
  readonly masked: string | null;
  readonly user_id: string | null;
  readonly actor_type: ApiKeyEvent['actor']['type'];
  readonly actor_id: string | null;
  readonly address: string | null;
  readonly request_id: string | null;
  readonly details: object;
  readonly created_at: Date;
}

/** The events in table `api_key_events`, which outlives the keys. */
export class Trail implements ApiKeyEventSink {
  constructor(private readonly dataSource: DataSource) {}

  record(events: readonly ApiKeyEvent[]): Promise<void> {
    return briefTransaction(this.dataSource, (manager) => this.recordIn(manager, events));
  }

  /** Writes events inside the transaction of the manager, so many a statement. */
  async recordIn(manager: EntityManager, events: readonly ApiKeyEvent[]): Promise<void> {
    for (let at = 0; at < events.length; at += BATCH)
      await this.insert(manager, events.slice(at, at + BATCH));
  }

  /** Times travel as ages, for this machine's clock may be wrong. */
  private async insert(manager: EntityManager, events: readonly ApiKeyEvent[]): Promise<void> {
    const now = Date.now();
    await manager.query(
      `INSERT INTO ${eventTable(this.dataSource)}
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

  /** The events of a key, newest first; of one owner where it is not null. */
  async of(
    keyId: string,
    {
      owner,
      before,
      limit,
    }: { readonly owner: string | null; readonly before: string | null; readonly limit: number },
  ): Promise<RecordedApiKeyEvent[]> {
    const rows = await this.dataSource.query<EventRow[]>(
      `SELECT id, type, key_id, masked, user_id, actor_type, actor_id, address, request_id, details, created_at
       FROM ${eventTable(this.dataSource)}
       WHERE key_id = $1::bigint AND ($2::text IS NULL OR user_id = $2) AND ($3::bigint IS NULL OR id < $3)
       ORDER BY id DESC LIMIT $4`,
      [keyId, owner, before, limit],
    );
    return rows.map(eventFromRow);
  }

  /** Removes the next so many events that are older; how many it removed. */
  async prune(olderThanDays: number, limit: number): Promise<number> {
    const table = eventTable(this.dataSource);
    const [, count] = await this.dataSource.query<[unknown[], number]>(
      `DELETE FROM ${table} WHERE id IN (
         SELECT id FROM ${table} WHERE created_at < clock_timestamp() - $1 * interval '1 day' ORDER BY created_at LIMIT $2)`,
      [olderThanDays, limit],
    );
    return count;
  }
}

/** What an event tells of a key. */
export function subjectOf({ id, masked, userId }: ApiKey): Pick<ApiKeyEvent, 'keyId' | 'masked' | 'userId'> {
  return { keyId: id, masked, userId };
}

function eventFromRow(row: EventRow): RecordedApiKeyEvent {
  return {
    id: String(row.id),
    type: row.type,
    keyId: String(row.key_id),
    masked: row.masked,
    userId: row.user_id,
    actor: { type: row.actor_type, id: row.actor_id },
    address: row.address,
    requestId: row.request_id,
    at: row.created_at,
    details: row.details,
  } as RecordedApiKeyEvent;
}
