import type { DataSource } from 'typeorm';
import { ApiKey } from '../model/api-key.entity';
import { quoteIn } from './names';

/** The quoted names of the library's tables, each with its schema. */
export class Tables {
  readonly keys: string;
  /** The audit trail. */
  readonly events: string;
  /** How long instances may use their cache. */
  readonly trust: string;
  /** Transactions that changed keys or owners without a notification. */
  readonly silentChanges: string;
  /** How much of each quota is used. */
  readonly quotas: string;
  /** How much of each rate limit is used. */
  readonly windows: string;
  /** How much each key is used. */
  readonly usage: string;

  /**
   * @param schema null: PostgreSQL finds the table through the search path
   * @param table the name of the table of keys
   */
  constructor(
    private readonly schema: string | null,
    private readonly table = 'api_keys',
  ) {
    this.keys = quoteIn(schema, table);
    this.events = this.beside('api_key_events');
    this.trust = this.beside('api_key_trust');
    this.silentChanges = this.beside('api_key_silent_changes');
    this.quotas = this.beside('api_key_quotas');
    this.windows = this.beside('api_key_windows');
    this.usage = this.beside('api_key_usage');
  }

  /** All tables. */
  get all(): readonly string[] {
    const { keys, events, trust, silentChanges, quotas, windows, usage } = this;
    return [keys, events, trust, silentChanges, quotas, windows, usage];
  }

  /** The quoted name of another object of the library, in the schema of the table of keys. */
  beside(name: string): string {
    return quoteIn(this.schema, this.table.replace(/api_keys$/, name));
  }
}

/**
 * The tables in the schema that the data source sets. If it sets none: in the schema that its first
 * connection found. A search path that somebody sets in a shared session later does not count.
 */
export function tablesOf(dataSource: DataSource): Tables {
  const { schema, tableName } = dataSource.getMetadata(ApiKey);
  return new Tables(schema || dataSource.driver.schema || null, tableName);
}
