import { createEmptyDatabase, sql, untilAlone } from '../support/database';
import { printFigure } from '../support/figures';
import { demoKey, startSample } from '../support/sample';

const INTERVAL_MS = 1_000;

it('a SIGKILL loses no written last use, and the test prints how many milliseconds of uses it lost', async () => {
  const database = await createEmptyDatabase();
  const app = await startSample({
    DATABASE_URL: database,
    API_KEY_OPTIONS: JSON.stringify({
      cache: { lookUpTimeoutMs: 10_000 },
      usage: { lastUsedIntervalMs: INTERVAL_MS },
    }),
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
  const written = await lastUse();
  expect(written).toBeGreaterThanOrEqual(Math.max(...writes));
  printFigure('uses that a SIGKILL lost: those of the last', killedAt - written, 'ms', INTERVAL_MS);
});
