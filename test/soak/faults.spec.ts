import { once } from 'node:events';
import { type EmbeddedPostgres, useEmbeddedPostgres } from '../../src/embedded-postgres';
import { sql } from '../support/database';
import { removeFolder, temporaryFolder } from '../support/folder';
import { Load } from '../support/load';
import { demoKey, type Sample, startSample } from '../support/sample';
import { until } from '../support/until';

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
  ])('that %s causes at most 503, loses no acknowledged change, and recovers by itself', async (_, fault) => {
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
