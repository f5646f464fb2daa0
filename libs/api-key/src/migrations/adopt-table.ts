import type { QueryRunner } from 'typeorm';
import { withSetting, withShortLock } from './sql';
import { eraseNote, writeNote } from './table-note';

const WHOLE_NUMBER = ['bigint', 'integer'];
const TEXT = ['character varying', 'text'];
const TIME = ['timestamp without time zone', 'timestamp with time zone'];

/** The columns of the Rails design and the types that each may have; null: any. */
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

const OWN_COLUMNS = ['ADD COLUMN key_suffix varchar', 'ADD COLUMN revoked_at timestamptz'];

interface Column {
  readonly name: string;
  /** The type without length or precision. */
  readonly type: string;
  /** Precision of a time in digits of a second, as `(6)`; empty where none is given. */
  readonly precision: string;
}

/**
 * Adopts the table of a Rails app in place: adds our columns, nullable all, and turns its times, which Rails writes in UTC without
 * saying so, into `timestamptz`. Under a session in UTC PostgreSQL does that without rewriting the table.
 * @throws Error that says what stands in the way; nothing is changed then
 */
export async function adoptTable(runner: QueryRunner, table: string): Promise<void> {
  const columns = await columnsOf(runner, table);
  refuseMisfits(columns);
  await refuseWithoutUniqueDigest(runner, table);
  const zoneless = columns.filter(
    ({ name, type }) => RAILS_COLUMNS[name] === TIME && type === 'timestamp without time zone',
  );
  const names = zoneless.map(({ name }) => name);
  await refuseViews(runner, table, names);
  await alterInUtc(runner, table, [...zoneless.map(withTimeZone), ...OWN_COLUMNS]);
  await writeNote(runner, table, { origin: 'adopted', zoneless: names });
}

/** Gives an adopted table back as it was: without our columns, its times without time zone again, in UTC. */
export async function releaseTable(
  runner: QueryRunner,
  table: string,
  zoneless: readonly string[],
): Promise<void> {
  const columns = await columnsOf(runner, table);
  const times = columns.filter(({ name }) => zoneless.includes(name));
  await alterInUtc(runner, table, [
    ...times.map(withoutTimeZone),
    'DROP COLUMN key_suffix',
    'DROP COLUMN revoked_at',
  ]);
  await eraseNote(runner, table);
}

async function alterInUtc(runner: QueryRunner, table: string, changes: readonly string[]): Promise<void> {
  const statement = `ALTER TABLE ${table} ${changes.join(', ')}`;
  await withSetting(runner, ['TimeZone', 'UTC'], () => withShortLock(runner, statement));
}

function withTimeZone({ name, precision }: Column): string {
  return `ALTER COLUMN ${name} TYPE timestamp${precision} with time zone`;
}

function withoutTimeZone({ name, precision }: Column): string {
  return `ALTER COLUMN ${name} TYPE timestamp${precision} without time zone`;
}

async function columnsOf(runner: QueryRunner, table: string): Promise<Column[]> {
  const rows: { name: string; type: string }[] = await runner.query(
    `SELECT attname AS name, format_type(atttypid, atttypmod) AS type
     FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped`,
    [table],
  );
  return rows.map(({ name, type }) => ({
    name,
    type: type.replace(/\(\d+\)/, ''),
    precision: /\(\d+\)/.exec(type)?.[0] ?? '',
  }));
}

function refuseMisfits(columns: readonly Column[]): void {
  const types = new Map(columns.map(({ name, type }) => [name, type]));
  const missing = Object.keys(RAILS_COLUMNS).filter((name) => !types.has(name));
  if (missing.length > 0) refuse(`it lacks the columns ${missing.join(', ')}`);
  const wrong = columns.filter(
    ({ name, type }) => RAILS_COLUMNS[name] && !RAILS_COLUMNS[name]?.includes(type),
  );
  if (wrong.length > 0)
    refuse(`a column has another type: ${wrong.map(({ name, type }) => `${name} is ${type}`).join(', ')}`);
  if (types.has('key_suffix') || types.has('revoked_at'))
    refuse('it has a column key_suffix or revoked_at of someone else');
}

async function refuseWithoutUniqueDigest(runner: QueryRunner, table: string): Promise<void> {
  const [index] = await runner.query(
    `SELECT 1 FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
     WHERE i.indrelid = $1::regclass AND i.indisunique AND i.indisvalid AND i.indnkeyatts = 1
       AND i.indpred IS NULL AND a.attname = 'key_digest'`,
    [table],
  );
  if (!index)
    refuse('key_digest has no unique index: CREATE UNIQUE INDEX CONCURRENTLY ON api_keys (key_digest)');
}

/** PostgreSQL does not change the type of a column that a view reads. */
async function refuseViews(runner: QueryRunner, table: string, columns: readonly string[]): Promise<void> {
  const views: { name: string }[] = await runner.query(
    `SELECT DISTINCT r.ev_class::regclass::text AS name
     FROM pg_depend d
     JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
     JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
     WHERE d.refobjid = $1::regclass AND a.attname = ANY ($2)`,
    [table, columns],
  );
  if (views.length > 0)
    refuse(
      `a view reads its times: drop ${views.map(({ name }) => name).join(', ')}, migrate, and create it again`,
    );
}

function refuse(why: string): never {
  throw new Error(`nestjs-api-key: table api_keys cannot be adopted, ${why}. Nothing was changed.`);
}
