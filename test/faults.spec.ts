import { once } from 'node:events';
import { Controller, Get, Logger } from '@nestjs/common';
import { ApiKeyAuth, type ApiKeyOptions, ApiKeyRefusal, type IssuedApiKey } from 'nestjs-api-key';
import { DataSource, type QueryRunner } from 'typeorm';
import { type EmbeddedPostgres, useEmbeddedPostgres } from '../src/embedded-postgres';
import { ADAPTERS, bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, createUser, sql } from './support/database';
import { removeFolder, temporaryFolder } from './support/folder';
import { Load } from './support/load';
import { demoKey, type Sample, startSample } from './support/sample';
import { until } from './support/until';

@Controller()
@ApiKeyAuth()
class Routes {
  @Get()
  get() {
    return 'in';
  }
}

const statusOf = async (url: string, key: string) =>
  (await fetch(url, { headers: { authorization: `Bearer ${key}` } })).status;

describe('a PostgreSQL of its own, under two instances and their load,', () => {
  let dataDir: string;
  let server: EmbeddedPostgres;
  let samples: Sample[];
  let load: Load | undefined;

  beforeEach(async () => {
    dataDir = temporaryFolder();
    server = await useEmbeddedPostgres({ dataDir });
    const [first] = [await startOne('express')];
    samples = [first, await startOne('fastify')];
  });

  afterEach(async () => {
    await load?.stop();
    await Promise.all(samples.map((sample) => sample.stop()));
    await server.stop();
    removeFolder(dataDir);
  });

  const startOne = (adapter: string) => startSample({ DATABASE_URL: server.url, HTTP_ADAPTER: adapter });

  /** Ends the server as its owner would, and starts it again on the same port. */
  async function restart(): Promise<void> {
    const { port } = new URL(server.url);
    server.stopNow();
    await until(() =>
      sql(server.url, 'SELECT 1').then(
        () => false,
        () => true,
      ),
    );
    server = await useEmbeddedPostgres({ dataDir, settings: [`port=${port}`] });
  }

  /** Kills one process of the server, after which it ends all others and recovers. */
  async function crash(): Promise<void> {
    const [{ pid }] = (await sql<{ pid: number }>(
      server.url,
      `SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() LIMIT 1`,
    )) as [{ pid: number }];
    process.kill(pid, 'SIGKILL');
    await until(() =>
      sql(server.url, 'SELECT 1').then(
        () => true,
        () => false,
      ),
    );
    server = await useEmbeddedPostgres({ dataDir });
  }

  interface Change {
    readonly id: string;
    readonly revoked: boolean;
  }

  /** Makes and revokes keys over REST until it is told to stop; what was acknowledged. */
  async function changeUntil(isOver: () => boolean, url: string, key: string): Promise<Change[]> {
    const headers = { authorization: `Bearer ${key}` };
    const json = { ...headers, 'content-type': 'application/json' };
    const body = JSON.stringify({ name: 'made meanwhile', scopes: ['orders:read'] });
    const made: Change[] = [];
    while (!isOver()) {
      const created = await fetch(`${url}/api-keys`, { method: 'POST', headers: json, body });
      expect([201, 503]).toContain(created.status);
      const { id } = (await created.json()) as { id: string };
      if (created.status !== 201) continue;
      const ended = await fetch(`${url}/api-keys/${id}`, { method: 'DELETE', headers });
      expect([204, 503]).toContain(ended.status);
      made.push({ id, revoked: ended.status === 204 });
    }
    return made;
  }

  it.each([
    ['is stopped and started', restart],
    ['loses a process and recovers', crash],
  ])('that %s: 503 at the worst, no acknowledged change lost, and all goes on by itself', async (_, fault) => {
    const [first, second] = samples as [Sample, Sample];
    const key = await demoKey(first);
    const urls = [first.url, second.url];
    load = new Load(urls, 100, () => key);
    const { calls } = load;
    const answered = (at: number, since: number) =>
      calls.filter((made) => made.at === at && made.status === 200 && made.startedAt > since).length;
    let isOver = false;
    const changing = Promise.all(urls.map((url) => changeUntil(() => isOver, url, key)));
    await until(() => urls.every((__, at) => answered(at, 0) > 50));
    await fault();
    const back = performance.now();
    await until(() => urls.every((__, at) => answered(at, back) > 100));
    isOver = true;
    const changes = (await changing).flat();
    await load.stop();
    expect(calls.filter(({ status }) => status !== 200 && status !== 503)).toEqual([]);

    const rows = await sql<{ id: string; revoked: boolean }>(
      server.url,
      'SELECT id::text, revoked_at IS NOT NULL AS revoked FROM api_keys',
    );
    const revokedOf = new Map(rows.map(({ id, revoked }) => [id, revoked]));
    for (const { id, revoked } of changes) {
      expect(revokedOf.has(id)).toBe(true);
      if (revoked) expect(revokedOf.get(id)).toBe(true);
    }
    expect(changes.length).toBeGreaterThan(0);
    const untold = await sql(
      server.url,
      `SELECT id FROM api_keys k WHERE revoked_at IS NOT NULL AND NOT EXISTS
         (SELECT FROM api_key_events e WHERE e.key_id = k.id AND e.type = 'revoked')`,
    );
    expect(untold).toEqual([]);
    for (const sample of samples) {
      const ended = once(sample.process, 'close');
      sample.process.kill('SIGTERM');
      expect(await ended).toEqual([0, null]);
      expect(sample.output()).not.toMatch(/unhandled|uncaught/i);
    }
  });
});

describe.each(ADAPTERS)('on %s', (adapter) => {
  let database: string;
  let userId: string;
  let app: TestApp;
  let warm: IssuedApiKey;
  let cold: IssuedApiKey;

  const boot = async (options: ApiKeyOptions = {}, url = database) => {
    app = await bootApp({ database: url, adapter, controllers: [Routes], options });
    [warm, cold] = await Promise.all([issue(), issue()]);
    await until(() => app.keys.verificationStatus.leaseHeld);
    await until(async () => (await statusOf(app.url, warm.key)) === 200);
  };
  const issue = () => app.keys.create({ userId, name: 'ci' });
  const countKeys = async () => Number((await sql(database, 'SELECT count(*) FROM api_keys'))[0]?.count);

  beforeEach(async () => {
    database = await createMigratedDatabase();
    userId = await createUser(database);
  });

  afterEach(() => app.close());

  it('a pool that is all taken: remembered keys are served, others are 503 in time, and all is well when it is free', async () => {
    await boot({ leaseMs: 60_000, lookUpTimeoutMs: 200 });
    const dataSource = app.app.get(DataSource);
    const taken: QueryRunner[] = [];
    const size = (dataSource.driver as unknown as { master: { options: { max: number } } }).master.options
      .max;
    for (let i = 0; i < size; i++) {
      const runner = dataSource.createQueryRunner();
      await runner.connect();
      taken.push(runner);
    }
    const before = await countKeys();
    const creating = issue();
    const [made] = await Promise.all([
      creating.then(
        () => 'made',
        (error) => error,
      ),
      (async () => {
        for (let i = 0; i < 20; i++) {
          expect(await statusOf(app.url, warm.key)).toBe(200);
          expect(await statusOf(app.url, cold.key)).toBe(503);
        }
      })(),
    ]);
    expect(made).toBeInstanceOf(ApiKeyRefusal);
    await Promise.all(taken.map((runner) => runner.release()));
    expect(await countKeys()).toBe(before);
    await until(async () => (await statusOf(app.url, cold.key)) === 200);
    expect(await statusOf(app.url, warm.key)).toBe(200);
    await issue();
    expect(await countKeys()).toBe(before + 1);
  });

  it('a statement_timeout that strikes changes nothing, is 503, and leaves the connections sound', async () => {
    await boot({}, `${database}?statement_timeout=1000`);
    const before = await countKeys();
    await sql(
      database,
      `CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN NEW; END';
       CREATE TRIGGER slow BEFORE INSERT OR UPDATE ON api_keys FOR EACH ROW EXECUTE FUNCTION slow()`,
    );
    await expect(issue()).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
    await expect(app.keys.rotate(warm.apiKey.id)).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
    await expect(app.keys.revoke(warm.apiKey.id)).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
    expect(await statusOf(app.url, warm.key)).toBe(200);
    await sql(database, 'DROP TRIGGER slow ON api_keys');
    expect(await countKeys()).toBe(before);
    await app.keys.revoke(warm.apiKey.id);
    expect(await statusOf(app.url, warm.key)).toBe(401);
  });

  describe('a disk that is full for the trail', () => {
    const fill = () =>
      sql(
        database,
        `CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$;
         CREATE TRIGGER full_disk BEFORE INSERT ON api_key_events FOR EACH STATEMENT EXECUTE FUNCTION full_disk()`,
      );
    const empty = () => sql(database, 'DROP TRIGGER full_disk ON api_key_events');
    const eventsOf = async (type: string) =>
      (await sql(database, 'SELECT id FROM api_key_events WHERE type = $1', [type])).length;

    beforeEach(() => boot({ audit: { flushIntervalMs: 10, queueSize: 5 } }));

    it('answers every request as before, and what was refused is told later, as far as the queue holds', async () => {
      await fill();
      const statuses = [];
      for (let i = 0; i < 10; i++)
        statuses.push(await statusOf(app.url, warm.key), await statusOf(app.url, 'not-a-key'));
      expect(new Set(statuses)).toEqual(new Set([200, 401]));
      expect(app.keys.droppedEvents).toBe(5);
      await empty();
      await until(async () => (await eventsOf('refused')) === 5);
    });

    it('makes no key that the trail does not tell, and yet ends one, which the log tells', async () => {
      await fill();
      const before = await countKeys();
      const logged = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => {});
      await expect(issue()).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
      await expect(app.keys.rotate(cold.apiKey.id)).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
      const revocation = await app.keys.revoke(warm.apiKey.id, { reason: 'leaked' });
      expect(revocation?.apiKey?.revokedAt).toBeInstanceOf(Date);
      const told = logged.mock.calls.flat().join('\n');
      logged.mockRestore();
      expect(told).toContain(
        `No space left on device), and lacks: revoked ${warm.apiKey.id} (${warm.apiKey.masked})`,
      );
      expect(await statusOf(app.url, warm.key)).toBe(401);
      expect(await statusOf(app.url, cold.key)).toBe(200);
      expect(await countKeys()).toBe(before);
      expect((await app.keys.revokeAll({ userId })).map(({ id }) => id)).toEqual([cold.apiKey.id]);
      await empty();
    });
  });
});
