import { Client, type ClientConfig, type CustomTypesConfig, Pool, types as pgTypes } from 'pg';

/**
 * Type parsers of `pg`. The typings of `pg` name only some type oids, so these functions accept any
 * number.
 */
const types = pgTypes as unknown as {
  getTypeParser(oid: number, format?: string): unknown;
  setTypeParser(oid: number, parse: (text: string) => unknown): void;
};

/** Oids of types for which applications often set their own parsers. */
const OIDS = {
  boolean: 16,
  bytea: 17,
  int8: 20,
  int2: 21,
  int4: 23,
  json: 114,
  float4: 700,
  float8: 701,
  textArray: 1009,
  int8Array: 1016,
  cidrArray: 651,
  date: 1082,
  timestamp: 1114,
  timestamptz: 1184,
  interval: 1186,
  numeric: 1700,
  uuid: 2950,
  jsonb: 3802,
} as const;

/** Unusual settings of a database, a session, a pool and a process. */
export interface Hostility {
  /** Settings of the database that `ALTER DATABASE … SET` sets. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Type parsers of the process, by type. */
  readonly parsers?: Readonly<Partial<Record<keyof typeof OIDS, (text: string) => unknown>>>;
  /** Statements that another user of the pool ran before on each connection. */
  readonly leftBehind?: string;
  /**
   * Message that replaces the messages of all server errors. Few builds of PostgreSQL translate
   * messages, so `lc_messages` does not suffice.
   */
  readonly language?: string;
  /** Options of the data source. */
  readonly dataSource?: object;
}

const asIs = (text: string) => text;
/**
 * SQL of a schema with empty copies of the tables of the library. The clock functions of this
 * schema always return the same time.
 */
const DECOYS = `CREATE SCHEMA tenant; CREATE TABLE tenant.api_keys (LIKE public.api_keys);
  CREATE TABLE tenant.api_key_events (LIKE public.api_key_events); CREATE TABLE tenant.api_key_trust (LIKE public.api_key_trust);
  CREATE TABLE tenant.api_key_quotas (LIKE public.api_key_quotas); CREATE TABLE tenant.api_key_usage (LIKE public.api_key_usage);
  CREATE TABLE tenant.api_key_windows (LIKE public.api_key_windows);
  CREATE FUNCTION tenant.now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT '2001-01-01'::timestamptz $$;
  CREATE FUNCTION tenant.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ SELECT '2001-01-01'::timestamptz $$`;
const DATES = { IntervalStyle: 'sql_standard', TimeZone: 'Pacific/Chatham', bytea_output: 'escape' };

/** Hostile settings that the tests use, by name. */
export const HOSTILITIES = {
  'German dates': { settings: { ...DATES, DateStyle: 'German, DMY' } },
  'dates of SQL': { settings: { ...DATES, DateStyle: 'SQL, DMY', extra_float_digits: '-15' } },
  'dates of POSTGRES': { settings: { ...DATES, DateStyle: 'Postgres, MDY', array_nulls: 'off' } },
  'serializable by default': { settings: { default_transaction_isolation: 'serializable' } },
  'repeatable read by default': {
    settings: { default_transaction_isolation: 'repeatable read', default_transaction_deferrable: 'on' },
  },
  'int8 as a number': { parsers: { int8: Number, numeric: Number } },
  'int8 as a BigInt': { parsers: { int8: BigInt, int8Array: () => [0n] } },
  'all as PostgreSQL sends it': {
    parsers: Object.fromEntries(Object.keys(OIDS).map((type) => [type, asIs])),
  },
  'times as milliseconds': {
    parsers: { timestamptz: Date.parse, timestamp: Date.parse, date: Date.parse, interval: () => 0 },
  },
  'all as null': { parsers: Object.fromEntries(Object.keys(OIDS).map((type) => [type, () => null])) },
  'settings that a tenant left': {
    leftBehind: `SET DateStyle = 'German'; SET default_transaction_isolation = 'serializable'; SET row_security = off;
      SET transform_null_equals = on; SET lock_timeout = '1ms'; SET synchronous_commit = off`,
  },
  'errors in another language': { language: 'Meldung in einer anderen Sprache' },
  'another encoding that a tenant left': { leftBehind: `SET client_encoding = 'LATIN1'` },
  'entities without their constructor': { dataSource: { entitySkipConstructor: true } },
  'strings with escapes': {
    settings: {
      standard_conforming_strings: 'off',
      backslash_quote: 'off',
      bytea_output: 'escape',
      quote_all_identifiers: 'on',
      transform_null_equals: 'on',
      'plpgsql.extra_errors': 'all',
      client_min_messages: 'debug5',
      xmloption: 'document',
      jit_above_cost: '0',
      plan_cache_mode: 'force_generic_plan',
    },
  },
  'short time-outs': {
    leftBehind: `SET lock_timeout = '1ms'; SET idle_session_timeout = '1s';
      SET idle_in_transaction_session_timeout = '2ms'; SET transaction_timeout = '100ms'`,
  },
  'tables that have names of types': {
    leftBehind: `SET client_min_messages = error; CREATE TEMP TABLE IF NOT EXISTS text (a int);
      CREATE TEMP TABLE IF NOT EXISTS jsonb (a int); CREATE TEMP TABLE IF NOT EXISTS api_keys (a int)`,
  },
  'a clock that stands still': {
    leftBehind: 'SET search_path TO tenant, public, pg_catalog',
  },
  'a pool of one': { dataSource: { poolSize: 1 } },
  'all at once': {
    settings: { ...DATES, DateStyle: 'German, DMY', default_transaction_isolation: 'serializable' },
    parsers: { int8: Number, timestamptz: asIs, timestamp: asIs, jsonb: asIs, json: asIs, textArray: asIs },
    leftBehind: `SET search_path TO tenant, public, pg_catalog; SET client_encoding = 'LATIN1'`,
    language: 'Meldung in einer anderen Sprache',
    dataSource: { entitySkipConstructor: true },
  },
} as const satisfies Record<string, Hostility>;

const TRUSTED = Object.fromEntries(Object.values(OIDS).map((oid) => [oid, types.getTypeParser(oid)]));
let present: Hostility = {};

/** Applies hostile settings to this process, and to all test databases that are created later. */
export function beHostile(hostility: Hostility): void {
  present = hostility;
  for (const [type, parse] of Object.entries(hostility.parsers ?? {}))
    types.setTypeParser(OIDS[type as keyof typeof OIDS], parse);
  if (hostility.language !== undefined) translateErrors(hostility.language);
}

/** Replaces the message of every server error in every `pg` client. */
function translateErrors(words: string): void {
  const { prototype } = Client as unknown as { prototype: Record<string, (error: Error) => void> };
  for (const name of ['_handleErrorMessage', '_handleErrorWhileConnecting']) {
    const handle = prototype[name] as (error: Error) => void;
    prototype[name] = function (error) {
      if ('severity' in error) error.message = words;
      handle.call(this, error);
    };
  }
}

/**
 * Client options for the statements of the tests themselves: the default session settings and type
 * parsers.
 */
export const TRUSTED_CLIENT: ClientConfig = {
  options:
    '-c DateStyle=ISO,MDY -c TimeZone=UTC -c IntervalStyle=postgres -c extra_float_digits=1 -c default_transaction_isolation=read\\ committed',
  types: {
    getTypeParser: (oid: number, format?: string) => TRUSTED[oid] ?? types.getTypeParser(oid, format),
  } as CustomTypesConfig,
};

/**
 * Returns the statements that apply the hostile settings to a database. Empty if there are none.
 */
export function hostileStatements(name: string): string[] {
  const { settings = {}, leftBehind = '' } = present;
  return [
    ...(leftBehind.includes('tenant') ? [DECOYS] : []),
    ...Object.entries(settings).map(
      ([setting, value]) => `ALTER DATABASE "${name}" SET ${setting} = '${value.replaceAll(', ', "', '")}'`,
    ),
  ];
}

/** Returns the hostile options of a data source under test. */
export function hostileOptions(): object {
  return present.dataSource ?? {};
}

/** Runs the `leftBehind` statements on each connection that returns to the pool. */
export function leaveBehind(pool: unknown): void {
  const { leftBehind } = present;
  if (leftBehind === undefined || !(pool instanceof Pool)) return;
  pool.on('release', (_, client) => void (client as unknown as Client).query(leftBehind).catch(() => {}));
}

/** A kind of hostile settings. */
type Kind = keyof typeof HOSTILITIES;

/**
 * Runs specs of `test/` with one kind of hostile settings, or with several kinds that cannot hide
 * each other: they concern different things, or values of different types.
 */
export function runOnHostileGround(kinds: readonly Kind[], specs: readonly string[]): void {
  beHostile(kinds.map((kind): Hostility => HOSTILITIES[kind]).reduce(together));
  describe(`with ${kinds.join(' and ')},`, () => {
    for (const spec of specs) describe(`${spec}:`, () => void require(`../${spec}.spec`));
  });
}

function together(one: Hostility, other: Hostility): Hostility {
  const settings = { ...one.settings, ...other.settings };
  const parsers = { ...one.parsers, ...other.parsers };
  const dataSource = { ...one.dataSource, ...other.dataSource };
  return { ...one, ...other, settings, parsers, dataSource };
}
