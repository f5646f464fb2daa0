import { Client } from 'pg';
import { requirePasswords } from './host-rules';
import type { Passwords } from './passwords';

/** A server whose roles are prepared. */
export interface Securing {
  /** Connection string of the superuser. */
  readonly url: string;
  /** Folder of the cluster. */
  readonly folder: string;
  readonly passwords: Passwords;
  /** Key of the advisory lock that each process holds while it uses the server. */
  readonly tenancy: number;
}

/** Key of an advisory lock. It lets only one process at a time prepare the roles. */
const PREPARATION = 7_160_213;

/**
 * Creates the ordinary role of the app and makes the server require passwords. Does nothing if both
 * are done, or if the server is a standby. The role `app` becomes the owner of all tables of a
 * cluster of an earlier version. If other processes use such a cluster, it requires passwords only
 * after its next start, so that these processes are not disturbed.
 */
export async function secureServer({ url, folder, passwords, tenancy }: Securing): Promise<void> {
  // The search path contains only `pg_catalog`. The role `app` owns the database, so the superuser
  // must not call an object that this role may have created.
  const options = '-c search_path=pg_catalog';
  const client = new Client({ connectionString: url, options, application_name: 'embedded-postgres roles' });
  client.on('error', () => {});
  await client.connect();
  try {
    if (await isTrue(client, 'pg_is_in_recovery()')) return;
    await client.query('SELECT pg_advisory_lock($1)', [PREPARATION]);
    if (!(await isTrue(client, `EXISTS (SELECT FROM pg_roles WHERE rolname = 'app')`)))
      await createAppRole(client, passwords);
    if (requirePasswords(folder) && (await isTrue(client, `pg_try_advisory_lock(${tenancy})`)))
      await client.query('SELECT pg_reload_conf()');
  } finally {
    await client.end().catch(() => {});
  }
}

async function createAppRole(client: Client, { superuser, app }: Passwords): Promise<void> {
  await client.query(`BEGIN;
    SET LOCAL log_statement = none;
    SET LOCAL log_min_error_statement = panic;
    SET LOCAL password_encryption = 'scram-sha-256'`);
  // Uses one iteration of SCRAM, because a password of 256 random bits needs no slow hash.
  // PostgreSQL 15 has no setting `scram_iterations`.
  await client.query(`SELECT set_config(name, '1', true) FROM pg_settings WHERE name = 'scram_iterations'`);
  await client.query(`ALTER ROLE postgres PASSWORD '${superuser}';
    CREATE ROLE app LOGIN PASSWORD '${app}';
    ALTER DATABASE postgres OWNER TO app;
    GRANT ALL ON SCHEMA public TO app`);
  const { rows } = await client.query<{ statement: string }>(HAND_OVER);
  for (const { statement } of rows) await client.query(statement);
  await client.query('COMMIT');
}

/**
 * Query for the statements that transfer the objects of the superuser to the role of the app.
 * PostgreSQL refuses `REASSIGN OWNED` for the superuser that created the cluster. The statements
 * omit sequences that belong to a column, and parts of extensions.
 */
const HAND_OVER = `
  WITH spaces AS (
    SELECT oid, nspname, nspowner FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
  ), parts AS (SELECT objid FROM pg_depend WHERE deptype = 'e'),
  of_columns AS (SELECT objid FROM pg_depend WHERE deptype IN ('a', 'i') AND classid = 'pg_class'::regclass)
  SELECT format('ALTER SCHEMA %I OWNER TO app', nspname) AS statement FROM spaces
    WHERE nspowner = 'postgres'::regrole AND nspname <> 'public'
  UNION ALL SELECT format('ALTER TABLE %s OWNER TO app', oid::regclass) FROM pg_class
    WHERE relowner = 'postgres'::regrole AND relnamespace IN (SELECT oid FROM spaces)
      AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND oid NOT IN (SELECT objid FROM parts)
      AND (relkind <> 'S' OR oid NOT IN (SELECT objid FROM of_columns))
  UNION ALL SELECT format('ALTER ROUTINE %s OWNER TO app', oid::regprocedure) FROM pg_proc
    WHERE proowner = 'postgres'::regrole AND pronamespace IN (SELECT oid FROM spaces)
      AND oid NOT IN (SELECT objid FROM parts)
  UNION ALL SELECT format('ALTER TYPE %s OWNER TO app', oid::regtype) FROM pg_type
    WHERE typowner = 'postgres'::regrole AND typnamespace IN (SELECT oid FROM spaces)
      AND typtype IN ('e', 'd', 'r') AND oid NOT IN (SELECT objid FROM parts)`;

async function isTrue(client: Client, condition: string): Promise<boolean> {
  const { rows } = await client.query<{ holds: boolean }>(`SELECT ${condition} AS holds`);
  return rows[0]?.holds === true;
}
