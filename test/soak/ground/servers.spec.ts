import { Client } from 'pg';
import { runningEmbeddedPostgres } from '../../../src/embedded-postgres';
import { createMigratedDatabase, createUser, sql } from '../../support/database';
import { inPlace, status } from '../../support/embedded-place';
import { bootOn, UNCACHED } from '../../support/ground';
import { layered } from '../../support/layered';
import { demoKey } from '../../support/sample';
import { until } from '../../support/until';

/** Longer than a connection that missed its deadline may still take to answer. */
const GIVEN_UP_MS = 7_000;

it(
  'a revocation that was acknowledged survives a crash of a server with synchronous_commit off',
  inPlace(async ({ dataDir, start, serverPid }) => {
    const first = await start();
    const key = await demoKey(first);
    const url = String((await runningEmbeddedPostgres(dataDir))?.url);
    await sql(url, 'ALTER SYSTEM SET synchronous_commit = off');
    await sql(url, `ALTER SYSTEM SET wal_writer_delay = '10s'`);
    await sql(url, 'SELECT pg_reload_conf()');
    await until(async () => {
      const [row] = await sql(url, 'SHOW synchronous_commit');
      return row?.synchronous_commit === 'off';
    });
    const headers = { authorization: `Bearer ${key}` };
    const me = (await (await fetch(`${first.url}/me`, { headers })).json()) as { apiKey: { id: string } };
    const revoked = await fetch(`${first.url}/api-keys/${me.apiKey.id}`, { method: 'DELETE', headers });
    expect(revoked.status).toBe(204);
    process.kill(Number(serverPid()), 'SIGQUIT');
    await first.stop();
    await until(() => serverPid() === null);
    const second = await start();
    expect(await status(second, key)).toBe(401);
  }),
);

/** Statements that wait for a lock. */
function waitingIn(database: string): Promise<object[]> {
  return sql(
    database,
    `SELECT query FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
  );
}

it('a look-up that was given up is cancelled behind an agent that writes before each statement', async () => {
  const database = await createMigratedDatabase();
  const userId = await createUser(database);
  const { query } = Client.prototype;
  const ground = await bootOn(database, { options: layered(UNCACHED, { cache: { lookUpTimeoutMs: 100 } }) });
  const { key } = await ground.keys.create({ userId, name: 'ci' });
  const holder = new Client({ connectionString: database });
  await holder.connect();
  Client.prototype.query = function (this: Client, ...given: unknown[]) {
    const [first, ...rest] = given as [{ text?: string }, ...unknown[]];
    const commented =
      typeof first.text === 'string' ? { ...first, text: `/*dddbs='pg'*/ ${first.text}` } : first;
    return Reflect.apply(query as never, this, [commented, ...rest]);
  } as never;
  try {
    await holder.query('BEGIN');
    await holder.query('LOCK TABLE api_keys');
    await expect(ground.keys.verify(key)).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
    const deadline = performance.now() + GIVEN_UP_MS;
    let waiting = await waitingIn(database);
    while (waiting.length > 0 && performance.now() < deadline) waiting = await waitingIn(database);
    expect(waiting).toEqual([]);
  } finally {
    Client.prototype.query = query;
    await holder.query('ROLLBACK');
    await holder.end();
    await ground.close();
  }
});
