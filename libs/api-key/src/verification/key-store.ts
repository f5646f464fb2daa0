import type { PoolClient } from 'pg';
import type { DataSource } from 'typeorm';
import type { ApiKey } from '../api-key.entity';
import { type Eventually, then } from '../eventually';
import { foreignSchema } from '../sql-name';
import { API_KEY_COLUMNS, type ApiKeyRow, apiKeyFromRow, apiKeyTable, silentTable } from './api-key.row';
import { PreparedSelect } from './prepared-select';
import { SharedConnections } from './shared-connections';
import { sideClient } from './side-client';
import { StatementCanceller } from './statement-canceller';

/** A row of the table, with what the database's clock says of it. */
export interface StoredKey {
  readonly apiKey: ApiKey;
  /** The digest that it is stored under. */
  readonly digest: string;
  readonly revoked: boolean;
  /** Milliseconds until its expiry, not above 0 where that has come; null: never. */
  readonly lifeMs: number | null;
}

interface StoredKeyRow extends ApiKeyRow {
  readonly key_digest: string;
  /** Text where the application has its own parsers of types. */
  readonly life_ms: number | string | null;
}

/** What a table of keys must be beside having its columns. */
interface Shape {
  readonly zoneless: readonly string[];
  readonly schema: string;
  readonly own: string | null;
}

const TIMES = ['last_used_at', 'expires_at', 'revoked_at', 'created_at', 'updated_at'];

/** Looks keys up by digest: one prepared, indexed SELECT on the primary, outside any transaction, for all that go out together. */
export class KeyStore {
  private readonly connections: SharedConnections<ReadonlyMap<string, StoredKey>>;

  /** @param deadlineMs after which a look-up is given up */
  constructor(
    private readonly dataSource: DataSource,
    deadlineMs: number,
  ) {
    const one = this.select('nestjs_api_key', 'key_digest = $1');
    const many = this.select('nestjs_api_keys', 'key_digest = ANY ($1)');
    const canceller = new StatementCanceller(() => sideClient(dataSource, 'nestjs-api-key cancel'));
    this.connections = new SharedConnections(dataSource, { deadlineMs }, (client, digests, answered) => {
      const [select, value] = digests.length === 1 ? [one, digests[0]] : [many, digests];
      select.send(client, value, (error, rows) => answered(error, rows && keysOf(rows)));
      return () => canceller.cancel(processOf(client), select.text);
    });
  }

  /**
   * Life is judged by the database's clock, for that of this machine may be wrong.
   * @param others other digests that the same key may be stored under
   * @param sent called when the statement goes out: until then, the answer is younger than whoever asks
   */
  find(
    digest: string,
    others: readonly string[] = [],
    sent: () => void = () => {},
  ): Eventually<StoredKey | null> {
    return then(this.findAll([digest, ...others], sent), (found) => firstOf(found, digest, others));
  }

  /** As `find`, of many digests in one statement: those that are of a key, by their digest. */
  findAll(digests: readonly string[], sent: () => void): Eventually<ReadonlyMap<string, StoredKey>> {
    return this.connections.find(digests, sent);
  }

  /** @throws Error that says what to do where the table is missing, lacks a column, has times without zone, or is another's */
  async check(): Promise<void> {
    const table = apiKeyTable(this.dataSource);
    await this.dataSource.query(`SELECT ${API_KEY_COLUMNS} FROM ${table} LIMIT 0`).catch(refuseUnusable);
    await this.dataSource.query(`SELECT FROM ${silentTable(this.dataSource)} LIMIT 0`).catch(refuseUnusable);
    const { zoneless, schema, own } = await this.shape(table);
    if (!table.includes('.') && schema !== own) throw new Error(foreignSchema(schema, own));
    if (zoneless.length > 0) refuseZoneless(table, zoneless);
  }

  private select(name: string, where: string): PreparedSelect<StoredKeyRow> {
    return new PreparedSelect(name, () => this.statement(where));
  }

  private statement(where: string): string {
    return `SELECT ${API_KEY_COLUMNS}, key_digest,
        CASE WHEN expires_at = '-infinity' THEN 0
             WHEN isfinite(expires_at) THEN extract(epoch FROM expires_at - clock_timestamp())::float8 * 1000 END AS life_ms
      FROM ${apiKeyTable(this.dataSource)} WHERE ${where}`;
  }

  private async shape(table: string): Promise<Shape> {
    const [shape] = await this.dataSource.query<[Shape]>(
      `SELECT ARRAY(SELECT attname::text FROM pg_attribute
           WHERE attrelid = c.oid AND attname = ANY ($2) AND atttypid <> 'timestamptz'::regtype ORDER BY attnum) AS zoneless,
         nspname AS schema, current_schema() AS own
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1::regclass`,
      [table, TIMES],
    );
    return shape;
  }
}

/** The key that is stored under the first of its digests. */
export function firstOf(
  found: ReadonlyMap<string, StoredKey>,
  digest: string,
  others: readonly string[],
): StoredKey | null {
  for (const each of [digest, ...others]) {
    const stored = found.get(each);
    if (stored) return stored;
  }
  return null;
}

/** Of the backend that serves a connection. */
function processOf(client: PoolClient): number {
  return (client as unknown as { readonly processID: number }).processID;
}

function keysOf(rows: readonly StoredKeyRow[]): ReadonlyMap<string, StoredKey> {
  return new Map(rows.map((row) => [row.key_digest, storedKey(row)]));
}

function storedKey(row: StoredKeyRow): StoredKey {
  return {
    apiKey: apiKeyFromRow(row),
    digest: row.key_digest,
    revoked: row.revoked_at !== null,
    lifeMs: row.life_ms === null ? null : Number(row.life_ms) || 0,
  };
}

function refuseUnusable(error: unknown): never {
  throw new Error(
    `ApiKeyModule: table api_keys cannot be used (${String((error as Error).message)}). ` +
      'Add ...apiKeyMigrations() to the migrations of the data source, and run them before the application starts.',
    { cause: error },
  );
}

/** Where the migration is on record as run, it does not run again: so the message says what it would do. */
function refuseZoneless(table: string, columns: readonly string[]): never {
  const changes = columns.map((column) => `ALTER COLUMN ${column} TYPE timestamptz`).join(', ');
  throw new Error(
    `ApiKeyModule: table api_keys cannot be used: ${columns.join(', ')} must be timestamptz, or a key would expire hours off ` +
      'in a session of another time zone. Run the migrations of apiKeyMigrations(); where they have run already: ' +
      `SET TimeZone = 'UTC'; ALTER TABLE ${table} ${changes}`,
  );
}
