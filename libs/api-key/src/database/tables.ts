import type { DataSource } from 'typeorm';
import { ApiKey } from '../model/api-key.entity';
import { quoteName } from './names';

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

  /** @param path of the table of keys, `schema.api_keys` */
  constructor(private readonly path: string) {
    this.keys = quoteName(path);
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
    return quoteName(this.path.replace(/api_keys$/, name));
  }
}

/**
 * The names in the schema that the data source names, else in the one that its first connection
 * found: what a session that others use as well has set since does not count.
 */
export function tablesOf(dataSource: DataSource): Tables {
  const { tablePath } = dataSource.getMetadata(ApiKey);
  const { schema } = dataSource.driver;
  return new Tables(tablePath.includes('.') || !schema ? tablePath : `${schema}.${tablePath}`);
}
