import type { DataSource } from 'typeorm';
import { ApiKey } from '../model/api-key.entity';
import { KEYS_TABLE, keysTableOf, objectName } from './keys-table';
import { quoteIn } from './names';

/** The quoted names of the library's tables, each with its schema. */
export class Tables {
  readonly keys: string;
  /** Table of the audit trail. */
  readonly events: string;
  /** Table of the trust bound: the longest time that an instance may trust its cache. */
  readonly trust: string;
  /** Table of the transactions that changed keys or owners without a notification. */
  readonly silentChanges: string;
  /** Table of the used part of each quota. */
  readonly quotas: string;
  /** Table of the used part of each rate limit. */
  readonly windows: string;
  /** Table of the usage of each key. */
  readonly usage: string;

  /**
   * @param schema the schema, or null if PostgreSQL finds the table through the search path
   * @param name name of the table of keys
   */
  constructor(
    private readonly schema: string | null,
    readonly name = KEYS_TABLE,
  ) {
    this.keys = quoteIn(schema, name);
    this.events = this.beside('api_key_events');
    this.trust = this.beside('api_key_trust');
    this.silentChanges = this.beside('api_key_silent_changes');
    this.quotas = this.beside('api_key_quotas');
    this.windows = this.beside('api_key_windows');
    this.usage = this.beside('api_key_usage');
  }

  /** The quoted names of all tables. */
  get all(): readonly string[] {
    const { keys, events, trust, silentChanges, quotas, windows, usage } = this;
    return [keys, events, trust, silentChanges, quotas, windows, usage];
  }

  /**
   * Returns the quoted name of another object of the library, in the schema of the table of keys.
   * @param object its name beside a table `api_keys`
   */
  beside(object: string): string {
    return quoteIn(this.schema, objectName(this.name, object));
  }
}

/**
 * Returns the tables in the schema that the data source sets. If the data source sets no schema,
 * uses the schema that its first connection found. A search path that somebody sets later in a
 * shared session is ignored.
 */
export function tablesOf(dataSource: DataSource): Tables {
  const { schema } = dataSource.getMetadata(ApiKey);
  return new Tables(schema || dataSource.driver.schema || null, keysTableOf(dataSource));
}
