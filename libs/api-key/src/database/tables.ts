import type { DataSource } from 'typeorm';
import { ApiKey } from '../model/api-key.entity';
import { quoteIn } from './names';

/** The quoted names of what is ours, each with its schema. */
export class Tables {
  readonly keys: string;
  /** The trail. */
  readonly events: string;
  /** How long instances may use what they cached. */
  readonly trust: string;
  /** Transactions whose changes were not notified. */
  readonly silentChanges: string;
  /** What is used of quotas. */
  readonly quotas: string;
  /** What is used of rate limits. */
  readonly windows: string;
  /** How much keys are used. */
  readonly usage: string;

  /**
   * @param schema null: the search path leads to it
   * @param table of keys
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

  /** All of them. */
  get all(): readonly string[] {
    const { keys, events, trust, silentChanges, quotas, windows, usage } = this;
    return [keys, events, trust, silentChanges, quotas, windows, usage];
  }

  /** The quoted name of anything else of ours, in the schema of the table of keys. */
  beside(name: string): string {
    return quoteIn(this.schema, this.table.replace(/api_keys$/, name));
  }
}

/**
 * The names in the schema that the data source names, else in the one that its first connection
 * found: what a session that others use as well has set since does not count.
 */
export function tablesOf(dataSource: DataSource): Tables {
  const { schema, tableName } = dataSource.getMetadata(ApiKey);
  return new Tables(schema || dataSource.driver.schema || null, tableName);
}
