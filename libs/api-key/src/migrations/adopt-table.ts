import type { QueryRunner } from 'typeorm';
import { text, textOrNull } from '../database/fields';
import { OTHER_TABLE } from '../database/keys-table';
import { sessionOf } from '../database/session-of';
import { rows, withSetting, withShortLock } from './sql';
import { eraseNote, rewriteNote, type TableNote, writeNote } from './table-note';

const WHOLE_NUMBER = ['bigint', 'integer'];
const TEXT = ['character varying', 'text'];
const TIME = ['timestamp without time zone', 'timestamp with time zone'];

/**
 * Columns of the table `api_keys` in the Rails design, with the allowed types of each column. Null
 * allows any type.
 */
const RAILS_COLUMNS: Readonly<Record<string, readonly string[] | null>> = {
  id: WHOLE_NUMBER,
  user_id: null,
  name: TEXT,
  key_digest: TEXT,
  key_prefix: TEXT,
  scopes: ['text[]', 'character varying[]'],
  last_used_at: TIME,
  expires_at: TIME,
  created_at: TIME,
  updated_at: TIME,
};

const IF_YOUR_OWN = `If it is a table of your own, give the library another one: ${OTHER_TABLE}`;

/** Columns that only this library adds, with their types. */
const OWN_COLUMNS = { key_suffix: 'varchar', revoked_at: 'timestamptz' } as const;

const COLUMNS: typeof RAILS_COLUMNS = { ...RAILS_COLUMNS, key_suffix: TEXT, revoked_at: TIME };

/**
 * Patterns of the defaults that are the same moment in every time zone of the session, after the
 * column has got a time zone. These are the current time, null and infinity. LOCALTIMESTAMP is not
 * in the list, because a local time occurs twice when the clocks are set back.
 */
const SAME_EVERYWHERE = [
  /^(?:now|transaction_timestamp|statement_timestamp|clock_timestamp)\(\)$/,
  /^CURRENT_TIMESTAMP(?:\(\d\))?$/,
  /^(?:NULL|'-?infinity')::timestamp(?:\(\d\))? without time zone$/,
];

/**
 * Time columns that a later migration adds. A dump and load may have removed their time zone,
 * although the comment of the table still contains the note of this library.
 */
const LATER_TIMES: typeof RAILS_COLUMNS = { disabled_at: TIME, enabled_expires_at: TIME };

interface Column {
  readonly name: string;
  /** Type of the column without length or precision. */
  readonly type: string;
  /**
   * Precision of a time in digits of a second, such as `(6)`. Empty if the column has no precision.
   */
  readonly precision: string;
  /** SQL expression of the column's default, or null. */
  readonly default: string | null;
}

/**
 * Adopts the table of a Rails app in place. Adds the columns of this library, which are nullable.
 * Converts times to `timestamptz`, because Rails stores times in UTC without a time zone. If the
 * session's time zone is UTC, PostgreSQL converts times without rewriting the table.
 * @throws Error that says what prevents the adoption; the table is then unchanged
 */
export async function adoptTable(runner: QueryRunner, table: string): Promise<void> {
  const columns = await columnsOf(runner, table);
  refuseMisfits(table, columns);
  refuseOwnColumns(table, columns);
  await refuseWithoutUnique(runner, table, 'id');
  await refuseWithoutUnique(runner, table, 'key_digest');
  const zoneless = await complete(runner, table, columns);
  await writeNote(await sessionOf(runner), table, { origin: 'adopted', zoneless });
}

/**
 * Repairs a table whose comment contains the note of this library, but which lacks time zones or
 * columns. A dump and load through a Rails schema can lose time zones and columns, and keep the
 * comment.
 * @throws Error that says what prevents the repair; the table is then unchanged
 */
export async function completeTable(runner: QueryRunner, table: string, note: TableNote): Promise<void> {
  const columns = await columnsOf(runner, table);
  refuseMisfits(table, columns);
  const lost = (await complete(runner, table, columns, LATER_TIMES)).filter((name) => name in RAILS_COLUMNS);
  if (note.origin === 'created' || lost.length === 0) return;
  const zoneless = [...new Set([...note.zoneless, ...lost])];
  await rewriteNote(await sessionOf(runner), table, { ...note, zoneless });
}

/**
 * Adds missing columns, and converts times without time zone to times with time zone.
 * @param more columns to convert besides `COLUMNS`
 * @returns the names of the converted columns
 */
async function complete(
  runner: QueryRunner,
  table: string,
  columns: readonly Column[],
  more: typeof RAILS_COLUMNS = {},
): Promise<string[]> {
  const known = { ...COLUMNS, ...more };
  const zoneless = columns.filter(
    ({ name, type }) => known[name] === TIME && type === 'timestamp without time zone',
  );
  const names = new Set(columns.map(({ name }) => name));
  const missing = Object.entries(OWN_COLUMNS).filter(([name]) => !names.has(name));
  const times = zoneless.map(({ name }) => name);
  refuseDefaults(table, zoneless);
  await refuseViews(runner, table, times);
  await alterInUtc(runner, table, [
    ...zoneless.flatMap((column) => retyped(column, 'with time zone')),
    ...missing.map(([name, type]) => `ADD COLUMN ${name} ${type}`),
  ]);
  return times;
}

/**
 * Restores an adopted table. Drops the columns of this library, and converts times back to UTC
 * times without time zone.
 */
export async function releaseTable(
  runner: QueryRunner,
  table: string,
  zoneless: readonly string[],
): Promise<void> {
  const columns = await columnsOf(runner, table);
  const times = columns.filter(({ name }) => zoneless.includes(name));
  await alterInUtc(runner, table, [
    ...times.flatMap((column) => retyped(column, 'without time zone')),
    'DROP COLUMN key_suffix',
    'DROP COLUMN revoked_at',
  ]);
  await eraseNote(await sessionOf(runner), table);
}

async function alterInUtc(runner: QueryRunner, table: string, changes: readonly string[]): Promise<void> {
  if (changes.length === 0) return;
  const statement = `ALTER TABLE ${table} ${changes.join(', ')}`;
  await withSetting(runner, ['TimeZone', 'UTC'], () => withShortLock(runner, statement));
}

/**
 * Returns the SQL that changes the type of a time column. The SQL drops the default and sets it
 * again. Otherwise, PostgreSQL would wrap the default in a cast.
 */
function retyped(column: Column, zone: 'with time zone' | 'without time zone'): string[] {
  const { name, precision } = column;
  const type = `ALTER COLUMN ${name} TYPE timestamp${precision} ${zone}`;
  if (column.default === null) return [type];
  return [`ALTER COLUMN ${name} DROP DEFAULT`, type, `ALTER COLUMN ${name} SET DEFAULT ${column.default}`];
}

async function columnsOf(runner: QueryRunner, table: string): Promise<Column[]> {
  const found = await rows(
    runner,
    `SELECT attname::text AS name, format_type(atttypid, atttypmod) AS type, pg_get_expr(adbin, adrelid) AS default
     FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
     WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped`,
    [table],
  );
  return found.map((column) => ({
    name: text(column, 'name'),
    default: textOrNull(column, 'default'),
    type: text(column, 'type').replace(/\(\d+\)/, ''),
    precision: /\(\d+\)/.exec(text(column, 'type'))?.[0] ?? '',
  }));
}

function refuseMisfits(table: string, columns: readonly Column[]): void {
  const types = new Map(columns.map(({ name, type }) => [name, type]));
  const missing = Object.keys(RAILS_COLUMNS).filter((name) => !types.has(name));
  if (missing.length > 0) refuse(table, `it lacks the columns ${missing.join(', ')}. ${IF_YOUR_OWN}`);
  const wrong = columns.filter(({ name, type }) => COLUMNS[name] && !COLUMNS[name]?.includes(type));
  if (wrong.length > 0)
    refuse(
      table,
      `a column has another type: ${wrong.map(({ name, type }) => `${name} is ${type}`).join(', ')}. ${IF_YOUR_OWN}`,
    );
}

function refuseOwnColumns(table: string, columns: readonly Column[]): void {
  if (columns.some(({ name }) => name in OWN_COLUMNS))
    refuse(
      table,
      `it has a column key_suffix or revoked_at that this library did not create. ${IF_YOUR_OWN}`,
    );
}

/**
 * Refuses a default such as `timezone('utc', now())`. After the column has got a time zone, the
 * default would be wrong by the UTC offset of the session.
 */
function refuseDefaults(table: string, times: readonly Column[]): void {
  const wrong = times.filter(
    ({ default: expression }) =>
      expression !== null && !SAME_EVERYWHERE.some((pattern) => pattern.test(expression)),
  );
  if (wrong.length === 0) return;
  const names = wrong.map((column) => `${column.name} (${column.default})`).join(', ');
  refuse(
    table,
    `a default of a time would change its meaning with a time zone: ${names}. ALTER COLUMN … SET DEFAULT CURRENT_TIMESTAMP, ` +
      'or DROP DEFAULT, and migrate again',
  );
}

async function refuseWithoutUnique(runner: QueryRunner, table: string, column: string): Promise<void> {
  const [index] = await rows(
    runner,
    `SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
     WHERE i.indrelid = $1::regclass AND i.indisunique AND i.indisvalid AND i.indnkeyatts = 1
       AND i.indpred IS NULL AND i.indimmediate AND a.attname = $2`,
    [table, column],
  );
  if (!index)
    refuse(table, `${column} has no unique index: CREATE UNIQUE INDEX CONCURRENTLY ON ${table} (${column})`);
}

/**
 * Refuses a column that a view or a rule reads, because PostgreSQL does not change its type. The
 * rule may belong to the table of keys itself.
 */
async function refuseViews(runner: QueryRunner, table: string, columns: readonly string[]): Promise<void> {
  const views = await rows(
    runner,
    `SELECT DISTINCT CASE WHEN r.ev_class = d.refobjid THEN 'rule ' || quote_ident(r.rulename) ELSE r.ev_class::regclass::text END AS name
     FROM pg_depend d
     JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
     JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
     WHERE d.refobjid = $1::regclass AND a.attname = ANY ($2)`,
    [table, columns],
  );
  if (views.length > 0)
    refuse(
      table,
      `a view or rule reads its times: drop ${views.map((view) => text(view, 'name')).join(', ')}, migrate, and create it again`,
    );
}

function refuse(table: string, why: string): never {
  const name = table.replaceAll('"', '');
  throw new Error(`nestjs-api-key: table ${name} cannot be adopted: ${why}. Nothing was changed.`);
}
