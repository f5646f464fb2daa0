import { createEmptyDatabase } from '../support/database';
import { flood } from '../support/pipelined-flood';
import { demoKey, startSample } from '../support/sample';

const FLOOD_MS = 8_000;

it.each([
  'express',
  'fastify',
])('on %s, 600 callers of GET /health take no connection of the pool from requests with a valid key', async (adapter) => {
  const sample = await startSample({
    DATABASE_URL: await createEmptyDatabase(),
    HTTP_ADAPTER: adapter,
  });
  const key = await demoKey(sample);
  const start = performance.now();
  const goesOn = () => performance.now() - start < FLOOD_MS;
  const statuses: number[] = [];
  const [answered] = await Promise.all([
    flood({ port: sample.port, path: '/health', connections: 600, pipelined: 1, goesOn }),
    (async () => {
      while (goesOn())
        statuses.push((await fetch(`${sample.url}/orders`, { headers: { 'x-api-key': key } })).status);
    })(),
  ]);
  await sample.stop();
  expect(answered).toBeGreaterThan(600);
  expect(new Set(statuses)).toEqual(new Set([200]));
});
