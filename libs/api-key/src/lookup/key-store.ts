import { Inject, Injectable } from '@nestjs/common';
import type { PoolClient } from 'pg';
import { API_KEY_COLUMNS } from '../database/api-key.row';
import type { Row } from '../database/as-text';
import { Database } from '../database/database';
import { codeOf, INSUFFICIENT_PRIVILEGE } from '../database/error-codes';
import { KEYS_TABLE, OTHER_TABLE } from '../database/keys-table';
import { asText, EQUALS } from '../database/own-names';
import { PreparedSelect } from '../database/prepared-statement';
import { IS_STANDBY, REPLICA, replicaOf } from '../database/replica';
import { askWhoAnswers, filteredColumn, filteredOf, refuseFiltered } from '../database/row-security';
import { SharedConnections } from '../database/shared-connections';
import { StatementCanceller } from '../database/statement-canceller';
import { isUntranslatable } from '../database/store-errors';
import { unusedMs } from '../database/unused';
import { type Ask, ENCODING, inUtf8, isGarbled, type Told } from '../database/utf8';
import { wordsOf } from '../model/error-words';
import { API_KEY_OPTIONS } from '../options/api-key.options';
import type { ResolvedCacheOptions } from '../options/cache';
import type { ResolvedPolicyOptions } from '../options/policy';
import { refuseVagueOwners, refuseZonelessTimes } from './column-types';
import { STOPPED } from './stopped';
import { type FoundKeys, firstOf, keysOf, type StoredKey } from './stored-key';

type Answered = (error: Error | null, found?: FoundKeys) => void;

const UNDEFINED_COLUMN = '42703';
const NONE: FoundKeys = new Map();
const SECONDS_LEFT = `pg_catalog.date_part('epoch', expires_at)
  OPERATOR(pg_catalog.-) pg_catalog.date_part('epoch', pg_catalog.clock_timestamp())`;

interface StoreOptions {
  readonly cache: Pick<ResolvedCacheOptions, 'lookUpTimeoutMs'>;
  readonly policy?: Pick<ResolvedPolicyOptions, 'endUnusedAfterDays'>;
}

/**
 * Looks up keys by digest with a prepared, indexed SELECT on the primary, outside any transaction.
 * Look-ups that are sent together share one SELECT.
 */
@Injectable()
export class KeyStore {
  /** Whether the last look-up failed because a replica answered. */
  leadsToReplica = false;
  private readonly connections: SharedConnections<FoundKeys>;
  private readonly unusedDays: number | null;

  private readonly one = this.select('nestjs_api_key', `key_digest ${EQUALS} $1`);
  private readonly many = this.select('nestjs_api_keys', `key_digest ${EQUALS} ANY ($1)`);

  constructor(
    private readonly database: Database,
    @Inject(API_KEY_OPTIONS) { cache, policy }: StoreOptions,
  ) {
    this.unusedDays = policy?.endUnusedAfterDays ?? null;
    const canceller = new StatementCanceller(() => database.sideClient('nestjs-api-key cancel'));
    const patience = { deadlineMs: cache.lookUpTimeoutMs };
    this.connections = new SharedConnections(database, patience, (client, digests, answered) => {
      this.look(client, digests, answered);
      return () => canceller.cancel(client);
    });
  }

  /**
   * Looks up a key by digest. The database's clock decides whether the key has expired, because the
   * clock of this machine may be wrong.
   * @param others other digests under which the same key may be stored
   * @param sent called when the statement is sent; callers that join earlier get a fresh result
   */
  async find(
    digest: string,
    others: readonly string[] = [],
    sent: () => void = () => {},
  ): Promise<StoredKey | null> {
    return firstOf(await this.findAll([digest, ...others], sent), digest, others);
  }

  /**
   * Looks up many digests in one statement. The result has no entry for a digest without a key. If
   * a row cannot be read, the entry of its digest is an error.
   */
  findAll(digests: readonly string[], sent: () => void): Promise<FoundKeys> {
    return this.connections.find(digests, sent);
  }

  /**
   * Checks that the table of keys can be used.
   * @throws Error with instructions if the table is missing or hidden, lacks a column, has times
   *   without time zone, or allows two spellings of one owner
   */
  async check(): Promise<void> {
    const refuse = (error: unknown) => refuseUnusable(error, () => this.database.tables.name);
    await this.database.locate().catch(refuse);
    await this.database
      .read(async (session) => {
        const { keys, silentChanges } = session.tables;
        await refuseFiltered(session, session.tables.all);
        await session.run(`SELECT ${API_KEY_COLUMNS} FROM ${keys} LIMIT 0`);
        await session.run(`SELECT FROM ${silentChanges} LIMIT 0`);
        await refuseZonelessTimes(session);
        await refuseVagueOwners(session);
      })
      .catch(refuse);
  }

  private look(client: PoolClient, digests: readonly string[], answered: Answered): void {
    const [select, value] = digests.length === 1 ? [this.one, digests[0]] : [this.many, digests];
    const ask: Ask = (heard) => select.send(client, value, heard);
    const told: Told = (error, rows = []) => {
      if (digests.length > 1 && isUntranslatable(error)) this.lookAlone(client, digests, answered, new Map());
      else if (error || rows.length > 0) this.tell(error ?? replicaOf(rows), digests, rows, answered);
      else askWhoAnswers(client, this.database.tables.keys, (wrong) => this.tell(wrong, [], [], answered));
    };
    ask((error, rows = []) => {
      if (isGarbled(error, rows)) inUtf8(client, ask, told);
      else told(error, rows);
    });
  }

  /**
   * Looks up each digest in a separate statement. If one row contains a character that UTF-8 lacks,
   * PostgreSQL sends no row of the statement.
   */
  private lookAlone(
    client: PoolClient,
    [digest, ...rest]: readonly string[],
    answered: Answered,
    found: Map<string, StoredKey | Error>,
  ): void {
    if (digest === undefined) answered(null, found);
    else
      this.look(client, [digest], (error, keys = NONE) => {
        if (error && !isUntranslatable(error)) return answered(error);
        if (error) found.set(digest, error);
        for (const [name, key] of keys) found.set(name, key);
        this.lookAlone(client, rest, answered, found);
      });
  }

  private tell(
    wrong: Error | null,
    digests: readonly string[],
    rows: readonly Row[],
    answered: Answered,
  ): void {
    this.leadsToReplica = codeOf(wrong) === REPLICA;
    if (wrong) answered(wrong);
    else this.answerWith(digests, rows, answered);
  }

  /**
   * Reports the result of each digest. If a row cannot be read or may be hidden, only the look-up
   * of its digest fails. Never throws, because an error in a callback of the driver would end the
   * process.
   */
  private answerWith(digests: readonly string[], rows: readonly Row[], answered: Answered): void {
    try {
      const found = keysOf(rows);
      const hidden = filteredOf(rows, this.database.tables.keys);
      if (hidden) for (const digest of digests) if (!found.has(digest)) found.set(digest, hidden);
      answered(null, found);
    } catch (error) {
      answered(error as Error);
    }
  }

  private select(name: string, where: string): PreparedSelect {
    return new PreparedSelect(name, () => this.statement(where));
  }

  private statement(where: string): string {
    return `SELECT ${API_KEY_COLUMNS}, ${asText('key_digest')}, ${STOPPED}, ${IS_STANDBY},
        ${ENCODING}, ${filteredColumn(this.database.tables.keys)}, ${asText('pg_catalog.pg_typeof(expires_at)::pg_catalog.oid')} AS expiry_type,
        CASE WHEN expires_at ${EQUALS} '-infinity' THEN '0'
             WHEN pg_catalog.isfinite(expires_at) THEN ${asText(`pg_catalog.floor((${SECONDS_LEFT}) OPERATOR(pg_catalog.*) 1000)::bigint`)}
        END AS life_ms, ${this.unusedDays === null ? 'NULL' : asText(unusedMs(this.unusedDays))} AS unused_ms
      FROM ${this.database.tables.keys} WHERE ${where}`;
  }
}

/**
 * Throws an error that says why the table cannot be used, and what to do.
 * @param nameOf returns the name of the table
 */
function refuseUnusable(error: unknown, nameOf: () => string): never {
  const code = codeOf(error);
  if (code === 'undefined') throw error;
  if (code === REPLICA)
    throw new Error(
      `ApiKeyModule: ${wordsOf(error)}. Give the library a data source that connects to the primary.`,
      { cause: error },
    );
  const name = nameOf();
  const whole = `ApiKeyModule: table ${name} cannot be used (${wordsOf(error)}). `;
  if (code === INSUFFICIENT_PRIVILEGE) throw new Error(whole.trim(), { cause: error });
  throw new Error(
    whole +
      'Add ...apiKeyMigrations() to the migrations of the data source, and run them before the application starts. ' +
      'If they have run, set "schema" in the options of the data source to the schema of the table.' +
      adviceFor(code, name),
    { cause: error },
  );
}

function adviceFor(code: string, name: string): string {
  if (code === UNDEFINED_COLUMN)
    return ` If ${name} is a table of your own, give the library another one: ${OTHER_TABLE}.`;
  if (name === KEYS_TABLE) return '';
  return (
    ` The data source names the table ${name}, by apiKeyEntity, entityPrefix or its naming strategy: migrate with the same settings. ` +
    'If the migrations are on record from other settings, or from another application, set "migrationsTableName" to a table of its own.'
  );
}
