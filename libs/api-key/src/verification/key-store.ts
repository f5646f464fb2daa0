import type { DataSource } from 'typeorm';
import type { ApiKey } from '../api-key.entity';
import { API_KEY_COLUMNS, type ApiKeyRow, apiKeyFromRow, apiKeyTable } from './api-key.row';

/** A row of the table, with what the database's clock says of it. */
export interface StoredKey {
  readonly apiKey: ApiKey;
  readonly expired: boolean;
  readonly revoked: boolean;
}

interface StoredKeyRow extends ApiKeyRow {
  readonly expired: boolean;
  readonly revoked: boolean;
}

/** Looks keys up by digest: one indexed SELECT on the primary, outside any transaction. */
export class KeyStore {
  constructor(private readonly dataSource: DataSource) {}

  /** Expiry is judged by the database's clock, for that of this machine may be wrong. */
  async find(digest: string): Promise<StoredKey | null> {
    const [row] = await this.dataSource.query<StoredKeyRow[]>(
      `SELECT ${API_KEY_COLUMNS}, coalesce(expires_at <= clock_timestamp(), false) AS expired, revoked_at IS NOT NULL AS revoked
       FROM ${apiKeyTable(this.dataSource)} WHERE key_digest = $1`,
      [digest],
    );
    return row ? { apiKey: apiKeyFromRow(row), expired: row.expired, revoked: row.revoked } : null;
  }

  /** @throws Error that says what to do where the table is missing or lacks a column */
  async check(): Promise<void> {
    try {
      await this.dataSource.query(`SELECT ${API_KEY_COLUMNS} FROM ${apiKeyTable(this.dataSource)} LIMIT 0`);
    } catch (error) {
      throw new Error(
        `ApiKeyModule: table api_keys cannot be used (${String((error as Error).message)}). ` +
          'Add ...apiKeyMigrations() to the migrations of the data source, and run them before the application starts.',
        { cause: error },
      );
    }
  }
}
