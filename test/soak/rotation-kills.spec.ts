import { Client } from 'pg';
import { createEmptyDatabase, sql } from '../support/database';
import { demoKey, type Sample, startSample } from '../support/sample';
import { until } from '../support/until';

/**
 * Holds a rotation of the sample app at one of its statements, by a trigger that waits for an
 * advisory lock, and kills the app there.
 */
const STATEMENTS = [
  ['the end of the old key', 'api_keys', 'BEFORE UPDATE'],
  ['the insert of the successor', 'api_keys', 'BEFORE INSERT'],
  ['the successor is inserted', 'api_keys', 'AFTER INSERT'],
  ['the trail', 'api_key_events', 'BEFORE INSERT'],
  ['the trail is written', 'api_key_events', 'AFTER INSERT'],
] as const;

const HOLD = 815;

let database: string;
let survivor: Sample;
let demo: string;
let app: Sample | undefined;

/** Both are of one database; the second one shows that the key can be rotated again. */
beforeAll(async () => {
  database = await createEmptyDatabase();
  survivor = await startSample({ DATABASE_URL: database });
  demo = await demoKey(survivor);
});

afterEach(async () => {
  await app?.stop();
});

afterAll(() => survivor?.stop());

it.each(
  STATEMENTS,
)('a SIGKILL at %s leaves the key unchanged, and it can be rotated again', async (_, table, moment) => {
  const { id, key } = await issue();
  app = await startSample({ DATABASE_URL: database });
  const before = await everything();
  await sql(
    database,
    `CREATE OR REPLACE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock_shared(${HOLD}); RETURN NEW; END';
     CREATE TRIGGER hold ${moment} ON ${table} FOR EACH ROW EXECUTE FUNCTION hold()`,
  );
  const holder = new Client({ connectionString: database });
  await holder.connect();
  await holder.query(`SELECT pg_advisory_lock(${HOLD})`);
  const rotating = rotate(app.url, id, key).catch(() => 'gone');
  await until(
    async () =>
      (
        await sql(
          database,
          `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory' AND state = 'active'`,
        )
      ).length > 0,
  );
  app.process.kill('SIGKILL');
  expect(await rotating).toBe('gone');
  await holder.end();
  await untilIdle();
  expect(await everything()).toEqual(before);
  await sql(database, `DROP TRIGGER hold ON ${table}`);
  expect(await rotate(survivor.url, id, key)).toBe(201);
});

/** A key that may rotate itself. */
async function issue(): Promise<{ readonly id: string; readonly key: string }> {
  const response = await fetch(`${survivor.url}/api-keys`, {
    method: 'POST',
    headers: { authorization: `Bearer ${demo}`, 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'ci', scopes: ['api-keys:write'] }),
  });
  return (await response.json()) as { id: string; key: string };
}

/** Waits until PostgreSQL has rolled back what the killed process was at. */
function untilIdle(): Promise<void> {
  const open = `SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL`;
  return until(async () => (await sql(database, open)).length === 0);
}

async function everything(): Promise<unknown[]> {
  const keys = await sql(
    database,
    'SELECT id, expires_at, revoked_at, replaces_id, updated_at FROM api_keys ORDER BY id',
  );
  const events = await sql(
    database,
    `SELECT id, type, key_id FROM api_key_events WHERE type NOT IN ('refused', 'accepted') ORDER BY id`,
  );
  return [keys, events];
}

async function rotate(url: string, id: string, key: string): Promise<number> {
  const response = await fetch(`${url}/api-keys/${id}/rotate`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ overlapSeconds: 60 }),
  });
  return response.status;
}
