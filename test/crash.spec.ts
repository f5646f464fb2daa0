import { Client } from 'pg';
import { createEmptyDatabase, sql, untilAlone } from './support/database';
import { demoKey, startSample } from './support/sample';
import { until } from './support/until';

/**
 * Holds a rotation of the sample app at one of its statements, by a trigger that waits for an advisory lock, and kills the
 * app there.
 */
const STATEMENTS = [
  ['the end of the old key', 'api_keys', 'BEFORE UPDATE'],
  ['the insert of the successor', 'api_keys', 'BEFORE INSERT'],
  ['the successor is inserted', 'api_keys', 'AFTER INSERT'],
  ['the trail', 'api_key_events', 'BEFORE INSERT'],
  ['the trail is written', 'api_key_events', 'AFTER INSERT'],
] as const;

const HOLD = 815;

it.each(
  STATEMENTS,
)('a SIGKILL at %s leaves the key as it was, and it can be rotated again', async (_, table, moment) => {
  const database = await createEmptyDatabase();
  const app = await startSample({ DATABASE_URL: database });
  const key = await demoKey(app);
  const [{ id }] = (await sql(database, 'SELECT id FROM api_keys')) as [{ id: string }];
  const before = await everything(database);
  await sql(
    database,
    `CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock_shared(${HOLD}); RETURN NEW; END';
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
  await untilAlone(database);
  expect(await everything(database)).toEqual(before);
  await sql(database, `DROP TRIGGER hold ON ${table}`);
  const next = await startSample({ DATABASE_URL: database });
  expect(await rotate(next.url, id, key)).toBe(201);
  await next.stop();
});

async function everything(database: string): Promise<unknown[]> {
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

const INTERVAL_MS = 1_000;
/** It tells an interval that is kept from a busy machine. */
const KEPT_WITHIN_MS = 15 * INTERVAL_MS;

it('a SIGKILL loses of last uses no more than those of the last interval', async () => {
  const database = await createEmptyDatabase();
  const app = await startSample({
    DATABASE_URL: database,
    API_KEY_OPTIONS: JSON.stringify({ lookUpTimeoutMs: 10_000, lastUsedIntervalMs: INTERVAL_MS }),
  });
  const key = await demoKey(app);
  const use = async () => {
    const response = await fetch(`${app.url}/me`, { headers: { authorization: `Bearer ${key}` } });
    expect(response.status).toBe(200);
  };
  const lastUse = async () => {
    const [row] = await sql<{ at: Date | null }>(database, 'SELECT last_used_at AS at FROM api_keys');
    return row?.at?.getTime() ?? 0;
  };
  const writes = new Set<number>();
  while (writes.size < 4) {
    await use();
    writes.add(await lastUse());
  }
  const until = performance.now() + Math.random() * INTERVAL_MS;
  while (performance.now() < until) await use();
  const killedAt = Date.now();
  app.process.kill('SIGKILL');
  await untilAlone(database);
  expect(killedAt - (await lastUse())).toBeLessThan(KEPT_WITHIN_MS);
});
